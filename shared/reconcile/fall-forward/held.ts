import type { ObjectStorage } from '../../ports/object-storage.ts';
import type { VectorIndex } from '../../ports/vector-index.ts';
import type { AdoptDeps } from './adopt.ts';
import { contentOf } from './vector-content.ts';

type Page = AdoptDeps['page'];

/** Vectors of one page: what reading them takes of the memory. */
const VECTORS = 256;

/** The latest versions of the objects of a bucket. */
export function objectsHeld(storage: Pick<ObjectStorage, 'list'>): Page {
  return async (bucket, after) => {
    const { objects } = await storage.list(bucket, after === undefined ? {} : { after });
    return objects.map(({ key, size, sha256 }) => {
      if (sha256 === undefined) throw new Error(`the embedded default keeps no checksum of ${bucket}/${key}`);
      return { key, size, hash: sha256 };
    });
  };
}

/** The objects of a class, which is named as `foldClassName` has it. */
export function vectorsHeld(index: Pick<VectorIndex, 'list'>): Page {
  return async (name, after) => {
    const objects = await index.list(name, { limit: VECTORS, ...(after === undefined ? {} : { after }) });
    return Promise.all(objects.map(contentOf));
  };
}
