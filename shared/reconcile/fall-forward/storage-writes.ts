import type { Entry } from '../../ports/backlog.ts';
import { type ObjectBody, type ObjectInfo, type PutOptions, StorageError } from '../../ports/object-storage.ts';
import { ask, awayError, isKind, lockName, orAbsent, type StorageParts } from './storage-parts.ts';

interface Order {
  readonly bucket: string;
  readonly key: string;
  readonly body: ObjectBody;
  readonly options: PutOptions;
}

/**
 * Stores an object in the external, or, while that is away or the key waits already, in the embedded default. Bytes fall
 * over within the call; a stream that was begun can't, and rejects with `backend_away`: the caller repeats it.
 * `if_absent` is a question to the external: while that is away only a key that waits has an answer (`already_exists`).
 */
export async function putObject(parts: StorageParts, order: Order): Promise<ObjectInfo> {
  const { bucket, key, body } = order;
  try {
    await parts.presence.asked();
    return await parts.locks.shared(lockName(bucket, key), () => put(parts, order));
  } catch (error) {
    // The source of a body that was refused has to be released; one that was read is released already.
    if (!(body instanceof Uint8Array) && !body.locked) await body.cancel(error).catch(() => undefined);
    throw error;
  }
}

async function put(parts: StorageParts, order: Order): Promise<ObjectInfo> {
  const { bucket, key, body, options } = order;
  const { backlog, presence, external } = parts;
  const entry = await backlog.find(bucket, key);
  if (options.if_absent === true && entry !== undefined && entry.deleted !== true)
    throw new StorageError('already_exists', `${bucket}/${key} exists already and was left as it is`);
  if (presence.state === 'away' || (entry !== undefined && entry.adopted !== true)) return keep(parts, order, entry);
  const info = await presence
    .call(() => external.put(bucket, key, body, options))
    .catch((error: unknown) => {
      if (isKind(error, 'backend_away') && body instanceof Uint8Array && options.if_absent !== true) return undefined;
      throw error;
    });
  if (info === undefined) return keep(parts, order, entry);
  if (entry !== undefined) await backlog.settle(entry, 'forwarded', 'written anew in the external');
  else await backlog.endConflict(bucket, key);
  return info;
}

/** First the object, then the entry: what a crash leaves between the two was never acknowledged. */
async function keep(parts: StorageParts, { bucket, key, body, options }: Order, entry: Entry | undefined): Promise<ObjectInfo> {
  const { fallback, backlog, presence } = parts;
  if (options.if_absent === true && entry === undefined) throw awayError(parts, `whether ${bucket}/${key} is free can't be told`);
  const info = await fallback.put(bucket, key, body, options).catch((error: unknown) => {
    if (!isKind(error, 'no_such_bucket')) throw error;
    throw awayError(parts, `bucket ${bucket} is not in the embedded default, which takes only what the profile names`);
  });
  try {
    await backlog.add(bucket, info);
  } finally {
    // Also where that failed: it may be noted all the same, and would wait while nobody looks.
    presence.grown();
  }
  return info;
}

/**
 * Deletes in the external. What waits is deleted in both; while the external is away the deletion waits in its place, and
 * what does not wait can't be deleted (`backend_away`). Versions of a key that waits can't be removed until it has gone over.
 */
export async function deleteObject(parts: StorageParts, bucket: string, key: string, options: { version_id?: string }): Promise<void> {
  await parts.presence.asked();
  await parts.locks.alone(lockName(bucket, key), async () => {
    const entry = await parts.backlog.find(bucket, key);
    const doing = `${bucket}/${key} can't be deleted`;
    if (entry === undefined) {
      await ask(parts, doing, (external) => external.delete(bucket, key, options));
      // One of its older versions is not what is in our way.
      if (options.version_id === undefined) await parts.backlog.endConflict(bucket, key);
      return;
    }
    if (options.version_id !== undefined)
      throw new StorageError('backend_away', `${bucket}/${key} waits for ${parts.name}: its versions can be removed once it has gone over`);
    await deleteWaiting(parts, entry);
  });
}

async function deleteWaiting(parts: StorageParts, entry: Entry): Promise<void> {
  const { backlog, presence, external } = parts;
  const { place, key } = entry;
  if (presence.state !== 'away') {
    const isDone = await presence
      .call(() => external.delete(place, key))
      .then(
        () => true,
        (error: unknown) => {
          if (isKind(error, 'backend_away', 'no_such_bucket')) return isKind(error, 'no_such_bucket');
          throw error;
        },
      );
    if (isDone) {
      await backlog.settle(entry, 'forwarded', 'deleted');
      return dropKept(parts, entry);
    }
  }
  // First the entry: from then on it counts as deleted, whatever the embedded default still holds.
  try {
    if (entry.deleted !== true) await backlog.addDeletion(entry);
    await dropKept(parts, entry);
  } finally {
    presence.grown();
  }
}

/** Hides it in the embedded default, unless that was done: a second time would put a second marker where versions are kept. */
export async function dropKept({ fallback }: StorageParts, { place, key }: Pick<Entry, 'place' | 'key'>): Promise<void> {
  if ((await orAbsent(fallback.head(place, key))) !== undefined) await fallback.delete(place, key);
}
