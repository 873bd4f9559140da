import type { BacklogStatus } from '../../contract/backlog.ts';
import { type GetOptions, type ObjectStorage, type RemoveBucketOptions, StorageError } from '../../ports/object-storage.ts';
import { otherExternals } from './other-externals.ts';
import { createPresence } from './presence.ts';
import { StorageBacklog } from './storage-backlog.ts';
import { storageConflicts } from './storage-conflicts.ts';
import { forwardObjects } from './storage-forwarder.ts';
import { listObjects, listVersions } from './storage-lists.ts';
import { KeyLocks } from './storage-locks.ts';
import { ask, isKind, type StorageParts } from './storage-parts.ts';
import { readObject, readVersion } from './storage-reads.ts';
import { deleteObject, putObject } from './storage-writes.ts';
import type { FallForward, ForwardDeps } from './types.ts';

/** Asked for to find out whether the external answers. It need not be there. */
const PROBED = 'bootplane-probe';
const PAGE = 1000;

/**
 * Object storage with an external that may be away. `fallback` must keep the SHA-256 of what it stores.
 *
 * - Written while the external is away: kept in the embedded default, durably, and copied when it answers. Never replaces
 *   anything there: a key that holds other bytes keeps them, and ours is a conflict. So a key that the external held before
 *   is a conflict when it is written while that is away.
 * - A key that waits is written and read in the embedded default until it has gone over, also when the external answers
 *   again. Anything else is `backend_away` while it is away, never absent. `if_absent`, lists, and the deletion of what
 *   does not wait need the external.
 * - While a key is copied, whoever writes to it or deletes it waits until that has ended. Then it goes to the external.
 * - Lists show what waits in its place once the external answers.
 * - Version ids of what was written while it was away are those of the embedded default. They stay good for reads.
 * - Counts as away until `run` has its first answer.
 *
 * `port.close` closes both sides, and not the backlog.
 */
export function createForwardStorage(deps: ForwardDeps<ObjectStorage>): FallForward<ObjectStorage> {
  const { external, fallback, log, tell } = deps;
  const { kind, identity } = external.backend;
  const name = `storage (${kind} at ${identity})`;
  const backlog = new StorageBacklog(deps.backlog, identity);
  const conflict = (message: string) => {
    log.warn(`${name}: ${message}`);
    tell?.({ kind: 'conflict', message: `${name}: ${message}` });
  };
  const said = new Set<string>();
  const missing = (bucket: string) => {
    if (!said.has(bucket)) log.info(`objects wait in the embedded default: ${name} has no bucket ${bucket} yet`);
    said.add(bucket);
  };
  const presence = createPresence({
    ...{ clock: deps.clock, random: deps.random, log, name },
    isAway: (error) => isKind(error, 'backend_away'),
    probe: async () => {
      await external.readBuckets([PROBED]);
    },
    forward: (signal) => forwardObjects({ ...parts, conflict, missing }, signal),
    changed: () => tell?.({ kind: 'moved', message: movedMessage(name, status()) }),
  });
  const parts: StorageParts = { external, fallback, backlog, presence, locks: new KeyLocks(), log, name };
  const others = otherExternals(deps.backlog, { component: 'storage', identity }, async () => {
    await backlog.recount();
    presence.wake();
  });
  const status = (): BacklogStatus => {
    const { state, reason } = presence;
    return { presence: state, ...(reason === undefined ? {} : { reason }), ...backlog.counts };
  };
  return {
    ...{ port: createPort(parts, conflict), external, fallback, status, others, conflicts: storageConflicts(parts) },
    async run(signal) {
      await backlog.recount().catch((error: unknown) => log.warn(`${name}: ${String(error)}`));
      await presence.run(signal);
    },
    wake: () => presence.wake(),
  };
}

function createPort(parts: StorageParts, conflict: (message: string) => void): ObjectStorage {
  const { external, fallback } = parts;
  const topology = <T>(bucket: string, work: (storage: ObjectStorage) => Promise<T>) =>
    ask(parts, `bucket ${bucket} can't be read or changed`, work);
  return {
    get backend() {
      return external.backend;
    },
    get capabilities() {
      return external.capabilities;
    },
    readBuckets: (names) => ask(parts, "its buckets can't be read", (storage) => storage.readBuckets(names)),
    ensureBucket: (bucket, options) => topology(bucket, (storage) => storage.ensureBucket(bucket, options)),
    ensureVersioning: (bucket, enabled) => topology(bucket, (storage) => storage.ensureVersioning(bucket, enabled)),
    ensureLifecycle: (bucket, rules) => topology(bucket, (storage) => storage.ensureLifecycle(bucket, rules)),
    ensureTags: (bucket, tags) => topology(bucket, (storage) => storage.ensureTags(bucket, tags)),
    removeBucket: (bucket, options) => removeBucket(parts, conflict, bucket, options),
    removeLifecycleRules: (bucket, ids) => topology(bucket, (storage) => storage.removeLifecycleRules(bucket, ids)),
    removeTags: (bucket, names) => topology(bucket, (storage) => storage.removeTags(bucket, names)),
    bucketStats: (bucket) => topology(bucket, (storage) => storage.bucketStats(bucket)),
    put: (bucket, key, body, options = {}) => putObject(parts, { bucket, key, body, options }),
    get: (bucket, key, options = {}) => read(parts, { bucket, key, options }, (storage) => storage.get(bucket, key, options)),
    head: (bucket, key, options = {}) => read(parts, { bucket, key, options }, (storage) => storage.head(bucket, key, options)),
    list: (bucket, options = {}) => listObjects(parts, bucket, options),
    listVersions: (bucket, options = {}) => listVersions(parts, bucket, options),
    delete: (bucket, key, options = {}) => deleteObject(parts, bucket, key, options),
    async close() {
      for (const one of await Promise.allSettled([external.close(), fallback.close()])) if (one.status === 'rejected') throw one.reason;
    },
  };
}

interface Asked {
  readonly bucket: string;
  readonly key: string;
  readonly options: GetOptions;
}

function read<T>(parts: StorageParts, { bucket, key, options }: Asked, work: (storage: ObjectStorage) => Promise<T>): Promise<T> {
  const { version_id } = options;
  return version_id === undefined ? readObject(parts, bucket, key, work) : readVersion(parts, { bucket, key, version_id }, work);
}

/** What waits for a bucket has nowhere to go when that is removed: a person has to decide. */
async function removeBucket(
  parts: StorageParts,
  conflict: (message: string) => void,
  bucket: string,
  options: RemoveBucketOptions = {},
): Promise<void> {
  const { backlog, name } = parts;
  if (options.if_empty === true && (await backlog.list(bucket, { limit: 1 })).length > 0)
    throw new StorageError('not_empty', `bucket ${bucket} was left as it is: objects wait to go there, to ${name}`);
  await ask(parts, `bucket ${bucket} can't be removed`, (external) => external.removeBucket(bucket, options));
  for (let page = await backlog.list(bucket, { limit: PAGE }); page.length > 0; page = await backlog.list(bucket, { limit: PAGE }))
    for (const entry of page) {
      await backlog.settle(entry, 'conflict', 'its bucket was removed');
      conflict(`${bucket}/${entry.key}: its bucket was removed; ours stays in the embedded default`);
    }
}

function movedMessage(name: string, { presence, reason, waiting }: BacklogStatus): string {
  switch (presence) {
    case 'away':
      return `${name} is away: the embedded default takes what is written${reason === undefined ? '' : `: ${reason}`}`;
    case 'forwarding':
      return `${name} answers: ${waiting === 1 ? '1 object goes' : `${waiting} objects go`} over`;
    case 'present':
      return `${name} has all that waited`;
    default:
      return presence satisfies never;
  }
}
