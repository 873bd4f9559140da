import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Log } from '../../../shared/ports/log.ts';
import { type ObjectBody, type ObjectInfo, type PutOptions, StorageError } from '../../../shared/ports/object-storage.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { messageOf } from '../../thrown.ts';
import { header } from './answers.ts';
import { Turns } from './concurrency.ts';
import { isFailure } from './failure.ts';
import { newestVersions } from './listing.ts';
import { objectHeaders, putIdOf, UNVERSIONED, versionOf } from './object-info.ts';
import { partsOf } from './parts.ts';
import type { Requests } from './requests.ts';
import { Upload } from './upload.ts';

/** What the store answered to whoever stored an object: its version, and when. */
type Stored = Pick<ObjectInfo, 'version_id' | 'modified_at'>;

interface Order {
  readonly bucket: string;
  readonly key: string;
  readonly options: PutOptions;
  readonly put_id: string;
}

const IF_ABSENT = { 'if-none-match': '*' };

/**
 * Stores objects: small ones with one request, larger ones and long streams in parts, of which a few are in memory at a time.
 *
 * `if_absent` asks first, and then sends `If-None-Match: *`. AWS and MinIO refuse the second of two writers by it; Ceph
 * (16.2) does so for what goes in one request to a bucket without versions, and takes no notice otherwise. In a bucket with
 * versions, whoever finds an older version below his own takes his back, so one remains. What is left is a gap for parts of
 * a stream in a bucket without versions, on a store that takes no notice: between the question and the end of the upload
 * another process can store the key. Within this process there is none.
 */
export class Puts {
  readonly #requests: Requests;
  readonly #random: Random;
  readonly #log: Log;
  readonly #partSize: number;
  readonly #turns = new Turns();

  constructor(requests: Requests, options: { random: Random; log: Log; part_size: number }) {
    this.#requests = requests;
    this.#random = options.random;
    this.#log = options.log;
    this.#partSize = options.part_size;
  }

  async put(bucket: string, key: string, body: ObjectBody, options: PutOptions): Promise<ObjectInfo> {
    const order = { bucket, key, options, put_id: this.#random.uuid() };
    if (options.if_absent !== true) return this.#store(order, body);
    return this.#turns.take(`${bucket}/${key}`, async () => {
      await this.#refusePresent(order);
      const info = await this.#store(order, body);
      if (info.version_id !== UNVERSIONED) await this.#yieldToOlder(order, info.version_id);
      return info;
    });
  }

  /** Nothing was overwritten where versions are kept, so a store that let two in can be put right. */
  async #yieldToOlder({ bucket, key }: Order, version_id: string): Promise<void> {
    const versions = await newestVersions(this.#requests, bucket, key);
    const mine = versions.findIndex((version) => version.version_id === version_id);
    const older = mine === -1 ? undefined : versions[mine + 1];
    if (older === undefined || older.delete_marker) return;
    await this.#requests.order({ method: 'DELETE', bucket, key, query: { versionId: version_id }, repeat: true });
    throw present(bucket, key);
  }

  async #store(order: Order, body: ObjectBody): Promise<ObjectInfo> {
    // A condition holds surely for one request, so what is in memory anyway goes in one.
    const size = body instanceof Uint8Array && order.options.if_absent === true ? Math.max(body.length, 1) : this.#partSize;
    const parts = partsOf(body, size);
    try {
      const first = await parts.next();
      const second = await parts.next();
      if (first.done === true) throw new StorageError('failed', 'the body gave nothing');
      if (second.done === true) return await this.#single(order, first.value);
      return await this.#multipart(order, body, prepend([first.value, second.value], parts));
    } finally {
      // Gives a source that was not read to its end back.
      await parts.return(undefined);
    }
  }

  async #single(order: Order, body: Uint8Array): Promise<ObjectInfo> {
    const { bucket, key, options, put_id } = order;
    const sha256 = createHash('sha256').update(body).digest('hex');
    refuseOther(order, sha256, body.length);
    const condition = options.if_absent === true ? IF_ABSENT : {};
    const headers = { ...objectHeaders(options, { sha256, put_id }), ...condition };
    const stored = await this.#conditional(order, async () => {
      const answered = await this.#requests.order({ method: 'PUT', bucket, key, headers, body, sha256, repeat: true });
      if (header(answered, 'etag') === undefined)
        throw new StorageError('failed', 'what answered is no S3 store: it took the object without an ETag');
      return answered;
    });
    return this.#info(order, body.length, sha256, stored);
  }

  async #multipart(order: Order, body: ObjectBody, parts: AsyncIterable<Uint8Array>): Promise<ObjectInfo> {
    const { bucket, key, options, put_id } = order;
    // Headers go first, so a stream's checksum is kept when the caller knows it.
    const known = body instanceof Uint8Array ? createHash('sha256').update(body).digest('hex') : options.sha256;
    if (body instanceof Uint8Array && known !== undefined) refuseOther(order, known, body.length);
    const upload = await Upload.begin(this.#requests, bucket, key, objectHeaders(options, { sha256: known, put_id }));
    const hash = createHash('sha256');
    let size = 0;
    try {
      const sent = await upload.send(
        each(parts, (part) => {
          hash.update(part);
          size += part.length;
        }),
      );
      refuseOther(order, hash.digest('hex'), size);
      if (options.if_absent === true) await this.#refusePresent(order);
      const stored = await this.#conditional(order, () => upload.complete(sent, options.if_absent === true ? IF_ABSENT : {}));
      return this.#info(order, size, known, stored);
    } catch (error) {
      await upload.abort().catch((failure: unknown) => {
        if (!isFailure(failure, 'NoSuchUpload'))
          this.#log.warn('parts of an upload stay in the object storage until it removes them', { bucket, key, error: messageOf(failure) });
      });
      throw error;
    }
  }

  /** An attempt whose answer got lost may have stored the object, and the next one is then refused: the id in the object tells. */
  async #conditional({ bucket, key, put_id }: Order, write: () => Promise<IncomingHttpHeaders>): Promise<Stored> {
    try {
      return versionOf(await write());
    } catch (error) {
      if (!isFailure(error, 'PreconditionFailed', 'NoSuchUpload')) throw error;
      const headers = await this.#requests.order({ method: 'HEAD', bucket, key, repeat: true }).catch(() => undefined);
      if (headers === undefined || putIdOf(headers) !== put_id) throw error;
      return versionOf(headers);
    }
  }

  async #refusePresent({ bucket, key }: Order): Promise<void> {
    try {
      await this.#requests.order({ method: 'HEAD', bucket, key, repeat: true });
    } catch (error) {
      if (isFailure(error, 'NotFound', 'NoSuchKey')) return;
      throw error;
    }
    throw present(bucket, key);
  }

  #info({ key, options }: Order, size: number, sha256: string | undefined, { version_id, modified_at }: Stored): ObjectInfo {
    const type = options.content_type === undefined ? {} : { content_type: options.content_type };
    return { key, version_id, size, ...(sha256 === undefined ? {} : { sha256 }), ...type, modified_at };
  }
}

function present(bucket: string, key: string): StorageError {
  return new StorageError('already_exists', `${bucket}/${key} exists already and was left as it is`);
}

function refuseOther({ bucket, key, options }: Order, sha256: string, size: number): void {
  if (options.sha256 === undefined || options.sha256 === sha256) return;
  const found = `the ${size} bytes that arrived have SHA-256 ${sha256}, not ${options.sha256}`;
  throw new StorageError('checksum_mismatch', `${bucket}/${key}: ${found}; nothing was kept, send it again`);
}

async function* prepend<T>(first: readonly T[], rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* rest;
}

async function* each<T>(items: AsyncIterable<T>, look: (item: T) => void): AsyncGenerator<T> {
  for await (const item of items) {
    look(item);
    yield item;
  }
}
