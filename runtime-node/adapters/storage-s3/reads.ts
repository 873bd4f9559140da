import type { IncomingMessage } from 'node:http';
import { type GetOptions, type ObjectInfo, StorageError, type StoredObject } from '../../../shared/ports/object-storage.ts';
import { header } from './answers.ts';
import { isFailure, S3Failure } from './failure.ts';
import { infoOf } from './object-info.ts';
import type { Requests } from './requests.ts';
import { verifiedBody } from './verified-body.ts';

type Range = NonNullable<GetOptions['range']>;

/** Reads and deletes objects. */
export class Objects {
  readonly #requests: Requests;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** `toError` is what the stream rejects with. */
  async get(bucket: string, key: string, { version_id, range }: GetOptions, toError: (cause: unknown) => Error): Promise<StoredObject> {
    const headers = range === undefined ? {} : { range: rangeHeader(range, `${bucket}/${key}`) };
    const request = { method: 'GET', bucket, key, query: versionQuery(version_id), headers, repeat: true } as const;
    const answer = await this.#requests.send(request).catch((error: unknown) => Promise.reject(clear(error, version_id)));
    const info = infoOrDrop(key, answer);
    const length = Number(header(answer.headers, 'content-length') ?? info.size);
    const whole = length === info.size;
    if (range !== undefined && whole && !coversAll(range, info.size)) {
      answer.destroy();
      throw new StorageError('failed', 'the store answered with the whole object instead of the range');
    }
    const expected = { length, sha256: whole ? info.sha256 : undefined, name: `${bucket}/${key}` };
    return { info, body: verifiedBody(this.#requests.wire, answer, expected, toError) };
  }

  async head(bucket: string, key: string, version_id: string | undefined): Promise<ObjectInfo> {
    try {
      return infoOf(key, await this.#requests.order({ method: 'HEAD', bucket, key, query: versionQuery(version_id), repeat: true }));
    } catch (error) {
      throw clear(await this.#explain(bucket, error), version_id);
    }
  }

  async delete(bucket: string, key: string, version_id: string | undefined): Promise<void> {
    try {
      // Without a version a second one would put a second marker.
      await this.#requests.order({ method: 'DELETE', bucket, key, query: versionQuery(version_id), repeat: version_id !== undefined });
    } catch (error) {
      if (!isFailure(error, 'NoSuchKey', 'NoSuchVersion')) throw error;
    }
  }

  /** An answer to HEAD has no document that says why: another request to the same bucket has one. */
  async #explain(bucket: string, error: unknown): Promise<unknown> {
    if (!(error instanceof S3Failure) || ![400, 403, 404].includes(error.status)) return error;
    const why = await this.#requests.look(bucket).catch((cause: unknown) => cause);
    if (!(why instanceof Error)) return error;
    return isFailure(why, 'AccessDenied') ? error : why;
  }
}

function infoOrDrop(key: string, answer: IncomingMessage): ObjectInfo {
  try {
    return infoOf(key, answer.headers);
  } catch (error) {
    answer.destroy();
    throw error;
  }
}

function versionQuery(version_id: string | undefined): Record<string, string> {
  return version_id === undefined ? {} : { versionId: version_id };
}

function rangeHeader({ start, end }: Range, name: string): string {
  const valid = Number.isSafeInteger(start) && start >= 0 && (end === undefined || (Number.isSafeInteger(end) && end >= start));
  if (!valid) throw new StorageError('range_not_satisfiable', `${name}: there are no bytes in the range ${start}-${end ?? ''}`);
  return `bytes=${start}-${end ?? ''}`;
}

function coversAll({ start, end }: Range, size: number): boolean {
  return start === 0 && size > 0 && (end === undefined || end >= size - 1);
}

/** A delete marker is met by "method not allowed", a version that never was by "bad request". */
function clear(error: unknown, version_id: string | undefined): unknown {
  if (!(error instanceof S3Failure)) return error;
  const marker = error.code === 'MethodNotAllowed' && header(error.headers, 'x-amz-delete-marker') === 'true';
  const absent =
    error.code === 'NotFound' || (version_id !== undefined && (error.code === 'BadRequest' || error.code === 'InvalidArgument'));
  if (!marker && !absent) return error;
  const { status, headers } = error;
  return new S3Failure({ code: version_id === undefined ? 'NoSuchKey' : 'NoSuchVersion', status, headers, message: error.message });
}
