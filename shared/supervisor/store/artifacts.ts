import { ARTIFACT_BYTES, type ArtifactInfo } from '../../contract/artifact.ts';
import { ArtifactError, type ArtifactStore, type StoredArtifact } from '../../ports/artifact-store.ts';
import type { Log } from '../../ports/log.ts';
import { type ObjectInfo, type ObjectStorage, StorageError } from '../../ports/object-storage.ts';

export interface ArtifactStoreOptions {
  readonly storage: ObjectStorage;
  readonly log: Log;
  /** The largest artifact, bytes. Default `ARTIFACT_BYTES`. */
  readonly max_bytes?: number;
}

/** bootplane's own bucket; no profile has to name it. */
export const ARTIFACT_BUCKET = 'bootplane-artifacts';

/**
 * Artifacts as objects whose key is their hash. What the object storage promises holds for them: streams
 * both ways, all or nothing, ranges, and on a file system a check of every byte that is read.
 */
export function createArtifactStore(options: ArtifactStoreOptions): ArtifactStore {
  const { storage, log, max_bytes = ARTIFACT_BYTES } = options;
  const drop = async (sha256: string, error: StorageError) => {
    log.error('a stored artifact is damaged and was dropped: push it again, or let a node fetch it', { sha256, error: error.message });
    await storage.delete(ARTIFACT_BUCKET, sha256).catch(() => undefined);
  };
  const head = async (sha256: string) => {
    const info = await absentAs(undefined, storage.head(ARTIFACT_BUCKET, sha256));
    return info && toInfo(info);
  };
  return {
    head: (sha256) => inWords(head(sha256)),
    get: (sha256, range) =>
      inWords(
        (async (): Promise<StoredArtifact | undefined> => {
          try {
            const found = await absentAs(undefined, storage.get(ARTIFACT_BUCKET, sha256, range === undefined ? {} : { range }));
            return found && { info: toInfo(found.info), body: watched(found.body, (error) => drop(sha256, error)) };
          } catch (error) {
            if (!isCorrupt(error)) throw error;
            await drop(sha256, error);
            return undefined;
          }
        })(),
      ),
    put: (sha256, body) =>
      inWords(
        (async () => {
          const present = await head(sha256);
          if (present === undefined) return toInfo(await write(storage, sha256, body, max_bytes));
          await body.cancel().catch(() => undefined);
          return present;
        })(),
      ),
    list: ({ after, limit = 100 } = {}) =>
      inWords(
        (async () => {
          const options = { limit, ...(after === undefined ? {} : { after }) };
          const { objects, next } = await absentAs(NOTHING, storage.list(ARTIFACT_BUCKET, options));
          return { artifacts: objects.map(toInfo), ...(next === undefined ? {} : { next }) };
        })(),
      ),
    delete: (sha256) => inWords(absentAs(undefined, storage.delete(ARTIFACT_BUCKET, sha256))),
  };
}

async function write(storage: ObjectStorage, sha256: string, body: ReadableStream<Uint8Array>, max_bytes: number): Promise<ObjectInfo> {
  await storage.ensureBucket(ARTIFACT_BUCKET);
  const limit = bounded(max_bytes);
  try {
    return await storage.put(ARTIFACT_BUCKET, sha256, body.pipeThrough(limit.stream), { sha256, if_absent: true });
  } catch (error) {
    if (limit.exceeded()) throw new ArtifactError('too_large', `an artifact may have ${max_bytes} bytes and no more; nothing was kept`);
    // Somebody else stored the same bytes meanwhile.
    if (error instanceof StorageError && error.kind === 'already_exists') return storage.head(ARTIFACT_BUCKET, sha256);
    throw error;
  }
}

function bounded(max_bytes: number): { stream: TransformStream<Uint8Array, Uint8Array>; exceeded(): boolean } {
  let bytes = 0;
  const stream = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      if (bytes > max_bytes) controller.error(new Error('the body is too large'));
      else controller.enqueue(chunk);
    },
  });
  return { stream, exceeded: () => bytes > max_bytes };
}

/** Tells of damage that is found only while the body is read. */
function watched(body: ReadableStream<Uint8Array>, onCorrupt: (error: StorageError) => Promise<void>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (isCorrupt(error)) await onCorrupt(error);
          throw error;
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

function isCorrupt(error: unknown): error is StorageError {
  return error instanceof StorageError && error.kind === 'corrupt';
}

const NOTHING: Awaited<ReturnType<ObjectStorage['list']>> = { objects: [] };

/** No bucket, no object: both mean that it is not there. */
async function absentAs<T, A>(absent: A, work: Promise<T>): Promise<T | A> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof StorageError && (error.kind === 'no_such_key' || error.kind === 'no_such_bucket')) return absent;
    throw error;
  }
}

async function inWords<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    const kind = error.kind === 'checksum_mismatch' ? 'mismatch' : error.kind === 'full' ? 'full' : 'failed';
    throw new ArtifactError(kind, error.message, { cause: error });
  }
}

function toInfo({ key, size, modified_at }: ObjectInfo): ArtifactInfo {
  return { sha256: key, size, stored_at: modified_at };
}
