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
  /** Makes the bucket if it is not there. */
  ensureBucket(name: string): Promise<void>;
  /** Turns versioning on; with `false` suspends it (the caller has shown intent). */
  ensureVersioning(name: string, enabled: boolean): Promise<void>;
  /** Merges by `id`: adds or replaces these, keeps all others exactly as they are. */
  ensureLifecycle(name: string, rules: readonly LifecycleRule[]): Promise<void>;
  /** Merges by name: adds or replaces these, keeps all others. */
  ensureTags(name: string, tags: Readonly<Record<string, string>>): Promise<void>;

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
}

export interface BucketState {
  readonly name: string;
  readonly versioning: 'enabled' | 'suspended' | 'off';
  readonly lifecycle: readonly LifecycleRule[];
  readonly tags: Readonly<Record<string, string>>;
}

export type ObjectBody = Uint8Array | ReadableStream<Uint8Array>;

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
