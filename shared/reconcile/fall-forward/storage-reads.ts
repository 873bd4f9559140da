import type { Entry } from '../../ports/backlog.ts';
import { type ObjectStorage, StorageError } from '../../ports/object-storage.ts';
import { ask, awayError, isKind, orAbsent, type StorageParts } from './storage-parts.ts';

type Read<T> = (storage: ObjectStorage) => Promise<T>;

/** What a bucket without versions calls its only one: both sides do. */
const UNVERSIONED = 'null';

/**
 * Reads one object from where it is: what waits from the embedded default, anything else from the external. What was
 * stored is never said to be absent: while the external is away, what only it could tell is `backend_away`.
 */
export async function readObject<T>(parts: StorageParts, bucket: string, key: string, read: Read<T>): Promise<T> {
  const { backlog, presence, fallback, external } = parts;
  const name = `${bucket}/${key}`;
  await presence.asked();
  for (;;) {
    const entry = await backlog.find(bucket, key);
    if (entry === undefined) return await ask(parts, `whether it holds ${name} can't be told`, read);
    if (entry.deleted === true) throw new StorageError('no_such_key', `there is no object ${name}`);
    if (entry.adopted === true && presence.state !== 'away') {
      const found = await newer(presence.call(() => read(external)));
      if (found !== undefined) return found.value;
    }
    const kept = await orAbsent(read(fallback).then((value) => ({ value })));
    if (kept !== undefined) return kept.value;
    // It may have gone over, or may have been deleted, between the two steps: look again.
    if ((await backlog.find(bucket, key))?.number === entry.number) throw lost(entry);
  }
}

/** What was in the embedded default before may have been replaced in the external since: that one goes first. */
function newer<T>(call: Promise<T>): Promise<{ value: T } | undefined> {
  return call.then(
    (value) => ({ value }),
    (error: unknown) => {
      if (isKind(error, 'no_such_key', 'no_such_bucket', 'backend_away')) return undefined;
      throw error;
    },
  );
}

/** One version of an object. The id of one that was written while the external was away is good for the embedded default alone, also later. */
export async function readVersion<T>(parts: StorageParts, { bucket, key, version_id }: VersionName, read: Read<T>): Promise<T> {
  const { backlog, presence, fallback, external } = parts;
  await presence.asked();
  const isOnlyOne = version_id === UNVERSIONED;
  if (isOnlyOne && (await backlog.find(bucket, key)) === undefined) return ask(parts, `versions of ${bucket}/${key} can't be told`, read);
  const kept = await orAbsent(read(fallback).then((value) => ({ value })));
  if (kept !== undefined) return kept.value;
  if (presence.state === 'away') throw awayError(parts, `whether it holds that version of ${bucket}/${key} can't be told`);
  return presence.call(() => read(external));
}

interface VersionName {
  readonly bucket: string;
  readonly key: string;
  readonly version_id: string;
}

function lost({ place, key, at }: Entry): StorageError {
  const what = `${place}/${key} was written at ${at} while the object storage was away, and is not in the embedded default any more`;
  return new StorageError('corrupt', `${what}: a rule of the bucket let it expire, or its files were lost; store the object again`);
}
