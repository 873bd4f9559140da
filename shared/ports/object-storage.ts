import type { LifecycleRule } from '../contract/profile.ts';

/**
 * Object storage: buckets with versioning, lifecycle rules and tags, and the objects in them.
 * Default: the file system. Each method may reject with `StorageError`.
 */
export interface ObjectStorage {
  readonly backend: StorageBackend;
  readonly capabilities: StorageCapabilities;

  /** The state of those of `names` that exist, in any order. One call, however many names. */
  readBuckets(names: readonly string[]): Promise<BucketState[]>;
  /**
   * Makes the bucket if it is not there. `made_by` (1 to 128 of `A-Z a-z 0-9 . _ : / @ + = -`, else `bad_name`) is recorded
   * with a bucket that this very call makes, where `capabilities.records_maker` says so: one that exists is never claimed.
   */
  ensureBucket(name: string, options?: { made_by?: string }): Promise<void>;
  /** Turns versioning on; with `false` suspends it (the caller has shown intent). */
  ensureVersioning(name: string, enabled: boolean): Promise<void>;
  /** Merges by `id`: adds or replaces these, keeps all others exactly as they are. */
  ensureLifecycle(name: string, rules: readonly LifecycleRule[]): Promise<void>;
  /** Merges by name: adds or replaces these, keeps all others. Where a tag records the maker, naming that one is `bad_name`. */
  ensureTags(name: string, tags: Readonly<Record<string, string>>): Promise<void>;

  /**
   * Removes a bucket; one that is not there is no error. With `if_empty` one that holds an object, a version, a delete
   * marker or an unfinished upload is refused (`not_empty`) by the store itself, as it removes: nothing that was stored
   * before is lost. Without it all that the bucket holds goes first. Where that breaks off, or `signal` aborts, the bucket may
   * be left with a part of it; the same call again goes on.
   */
  removeBucket(name: string, options?: RemoveBucketOptions): Promise<void>;
  /** Removes the rules of these ids, keeps all others exactly as they are. Ids or a bucket that are not there are no error. */
  removeLifecycleRules(name: string, ids: readonly string[]): Promise<void>;
  /** Removes the tags of these names, keeps all others. Names or a bucket that are not there are no error. */
  removeTags(name: string, names: readonly string[]): Promise<void>;
  /** What the bucket holds: the evidence before it is removed. Counts to `MAX_COUNTED` and no further. */
  bucketStats(name: string): Promise<BucketStats>;

  /**
   * Stores the object whole and durably, or not at all. With `if_absent` an existing key is left as
   * it is and the call rejects with `already_exists`. With `sha256` a body that differs is refused (`checksum_mismatch`).
   */
  put(bucket: string, key: string, body: ObjectBody, options?: PutOptions): Promise<ObjectInfo>;
  /** Rejects with `no_such_key`, or with `corrupt` when what is stored no longer matches its checksum. */
  get(bucket: string, key: string, options?: GetOptions): Promise<StoredObject>;
  head(bucket: string, key: string, options?: { version_id?: string }): Promise<ObjectInfo>;
  /** Latest versions, by key in UTF-8 byte order. */
  list(bucket: string, options?: ListOptions): Promise<{ objects: ObjectInfo[]; next?: string }>;
  /** All kept versions and delete markers of keys that start with `prefix`; newest first within a key. */
  listVersions(bucket: string, options?: { prefix?: string }): Promise<ObjectVersion[]>;
  /**
   * Without `version_id`: removes the key, or, where versioning is on, hides it behind a delete
   * marker. With it: removes that version for good. An absent key is no error (as in S3).
   */
  delete(bucket: string, key: string, options?: { version_id?: string }): Promise<void>;
  close(): Promise<void>;
}

/** `identity` names the store itself (path or origin), so that an approval for one is never used on another. */
export interface StorageBackend {
  readonly kind: 'fs' | 's3' | 'r2' | 'memory';
  readonly identity: string;
}

export interface StorageCapabilities {
  /** Keeps versions. */
  readonly versioning: boolean;
  /** Runs lifecycle expiry itself. */
  readonly lifecycle: boolean;
  readonly tags: boolean;
  /** Lists a key that another key and a slash begin (`a/b` beside `a`) as any other. False: it may be left out of lists, though reads find it. */
  readonly nested_keys: boolean;
  /** Several nodes see the same buckets. */
  readonly shared: boolean;
  /** Keeps with a bucket who made it. Without it `made_by` is never read. */
  readonly records_maker: boolean;
}

export interface BucketState {
  readonly name: string;
  readonly versioning: 'enabled' | 'suspended' | 'off';
  readonly lifecycle: readonly LifecycleRule[];
  /** Without the one that records the maker. */
  readonly tags: Readonly<Record<string, string>>;
  /** As it was given to the `ensureBucket` that made it. */
  readonly made_by?: string;
}

/** How many versions, delete markers and uploads `bucketStats` counts at most. */
export const MAX_COUNTED = 10_000;

/** All zero: `removeBucket` with `if_empty` finds nothing to refuse. */
export interface BucketStats {
  /** Keys that can be read. */
  readonly objects: number;
  /** Older versions and delete markers. */
  readonly older_versions: number;
  /** Of objects and older versions. */
  readonly bytes: number;
  readonly unfinished_uploads: number;
  /** There is more than was counted: each number is "at least". */
  readonly truncated: boolean;
}

export type ObjectBody = Uint8Array | ReadableStream<Uint8Array>;

export interface RemoveBucketOptions {
  readonly if_empty?: boolean;
  /** Nothing more is removed after it; what the store holds invisibly by then may still be tidied away. */
  readonly signal?: AbortSignal;
}

export interface PutOptions {
  readonly if_absent?: boolean;
  readonly content_type?: string;
  /** Lower-case hex. */
  readonly sha256?: string;
}

export interface GetOptions {
  readonly version_id?: string;
  /** Bytes `start` to `end`, both included, as in HTTP. */
  readonly range?: { readonly start: number; readonly end?: number };
}

export interface ListOptions {
  readonly prefix?: string;
  /** Continue after this key. */
  readonly after?: string;
  /** At most this many; 1 to 1000, default 1000. */
  readonly limit?: number;
}

export interface ObjectInfo {
  readonly key: string;
  readonly version_id: string;
  /** Bytes. */
  readonly size: number;
  /** Lower-case hex of the whole object; undefined where the backend does not keep it. */
  readonly sha256?: string;
  /** What the backend itself calls these bytes; only where it says so, and only to be compared. */
  readonly etag?: string;
  readonly content_type?: string;
  /** RFC 3339 UTC. */
  readonly modified_at: string;
}

export interface ObjectVersion extends ObjectInfo {
  readonly latest: boolean;
  readonly delete_marker: boolean;
}

export interface StoredObject {
  readonly info: ObjectInfo;
  readonly body: ReadableStream<Uint8Array>;
}

export type StorageErrorKind =
  | 'no_such_bucket'
  | 'no_such_key'
  | 'already_exists'
  | 'not_empty'
  | 'bad_name'
  | 'checksum_mismatch'
  | 'corrupt'
  | 'range_not_satisfiable'
  | 'full'
  | 'backend_away'
  | 'unauthorized'
  | 'failed';

export class StorageError extends Error {
  readonly kind: StorageErrorKind;
  constructor(kind: StorageErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StorageError';
    this.kind = kind;
  }
}
