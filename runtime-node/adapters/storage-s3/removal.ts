import { createHash } from 'node:crypto';
import type { Clock } from '../../../shared/ports/clock.ts';
import { type BucketStats, MAX_COUNTED, StorageError } from '../../../shared/ports/object-storage.ts';
import { eachOf } from './concurrency.ts';
import { isFailure } from './failure.ts';
import { everythingIn, type Listed, listUploads } from './listing.ts';
import type { Requests } from './requests.ts';
import { escapeXml, textOf } from './xml.ts';

/** How often a bucket that is said not to be empty, and shows nothing, is looked at again: some stores show what was for a while. */
const LOOKS = 6;
/** Keys that are listed only once others are gone (MinIO) take a round for each level of them. */
const ROUNDS = 1100;

export interface RemovalParts {
  readonly requests: Requests;
  readonly clock: Clock;
  /** Removals under way at a time where the store can't take many in one request. */
  readonly concurrency: number;
}

/** Counts what a bucket holds, and takes buckets away. */
export class Removals {
  readonly #parts: RemovalParts;
  /** The store removes one object a request. */
  #singly = false;

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  async stats(bucket: string): Promise<BucketStats> {
    const { requests } = this.#parts;
    const found: Listed[] = [];
    for await (const page of everythingIn(requests, bucket)) {
      found.push(...page);
      if (found.length > MAX_COUNTED) break;
    }
    const counted = found.slice(0, MAX_COUNTED);
    const objects = counted.filter(({ latest, delete_marker }) => latest && !delete_marker).length;
    const { uploads, more } = await listUploads(requests, bucket);
    return {
      objects,
      older_versions: counted.length - objects,
      bytes: counted.reduce((sum, { size }) => sum + size, 0),
      unfinished_uploads: uploads.length,
      truncated: more || found.length > counted.length,
    };
  }

  /** The store itself refuses to remove a bucket that holds anything but uploads. */
  async removeEmpty(bucket: string): Promise<void> {
    try {
      const { uploads } = await this.#settled(() => listUploads(this.#parts.requests, bucket));
      if (uploads.length > 0) throw notEmpty(bucket, 'unfinished uploads');
      await this.#removeBucket(bucket);
    } catch (error) {
      if (isFailure(error, 'BucketNotEmpty')) throw notEmpty(bucket, 'objects, versions or delete markers');
      if (!isFailure(error, 'NoSuchBucket')) throw error;
    }
  }

  /** Where it breaks off, the same again goes on. After `signal` no request is begun. */
  async removeWhole(bucket: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#emptyAndRemove(bucket, signal);
    } catch (error) {
      if (!isFailure(error, 'NoSuchBucket')) throw error;
    }
  }

  async #emptyAndRemove(bucket: string, signal?: AbortSignal): Promise<void> {
    for (let round = 0, idle = 0; round < ROUNDS && idle < LOOKS; round += 1) {
      const removed = await this.#empty(bucket, signal);
      try {
        return await this.#removeBucket(bucket, signal);
      } catch (error) {
        if (!isFailure(error, 'BucketNotEmpty')) throw error;
      }
      idle = removed > 0 ? 0 : idle + 1;
      if (idle > 0) await this.#parts.clock.sleep(50 * 2 ** idle);
    }
    throw new StorageError(
      'failed',
      `bucket ${bucket} is still not empty after all that it showed was removed: something keeps writing into it, or the store keeps what it does not list`,
    );
  }

  async #removeBucket(bucket: string, signal?: AbortSignal): Promise<void> {
    await this.#settled(async () => {
      refuseLate(bucket, signal);
      await this.#parts.requests.order({ method: 'DELETE', bucket, repeat: true });
    });
  }

  /** Asks again while another is removing the bucket: once it is gone the store says so. */
  async #settled<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await ask();
      } catch (error) {
        if (!isFailure(error, ...BEING_REMOVED) || attempt === LOOKS) throw error;
        await this.#parts.clock.sleep(50 * 2 ** attempt);
      }
    }
  }

  /** How much there was. */
  async #empty(bucket: string, signal?: AbortSignal): Promise<number> {
    const { requests, concurrency } = this.#parts;
    let removed = 0;
    for await (const page of everythingIn(requests, bucket)) {
      await this.#removeAll(bucket, page, signal);
      removed += page.length;
    }
    for (;;) {
      const { uploads, more } = await this.#settled(() => listUploads(requests, bucket));
      await eachOf(uploads, concurrency, async ({ key, upload_id }) => {
        refuseLate(bucket, signal);
        await this.#abort(bucket, key, upload_id);
      });
      removed += uploads.length;
      if (!more || uploads.length === 0) return removed;
    }
  }

  async #removeAll(bucket: string, page: readonly Listed[], signal?: AbortSignal): Promise<void> {
    refuseLate(bucket, signal);
    const batch = this.#singly ? [] : page.filter(({ key }) => fitsXml(key));
    const left = new Set(page);
    try {
      if (batch.length > 0) await this.#removeMany(bucket, batch);
      for (const one of batch) left.delete(one);
    } catch (error) {
      if (!isFailure(error, 'NotImplemented', 'MethodNotAllowed')) throw error;
      this.#singly = true;
    }
    await eachOf([...left], this.#parts.concurrency, async (one) => {
      refuseLate(bucket, signal);
      await this.#removeOne(bucket, one);
    });
  }

  async #removeMany(bucket: string, batch: readonly Listed[]): Promise<void> {
    const list = batch.map(({ key, version_id }) => {
      const version = version_id === undefined ? '' : `<VersionId>${escapeXml(version_id)}</VersionId>`;
      return `<Object><Key>${escapeXml(key)}</Key>${version}</Object>`;
    });
    const text = `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>${list.join('')}</Delete>`;
    const body = Buffer.from(text, 'utf8');
    const headers = { 'content-md5': createHash('md5').update(body).digest('base64'), 'content-type': 'application/xml' };
    const request = { method: 'POST', bucket, query: { delete: '' }, headers, body, repeat: true } as const;
    const { root } = await this.#parts.requests.ask(request, 'DeleteResult');
    const refused = root.children.find((one) => one.name === 'Error' && !GONE.includes(textOf(one, 'Code') ?? ''));
    if (refused === undefined) return;
    const [key, code, message] = ['Key', 'Code', 'Message'].map((name) => textOf(refused, name) ?? '');
    const kind = code === 'AccessDenied' ? 'unauthorized' : 'failed';
    throw new StorageError(kind, `${bucket}/${key} could not be removed: the store says ${code}${message === '' ? '' : `: ${message}`}`);
  }

  async #removeOne(bucket: string, { key, version_id }: Listed): Promise<void> {
    const query = version_id === undefined ? {} : { versionId: version_id };
    await this.#unlessGone(this.#parts.requests.order({ method: 'DELETE', bucket, key, query, repeat: true }));
  }

  async #abort(bucket: string, key: string, uploadId: string): Promise<void> {
    await this.#unlessGone(this.#parts.requests.order({ method: 'DELETE', bucket, key, query: { uploadId }, repeat: true }));
  }

  async #unlessGone(removal: Promise<unknown>): Promise<void> {
    await removal.catch((error: unknown) => {
      if (!isFailure(error, ...GONE)) throw error;
    });
  }
}

/** What Ceph and MinIO say of a bucket that another removes just then. Once it is gone they say so. */
const BEING_REMOVED: readonly string[] = ['NoSuchKey', 'ClientDisconnected'];
const GONE: readonly string[] = ['NoSuchKey', 'NoSuchVersion', 'NoSuchUpload'];

/** Keys that come through any server's XML as they are. */
function fitsXml(key: string): boolean {
  return !/[\p{Cc}\uFFFE\uFFFF]/u.test(key) && key.trim() === key;
}

/** The bucket may be in use again by now: what is in it is not what was meant to go. */
function refuseLate(bucket: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new StorageError('failed', `the removal of bucket ${bucket} was broken off: the same again goes on`);
}

function notEmpty(bucket: string, what: string): StorageError {
  return new StorageError('not_empty', `bucket ${bucket} holds ${what} and was left as it is`);
}
