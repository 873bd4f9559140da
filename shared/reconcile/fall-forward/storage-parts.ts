import type { Log } from '../../ports/log.ts';
import { type ObjectStorage, StorageError, type StorageErrorKind } from '../../ports/object-storage.ts';
import type { Presence } from './presence.ts';
import type { StorageBacklog } from './storage-backlog.ts';
import type { KeyLocks } from './storage-locks.ts';

/** What the parts of the fall forward of object storage share. */
export interface StorageParts {
  readonly external: ObjectStorage;
  readonly fallback: ObjectStorage;
  readonly backlog: StorageBacklog;
  readonly presence: Presence;
  /** By bucket and key. Who writes to a key shares it; who copies or deletes what waits has it alone. */
  readonly locks: KeyLocks;
  readonly log: Log;
  /** For people, as `storage (s3 at http://192.0.2.9:9000)`. */
  readonly name: string;
}

export function lockName(bucket: string, key: string): string {
  return `${bucket}/${key}`;
}

export function isKind(error: unknown, ...kinds: readonly StorageErrorKind[]): boolean {
  return error instanceof StorageError && kinds.includes(error.kind);
}

/** `what`: what can't be told or done until it is back. */
export function awayError({ name, presence }: Pick<StorageParts, 'name' | 'presence'>, what: string): StorageError {
  const why = presence.reason === undefined ? '' : ` (${presence.reason})`;
  return new StorageError('backend_away', `${name} is away${why}: ${what}`);
}

/** A call to the external. Rejects at once with `backend_away` while it is known to be away. */
export async function ask<T>(parts: StorageParts, what: string, work: (external: ObjectStorage) => Promise<T>): Promise<T> {
  await parts.presence.asked();
  if (parts.presence.state === 'away') throw awayError(parts, what);
  return parts.presence.call(() => work(parts.external));
}

/** The object, or undefined where the store says that there is none. */
export function orAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  return call.catch((error: unknown) => {
    if (isKind(error, 'no_such_key', 'no_such_bucket')) return undefined;
    throw error;
  });
}
