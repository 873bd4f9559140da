import { ApiError, callRaw } from '../client.ts';
import { MODIFIED_HEADER, ObjectInfo, ObjectList, SHA256_HEADER, VERSION_HEADER } from '../contract/data.ts';
import { type Connection, callJson, readJson, segment } from './call.ts';

export interface PutOptions {
  readonly content_type?: string;
  /** Lower-case hex. A body that differs is refused, with `checksum_mismatch`. */
  readonly sha256?: string;
  /** An existing key is left as it is, and the call rejects with `already_exists`. */
  readonly if_absent?: boolean;
}

export interface StoredObject {
  readonly info: ObjectInfo;
  /** Read it to its end, or cancel it. */
  readonly body: ReadableStream<Uint8Array>;
  /** The whole body. Of one that is to be streamed, use `body`. */
  bytes(): Promise<Uint8Array>;
  text(): Promise<string>;
}

export interface Objects {
  /** Stores the object whole and durably, or not at all. */
  put(
    bucket: string,
    key: string,
    body: Uint8Array<ArrayBuffer> | string | ReadableStream<Uint8Array>,
    options?: PutOptions,
  ): Promise<ObjectInfo>;
  /** Undefined when there is no such key. `range`: bytes `start` to `end`, both included. */
  get(
    bucket: string,
    key: string,
    options?: { readonly range?: { readonly start: number; readonly end?: number } },
  ): Promise<StoredObject | undefined>;
  head(bucket: string, key: string): Promise<ObjectInfo | undefined>;
  /** By key, 1000 at once; go on with `after: next`. */
  list(bucket: string, options?: { readonly prefix?: string; readonly after?: string; readonly limit?: number }): Promise<ObjectList>;
  /** A key that is not there is no error. */
  delete(bucket: string, key: string): Promise<void>;
}

export function createObjects(connection: Connection): Objects {
  const read = (path: string, headers: Readonly<Record<string, string>> = {}) => callRaw(connection, { method: 'GET', path, headers });
  return {
    async put(bucket, key, body, { content_type = 'application/octet-stream', sha256, if_absent = false } = {}) {
      const headers = {
        'content-type': content_type,
        ...(sha256 === undefined ? {} : { [SHA256_HEADER]: sha256 }),
        ...(if_absent ? { 'if-none-match': '*' } : {}),
      };
      const path = objectPath(bucket, key);
      return readJson(connection, path, await callRaw(connection, { method: 'PUT', path, headers, body }), ObjectInfo);
    },
    get: (bucket, key, { range } = {}) =>
      absentAsUndefined(async () => {
        const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end ?? ''}` };
        const response = await read(objectPath(bucket, key), headers);
        const body = response.body ?? new ReadableStream({ start: (controller) => controller.close() });
        const whole = () => new Response(body);
        return {
          info: infoOf(key, response.headers),
          body,
          bytes: async () => new Uint8Array(await whole().arrayBuffer()),
          text: () => whole().text(),
        };
      }),
    head: (bucket, key) =>
      absentAsUndefined(async () => {
        const path = objectPath(bucket, key);
        const response = await callRaw(connection, { method: 'HEAD', path }, (status) => status >= 400);
        if (response.ok) return infoOf(key, response.headers);
        // The answer to a HEAD has no body, and so no problem in words: the same question with one tells.
        const told = await read(path);
        await told.body?.cancel();
        return infoOf(key, told.headers);
      }),
    list: (bucket, options = {}) =>
      callJson(connection, { method: 'GET', path: `/v1/objects/${segment(bucket)}`, query: { ...options }, schema: ObjectList }),
    delete: (bucket, key) => callJson<void>(connection, { method: 'DELETE', path: objectPath(bucket, key) }),
  };
}

/** Slashes stay, so that a log shows the key as people write it, but where a . or .. between them would lead elsewhere. */
function objectPath(bucket: string, key: string): string {
  const parts = key.split('/');
  const isPlain = key !== '' && !parts.includes('.') && !parts.includes('..');
  return `/v1/objects/${segment(bucket)}/${isPlain ? parts.map(encodeURIComponent).join('/') : segment(key)}`;
}

function infoOf(key: string, headers: Headers): ObjectInfo {
  const whole = headers.get('content-range')?.split('/')[1] ?? headers.get('content-length');
  const sha256 = headers.get(SHA256_HEADER);
  const content_type = headers.get('content-type');
  return {
    key,
    version_id: headers.get(VERSION_HEADER) ?? '',
    size: Number(whole ?? 0),
    modified_at: headers.get(MODIFIED_HEADER) ?? '',
    ...(sha256 === null ? {} : { sha256 }),
    ...(content_type === null ? {} : { content_type }),
  };
}

async function absentAsUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ApiError && error.problem.code === 'no_such_key') return undefined;
    throw error;
  }
}
