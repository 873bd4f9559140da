import { createHash } from 'node:crypto';
import { toTimestamp } from '../../shared/contract/ids.ts';
import { BucketName, type LifecycleRule } from '../../shared/contract/profile.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { whyNoMaker } from '../../shared/ports/maker.ts';
import {
  type BucketState,
  type BucketStats,
  type GetOptions,
  MAX_COUNTED,
  type ObjectBody,
  type ObjectInfo,
  type ObjectStorage,
  type ObjectVersion,
  type PutOptions,
  type StorageCapabilities,
  StorageError,
} from '../../shared/ports/object-storage.ts';

interface Version {
  readonly info: ObjectInfo;
  /** Undefined for a delete marker. */
  readonly bytes: Uint8Array | undefined;
}

interface StoredBucket {
  versioning: BucketState['versioning'];
  lifecycle: Map<string, LifecycleRule>;
  tags: Map<string, string>;
  readonly made_by: string | undefined;
  /** Newest version first. */
  readonly objects: Map<string, Version[]>;
}

/** As in S3: what is written while versioning is not enabled. */
const UNVERSIONED = 'null';
const DAY_MS = 86_400_000;

export interface MemoryObjectStorage extends ObjectStorage {
  /** Hides or removes what the lifecycle rules say has had its time. Nothing happens by an untrusted clock. */
  expire(): void;
  /** A person deletes a bucket behind everybody's back. */
  dropBucket(name: string): void;
}

/** The object storage port in memory: one that loses all when the process ends, and is no adapter. */
export function memoryObjectStorage(clock: Clock, capabilities: Partial<StorageCapabilities> = {}): MemoryObjectStorage {
  const buckets = new Map<string, StoredBucket>();
  let versions = 0;

  function bucketOf(name: string): StoredBucket {
    const bucket = buckets.get(name);
    if (bucket === undefined) throw new StorageError('no_such_bucket', `there is no bucket ${name}`);
    return bucket;
  }

  function needs(capability: 'versioning' | 'lifecycle' | 'tags'): void {
    if (capabilities[capability] === false) throw new StorageError('failed', `this storage has no ${capability}`);
  }

  function addVersion(bucket: StoredBucket, key: string, version: Version): void {
    const old = bucket.objects.get(key) ?? [];
    bucket.objects.set(key, [version, ...old.filter(({ info }) => info.version_id !== version.info.version_id)]);
  }

  function nextVersionId(bucket: StoredBucket): string {
    versions += 1;
    return bucket.versioning === 'enabled' ? `v${versions}` : UNVERSIONED;
  }

  function hide(bucket: StoredBucket, key: string): void {
    if (bucket.versioning === 'off') bucket.objects.delete(key);
    else if (bucket.objects.has(key)) {
      const info = { key, version_id: nextVersionId(bucket), size: 0, modified_at: toTimestamp(clock.now()) };
      addVersion(bucket, key, { info, bytes: undefined });
    }
  }

  function find(name: string, key: string, version_id?: string): Version & { bytes: Uint8Array } {
    const all = bucketOf(name).objects.get(checkKey(key)) ?? [];
    const version = version_id === undefined ? all[0] : all.find(({ info }) => info.version_id === version_id);
    if (version?.bytes === undefined) throw new StorageError('no_such_key', `there is no ${key} in bucket ${name}`);
    return { ...version, bytes: version.bytes };
  }

  return {
    backend: { kind: 'memory', identity: 'memory' },
    capabilities: { versioning: true, lifecycle: true, tags: true, nested_keys: true, shared: false, records_maker: true, ...capabilities },

    async readBuckets(names) {
      return [...new Set(names)].flatMap((name) => {
        const bucket = buckets.get(name);
        return bucket === undefined ? [] : [stateOf(name, bucket)];
      });
    },
    async ensureBucket(name, { made_by } = {}) {
      const why = whyNoMaker(made_by);
      if (why !== undefined) throw new StorageError('bad_name', why);
      if (!BucketName.safeParse(name).success) throw new StorageError('bad_name', `${name} is no bucket name`);
      const maker = capabilities.records_maker === false ? undefined : made_by;
      const empty = { lifecycle: new Map(), tags: new Map(), objects: new Map() };
      if (!buckets.has(name)) buckets.set(name, { versioning: 'off', made_by: maker, ...empty });
    },
    async ensureVersioning(name, enabled) {
      needs('versioning');
      const bucket = bucketOf(name);
      if (enabled) bucket.versioning = 'enabled';
      else if (bucket.versioning === 'enabled') bucket.versioning = 'suspended';
    },
    async ensureLifecycle(name, rules) {
      needs('lifecycle');
      const bucket = bucketOf(name);
      for (const rule of rules) bucket.lifecycle.set(rule.id, { ...rule });
    },
    async ensureTags(name, tags) {
      needs('tags');
      const bucket = bucketOf(name);
      for (const [tag, value] of Object.entries(tags)) bucket.tags.set(tag, value);
    },
    async removeBucket(name, { if_empty = false } = {}) {
      if (if_empty && (buckets.get(name)?.objects.size ?? 0) > 0) throw new StorageError('not_empty', `bucket ${name} is not empty`);
      buckets.delete(name);
    },
    async removeLifecycleRules(name, ids) {
      for (const id of ids) buckets.get(name)?.lifecycle.delete(id);
    },
    async removeTags(name, names) {
      for (const tag of names) buckets.get(name)?.tags.delete(tag);
    },
    async bucketStats(name) {
      return statsOf([...bucketOf(name).objects.values()]);
    },

    async put(name, key, body, options: PutOptions = {}) {
      const bucket = bucketOf(name);
      checkKey(key);
      const bytes = await readAll(body);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      if (options.sha256 !== undefined && options.sha256 !== sha256) {
        throw new StorageError('checksum_mismatch', `${key} has sha256 ${sha256}, not ${options.sha256}`);
      }
      if (options.if_absent && bucket.objects.get(key)?.[0]?.bytes !== undefined) {
        throw new StorageError('already_exists', `${key} is in bucket ${name} already`);
      }
      const { content_type } = options;
      const about = { key, version_id: nextVersionId(bucket), size: bytes.length, sha256, modified_at: toTimestamp(clock.now()) };
      const info = { ...about, ...(content_type === undefined ? {} : { content_type }) };
      addVersion(bucket, key, { info, bytes });
      return info;
    },
    async get(name, key, options: GetOptions = {}) {
      const { info, bytes } = find(name, key, options.version_id);
      return { info, body: toStream(slice(bytes, options.range)) };
    },
    async head(name, key, options = {}) {
      return find(name, key, options.version_id).info;
    },
    async list(name, { prefix = '', after, limit = 1000 } = {}) {
      const latest = [...bucketOf(name).objects.values()].flatMap(([version]) => (version?.bytes === undefined ? [] : [version.info]));
      const wanted = latest
        .filter(({ key }) => key.startsWith(prefix) && (after === undefined || byBytes(key, after) > 0))
        .sort((a, b) => byBytes(a.key, b.key));
      const objects = wanted.slice(0, limit);
      const last = objects.at(-1);
      return wanted.length > objects.length && last !== undefined ? { objects, next: last.key } : { objects };
    },
    async listVersions(name, { prefix = '' } = {}) {
      const keys = [...bucketOf(name).objects].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => byBytes(a, b));
      return keys.flatMap(([, all]) =>
        all.map(({ info, bytes }, index): ObjectVersion => ({ ...info, latest: index === 0, delete_marker: bytes === undefined })),
      );
    },
    async delete(name, key, { version_id } = {}) {
      const bucket = bucketOf(name);
      checkKey(key);
      if (version_id === undefined) return hide(bucket, key);
      const left = (bucket.objects.get(key) ?? []).filter(({ info }) => info.version_id !== version_id);
      if (left.length === 0) bucket.objects.delete(key);
      else bucket.objects.set(key, left);
    },
    async close() {},

    expire() {
      if (!clock.trusted()) return;
      for (const bucket of buckets.values()) {
        for (const [key, [latest]] of [...bucket.objects]) {
          if (latest?.bytes !== undefined && expired(latest.info, [...bucket.lifecycle.values()], clock.now())) hide(bucket, key);
        }
      }
    },
    dropBucket(name) {
      buckets.delete(name);
    },
  };
}

function stateOf(name: string, { versioning, lifecycle, tags, made_by }: StoredBucket): BucketState {
  const maker = made_by === undefined ? {} : { made_by };
  return { name, versioning, lifecycle: [...lifecycle.values()], tags: Object.fromEntries(tags), ...maker };
}

function statsOf(keys: readonly (readonly Version[])[]): BucketStats {
  const all = keys.flatMap((versions) =>
    versions.map((version, index) => ({ ...version, readable: index === 0 && version.bytes !== undefined })),
  );
  const counted = all.slice(0, MAX_COUNTED);
  const objects = counted.filter(({ readable }) => readable).length;
  const bytes = counted.reduce((sum, { info }) => sum + info.size, 0);
  return { objects, older_versions: counted.length - objects, bytes, unfinished_uploads: 0, truncated: all.length > counted.length };
}

function expired({ key, modified_at }: ObjectInfo, rules: readonly LifecycleRule[], now: number): boolean {
  const age = now - Date.parse(modified_at);
  return rules.some(({ prefix, expire_days }) => key.startsWith(prefix) && age >= expire_days * DAY_MS);
}

function checkKey(key: string): string {
  const bytes = Buffer.byteLength(key);
  if (bytes < 1 || bytes > 1024 || key.includes('\0') || !key.isWellFormed()) {
    throw new StorageError('bad_name', 'a key has 1 to 1024 bytes of UTF-8 without NUL');
  }
  return key;
}

function slice(bytes: Uint8Array, range: GetOptions['range']): Uint8Array {
  if (range === undefined) return bytes;
  const end = Math.min(range.end ?? bytes.length - 1, bytes.length - 1);
  if (range.start < 0 || range.start > end) throw new StorageError('range_not_satisfiable', `the object has ${bytes.length} bytes`);
  return bytes.subarray(range.start, end + 1);
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function readAll(body: ObjectBody): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body.slice();
  try {
    return new Uint8Array(await new Response(body).arrayBuffer());
  } catch (cause) {
    throw new StorageError('failed', 'the body broke off', { cause });
  }
}

function toStream(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes.slice());
      controller.close();
    },
  });
}
