import type { IncomingHttpHeaders } from 'node:http';
import { type ObjectInfo, type PutOptions, StorageError } from '../../../shared/ports/object-storage.ts';
import { header } from './answers.ts';

/** As in S3: the version of what was written while versioning was not on. */
export const UNVERSIONED = 'null';

const SHA256_HEADER = 'x-amz-meta-sha256';
const PUT_ID_HEADER = 'x-amz-meta-put-id';

/** What S3 calls an object of which nobody said the type. */
const NO_TYPE = 'binary/octet-stream';

/** Headers that a put gives the object. `put_id` marks which call wrote it, so that one whose answer was lost can tell. */
export function objectHeaders(
  { content_type }: PutOptions,
  parts: { sha256?: string | undefined; put_id?: string | undefined },
): Record<string, string> {
  return {
    ...(content_type === undefined ? {} : { 'content-type': content_type }),
    ...(parts.sha256 === undefined ? {} : { [SHA256_HEADER]: parts.sha256 }),
    ...(parts.put_id === undefined ? {} : { [PUT_ID_HEADER]: parts.put_id }),
  };
}

/** What the headers of GET or HEAD say of an object. */
export function infoOf(key: string, headers: IncomingHttpHeaders): ObjectInfo {
  const sha256 = header(headers, SHA256_HEADER);
  const type = header(headers, 'content-type');
  const etag = header(headers, 'etag');
  return {
    key,
    ...versionOf(headers),
    size: sizeOf(headers),
    ...(sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256) ? { sha256 } : {}),
    ...(etag === undefined ? {} : { etag }),
    ...(type === undefined || type === NO_TYPE ? {} : { content_type: type }),
  };
}

/** What the answer to a put says too: the version, and when (to the second, by the store's clock). */
export function versionOf(headers: IncomingHttpHeaders): Pick<ObjectInfo, 'version_id' | 'modified_at'> {
  return {
    version_id: header(headers, 'x-amz-version-id') ?? UNVERSIONED,
    modified_at: timeOf(header(headers, 'last-modified') ?? header(headers, 'date')),
  };
}

export function putIdOf(headers: IncomingHttpHeaders): string | undefined {
  return header(headers, PUT_ID_HEADER);
}

/** Of the whole object, also where a part of it comes. */
function sizeOf(headers: IncomingHttpHeaders): number {
  const whole = header(headers, 'content-range')?.match(/\/(\d+)$/)?.[1];
  const size = whole ?? header(headers, 'content-length');
  if (size !== undefined) return Number(size);
  throw new StorageError(
    'failed',
    'the answer does not say how long it is: something between here and the store changes answers (a proxy that compresses?)',
  );
}

/** RFC 3339 from what S3 sends: an HTTP date in headers, ISO 8601 in lists. */
export function timeOf(text: string | undefined): string {
  const ms = Date.parse(text ?? '');
  return new Date(Number.isNaN(ms) ? 0 : ms).toISOString();
}
