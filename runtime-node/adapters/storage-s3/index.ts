import { type LifecycleRule, MAKER_TAG } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Log } from '../../../shared/ports/log.ts';
import { whyNoMaker } from '../../../shared/ports/maker.ts';
import type * as port from '../../../shared/ports/object-storage.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { Slots } from '../../../shared/reconcile/slots.ts';
import { messageOf } from '../../thrown.ts';
import { checkBucketName, keyBytes } from '../storage-fs/keys.ts';
import { Buckets, type Feature } from './buckets.ts';
import { type Endpoint, parseEndpoint } from './endpoint.ts';
import { type Place, toStorageError } from './errors.ts';
import { isFailure } from './failure.ts';
import { listObjects, listVersions } from './listing.ts';
import { Puts } from './put.ts';
import { Objects } from './reads.ts';
import { Removals } from './removal.ts';
import { Regions, Requests } from './requests.ts';
import { Signer } from './signer.ts';
import { Wire } from './wire.ts';

export interface S3StorageOptions {
  /** `https://host[:port]`, without a path. */
  readonly endpoint: string;
  readonly access_key: string;
  readonly secret_key: string;
  /** Found out from the store when absent. */
  readonly region?: string;
  /** The bucket in the path instead of in the host name. Default: true, but for AWS. */
  readonly path_style?: boolean;
  /** PEM certificates of authorities to trust beside those of the system. */
  readonly ca?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** How long an answer, or its next bytes, may take; default 30,000. */
  readonly timeout_ms?: number;
  /** Requests under way at a time, until the answer begins; default 16. Bodies that are being read do not count: a slow reader holds up nobody. */
  readonly concurrency?: number;
  /** Bytes of a part of a large object, and so of the largest that goes in one request; default 8 MiB, S3 wants 5 MiB at least. */
  readonly part_size?: number;
}

/** Requests that may wait for one of the `concurrency`. */
const WAITING = 4096;
const PART_SIZE = 8 * 1024 * 1024;
/** S3's limit for presigned URLs: a week. */
const LONGEST_PRESIGNED_S = 604_800;

/**
 * Object storage in any store that speaks S3: MinIO, Ceph, AWS and others. Connects when first used; nothing is asked here.
 * Throws `StorageError` for an endpoint that can't be meant.
 */
export function createS3Storage(options: S3StorageOptions): S3Storage {
  const endpoint = parseEndpoint(options.endpoint);
  if (options.access_key === '' || options.secret_key === '')
    throw new StorageError('unauthorized', `${endpoint.origin} needs keys: set MINIO_ACCESS_KEY and MINIO_SECRET_KEY`);
  try {
    return new S3Storage(endpoint, options);
  } catch (error) {
    throw new StorageError('failed', `the object storage at ${endpoint.origin} can't be used: ${messageOf(error)}`, { cause: error });
  }
}

/** How long `close` waits for what is under way. */
const CLOSE_LIMIT_MS = 2000;

export class S3Storage implements port.ObjectStorage {
  readonly backend: port.StorageBackend;
  readonly #place: Place;
  readonly #wire: Wire;
  readonly #signer: Signer;
  readonly #requests: Requests;
  readonly #buckets: Buckets;
  readonly #puts: Puts;
  readonly #removals: Removals;
  readonly #objects: Objects;
  readonly #busy = new Set<Promise<unknown>>();
  #closed = false;

  constructor(endpoint: Endpoint, options: S3StorageOptions) {
    const { clock, random, log, region, ca, timeout_ms = 30_000, concurrency = 16, part_size = PART_SIZE } = options;
    this.backend = { kind: 's3', identity: endpoint.origin };
    this.#place = { endpoint, clock, region };
    const regions = new Regions(region);
    const path_style = options.path_style ?? !endpoint.amazon;
    this.#signer = new Signer(endpoint, options, { path_style, clock, regionOf: (bucket) => regions.of(bucket) });
    this.#wire = new Wire({ endpoint, ca, clock, timeout_ms });
    const slots = new Slots(concurrency, refuseCrowd);
    this.#requests = new Requests({ signer: this.#signer, wire: this.#wire, slots, regions, clock, random });
    this.#buckets = new Buckets(this.#requests, { clock, log, concurrency, region });
    this.#removals = new Removals({ requests: this.#requests, clock, concurrency });
    this.#puts = new Puts(this.#requests, { random, log, part_size });
    this.#objects = new Objects(this.#requests);
  }

  /** A store that turns out to lack something (the first requests tell) says so from then on. */
  get capabilities(): port.StorageCapabilities {
    const has = (feature: Feature) => !this.#buckets.lacks.has(feature);
    return {
      versioning: has('versioning'),
      lifecycle: has('lifecycle'),
      tags: has('tags'),
      nested_keys: !this.#requests.quirks.hides_nested_keys,
      shared: true,
      records_maker: has('tags'),
    };
  }

  readBuckets(names: readonly string[]): Promise<port.BucketState[]> {
    return this.#do('read the buckets', () => {
      const wrap = (bucket: string, error: unknown) => toStorageError(error, `read bucket ${bucket}`, this.#place);
      return this.#buckets.read(names.filter(canExist), wrap);
    });
  }

  ensureBucket(name: string, { made_by }: { made_by?: string } = {}): Promise<void> {
    return this.#do(`make bucket ${name}`, () => {
      checkBucketName(name);
      const why = whyNoMaker(made_by);
      if (why !== undefined) throw new StorageError('bad_name', why);
      return this.#buckets.ensure(name, made_by);
    });
  }

  ensureVersioning(name: string, enabled: boolean): Promise<void> {
    return this.#set(name, 'versioning', () => this.#buckets.setVersioning(name, enabled));
  }

  ensureLifecycle(name: string, rules: readonly LifecycleRule[]): Promise<void> {
    return this.#set(name, 'lifecycle', () => this.#buckets.mergeLifecycle(name, rules));
  }

  ensureTags(name: string, tags: Readonly<Record<string, string>>): Promise<void> {
    return this.#set(name, 'tags', () => {
      refuseMakerTag(Object.keys(tags));
      return this.#buckets.mergeTags(name, tags);
    });
  }

  removeBucket(name: string, { if_empty = false, signal }: port.RemoveBucketOptions = {}): Promise<void> {
    return this.#do(`remove bucket ${name}`, async () => {
      if (!canExist(name)) return;
      if (if_empty) await this.#removals.removeEmpty(name);
      else await this.#removals.removeWhole(name, signal);
    });
  }

  removeLifecycleRules(name: string, ids: readonly string[]): Promise<void> {
    return this.#unset(name, 'lifecycle', () => this.#buckets.removeLifecycle(name, ids));
  }

  removeTags(name: string, names: readonly string[]): Promise<void> {
    return this.#unset(name, 'tags', async () => {
      refuseMakerTag(names);
      await this.#buckets.removeTags(name, names);
    });
  }

  bucketStats(name: string): Promise<port.BucketStats> {
    return this.#do(`count what bucket ${name} holds`, () => {
      checkBucket(name);
      return this.#removals.stats(name);
    });
  }

  put(bucket: string, key: string, body: port.ObjectBody, options: port.PutOptions = {}): Promise<port.ObjectInfo> {
    return this.#do(`store ${bucket}/${key}`, () => {
      checkNames(bucket, key);
      return this.#puts.put(bucket, key, body, options);
    }).catch(async (error: unknown) => {
      // The source of a body that was refused has to be released; one that was read is released already.
      if (!(body instanceof Uint8Array) && !body.locked) await body.cancel(error).catch(() => undefined);
      throw error;
    });
  }

  /** A whole read is compared with the SHA-256 that the object was stored with, where it was stored by this adapter. */
  get(bucket: string, key: string, options: port.GetOptions = {}): Promise<port.StoredObject> {
    const doing = `read ${bucket}/${key}`;
    return this.#do(doing, () => {
      checkNames(bucket, key);
      return this.#objects.get(bucket, key, options, (cause) => toStorageError(cause, doing, this.#place));
    });
  }

  head(bucket: string, key: string, options: { version_id?: string } = {}): Promise<port.ObjectInfo> {
    return this.#do(`read ${bucket}/${key}`, () => {
      checkNames(bucket, key);
      return this.#objects.head(bucket, key, options.version_id);
    });
  }

  list(bucket: string, options: port.ListOptions = {}): Promise<{ objects: port.ObjectInfo[]; next?: string }> {
    return this.#do(`list bucket ${bucket}`, () => {
      checkBucket(bucket);
      return listObjects(this.#requests, bucket, options);
    });
  }

  listVersions(bucket: string, options: { prefix?: string } = {}): Promise<port.ObjectVersion[]> {
    return this.#do(`list versions in bucket ${bucket}`, () => {
      checkBucket(bucket);
      return listVersions(this.#requests, bucket, options.prefix ?? '');
    });
  }

  delete(bucket: string, key: string, options: { version_id?: string } = {}): Promise<void> {
    return this.#do(`delete ${bucket}/${key}`, () => {
      checkNames(bucket, key);
      return this.#objects.delete(bucket, key, options.version_id);
    });
  }

  /**
   * A URL by which whoever has it may read the object, without keys, for `expires_s` seconds (at most a week). Beyond the
   * port, since a file system has no such thing. The object need not be there. AWS is asked for the bucket's region
   * where none is configured; other stores are asked nothing.
   */
  presignRead(bucket: string, key: string, expires_s: number): Promise<string> {
    return this.#do(`make a URL for ${bucket}/${key}`, async () => {
      checkNames(bucket, key);
      if (!Number.isInteger(expires_s) || expires_s < 1 || expires_s > LONGEST_PRESIGNED_S)
        throw new StorageError('failed', `a URL may live 1 to ${LONGEST_PRESIGNED_S} seconds, not ${expires_s}`);
      const { endpoint, region } = this.#place;
      if (endpoint.amazon && region === undefined) await this.#requests.order({ method: 'HEAD', bucket, repeat: true });
      return this.#signer.presignRead(bucket, key, expires_s);
    });
  }

  /** Waits for calls under way, whose requests are not sent again; streams that are still being read end with an error. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#requests.close();
    // What hangs ends with its connection.
    const over = new AbortController();
    await Promise.race([Promise.allSettled(this.#busy), this.#place.clock.sleep(CLOSE_LIMIT_MS, over.signal)]);
    over.abort();
    this.#wire.close();
  }

  async #unset(bucket: string, feature: Feature, change: () => Promise<void>): Promise<void> {
    if (!canExist(bucket)) return;
    await this.#set(bucket, feature, change).catch((error: unknown) => {
      if (!(error instanceof StorageError && error.kind === 'no_such_bucket')) throw error;
    });
  }

  #set(bucket: string, feature: Feature, change: () => Promise<void>): Promise<void> {
    const name = feature === 'lifecycle' ? 'lifecycle rules' : feature;
    return this.#do(`set ${name} of bucket ${bucket}`, async () => {
      checkBucket(bucket);
      try {
        await change();
      } catch (error) {
        if (isFailure(error, 'NotImplemented')) this.#buckets.lacks.add(feature);
        throw error;
      }
    });
  }

  async #do<T>(doing: string, call: () => T | Promise<T>): Promise<T> {
    if (this.#closed) throw new StorageError('failed', `could not ${doing}: the object storage is closed`);
    const running = (async () => call())();
    this.#busy.add(running);
    try {
      return await running;
    } catch (error) {
      throw toStorageError(error, doing, this.#place);
    } finally {
      this.#busy.delete(running);
    }
  }
}

/** Wider than what a profile may name: buckets of others have older names. Whatever would not stay one segment of a path is none. */
function canExist(bucket: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket);
}

function checkBucket(bucket: string): void {
  if (!canExist(bucket))
    throw new StorageError('no_such_bucket', `there is no bucket ${JSON.stringify(bucket)}: no store takes such a name`);
}

function checkNames(bucket: string, key: string): void {
  checkBucket(bucket);
  keyBytes(key);
}

function refuseMakerTag(names: readonly string[]): void {
  if (names.includes(MAKER_TAG))
    throw new StorageError(
      'bad_name',
      `the tag ${MAKER_TAG} is kept for bootplane, which records there who made a bucket: use another name`,
    );
}

function refuseCrowd(waiting: number): void {
  if (waiting >= WAITING)
    throw new StorageError('backend_away', `${WAITING} requests wait for the object storage already: it is too slow or away; try again`);
}
