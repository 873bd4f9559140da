import { ApiError } from '../client.ts';
import {
  type VectorBatch,
  VectorCount,
  type VectorHit,
  VectorHits,
  VectorList,
  VectorObject,
  type VectorSearch,
} from '../contract/data.ts';
import { type Connection, callJson, segment } from './call.ts';

export interface Vectors {
  /** Inserts or replaces by id. All or none, but on Weaviate, where one that breaks off may leave a part: then send it again. */
  upsert(className: string, objects: VectorBatch['objects']): Promise<void>;
  /** Undefined when the class holds no such object. */
  get(className: string, id: string): Promise<VectorObject | undefined>;
  /** An id that is not there is no error. */
  delete(className: string, id: string): Promise<void>;
  /** Nearest first, by cosine distance. */
  search(className: string, query: VectorSearch): Promise<VectorHit[]>;
  count(className: string): Promise<number>;
  /** By id, 100 at once unless `limit` says more; go on with `after: next`. */
  list(className: string, options?: { readonly after?: string; readonly limit?: number }): Promise<VectorList>;
}

export function createVectors(connection: Connection): Vectors {
  const pathOf = (className: string) => `/v1/vectors/${segment(className)}`;
  return {
    upsert: (className, objects) => callJson<void>(connection, { method: 'POST', path: pathOf(className), body: { objects } }),
    async get(className, id) {
      try {
        return await callJson(connection, { method: 'GET', path: `${pathOf(className)}/${segment(id)}`, schema: VectorObject });
      } catch (error) {
        if (error instanceof ApiError && error.problem.code === 'no_such_vector') return undefined;
        throw error;
      }
    },
    delete: (className, id) => callJson<void>(connection, { method: 'DELETE', path: `${pathOf(className)}/${segment(id)}` }),
    search: async (className, query) =>
      (await callJson(connection, { method: 'POST', path: `${pathOf(className)}/search`, body: query, schema: VectorHits })).hits,
    count: async (className) =>
      (await callJson(connection, { method: 'POST', path: `${pathOf(className)}/count`, schema: VectorCount })).count,
    list: (className, options = {}) =>
      callJson(connection, { method: 'GET', path: pathOf(className), query: { ...options }, schema: VectorList }),
  };
}
