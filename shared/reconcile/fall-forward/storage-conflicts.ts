import type { BacklogConflict } from '../../contract/backlog-conflict.ts';
import type { Entry } from '../../ports/backlog.ts';
import { type ObjectInfo, StorageError } from '../../ports/object-storage.ts';
import { messageOf } from '../wording.ts';
import {
  CHANGED,
  type ConflictDesk,
  createEntryDesk,
  type Decided,
  GIVEN_UP,
  refuse,
  type Shown,
  TAKEN_OVER,
  tagOf,
} from './conflict-desk.ts';
import { awayError, isKind, lockName, orAbsent, type StorageParts } from './storage-parts.ts';
import { dropKept } from './storage-writes.ts';

/** Both sides of one key. */
interface Sides {
  /** Absent: the embedded default holds it no more, or it was deleted here. */
  readonly ours: ObjectInfo | undefined;
  /** Undefined: it holds none. */
  readonly theirs: ObjectInfo | undefined;
}

/**
 * Objects that did not go over. Ours takes the place of the other one after a look at it: what somebody stores between that
 * look and the write is replaced, since the port knows no write on condition; a bucket with versions keeps it below.
 */
export function storageConflicts(parts: StorageParts): ConflictDesk {
  return createEntryDesk({
    component: 'storage',
    conflicts: (limit, after) => parts.backlog.conflicts(limit, after),
    show: (entry) => show(parts, entry),
    giveUp: (entry) => settled(parts, entry, () => giveUp(parts, entry)),
    takeOver: (entry, tag) => settled(parts, entry, () => takeOver(parts, entry, tag)),
  });
}

/** With the key for itself, and only while this still is the conflict. */
function settled({ backlog, locks }: StorageParts, { place, key, number }: Entry, work: () => Promise<Decided>): Promise<Decided> {
  return locks.alone(lockName(place, key), async () => {
    const entry = await backlog.findConflict(place, key);
    return entry?.number === number ? work() : refuse('conflict_changed', CHANGED);
  });
}

async function giveUp({ backlog, name }: StorageParts, entry: Entry): Promise<Decided> {
  await backlog.settle(entry, 'forwarded', GIVEN_UP);
  return { message: `${entry.place}/${entry.key}: ${name} keeps what it holds; what the embedded default has stays there` };
}

async function show(parts: StorageParts, entry: Entry): Promise<Shown> {
  const ours = await keptOf(parts, entry);
  const about = { kind: 'object', ours: describeOurs(entry, ours) } as const;
  try {
    const sides = { ours, theirs: await heldThere(parts, entry) };
    const theirs: BacklogConflict['theirs'] = sides.theirs === undefined ? { holds: false } : { holds: true, ...describe(sides.theirs) };
    return { ...about, theirs, ...(isPossible(entry, ours) ? { tag: await tagOfSides(entry, sides) } : {}) };
  } catch (error) {
    return { ...about, theirs: { holds: 'unknown', why: messageOf(error) } };
  }
}

async function takeOver(parts: StorageParts, entry: Entry, tag: string): Promise<Decided> {
  const { backlog, name } = parts;
  const { place, key } = entry;
  try {
    const ours = await keptOf(parts, entry);
    if (!isPossible(entry, ours)) return refuse('conflict_stays', `the embedded default holds no ${place}/${key} any more`);
    const theirs = await heldThere(parts, entry);
    if ((await tagOfSides(entry, { ours, theirs })) !== tag) return refuse('conflict_changed', CHANGED);
    await (ours === undefined ? removeThere(parts, entry) : putThere(parts, entry, ours, theirs === undefined));
  } catch (error) {
    if (isKind(error, 'backend_away')) return refuse('backend_away', messageOf(error));
    return refuse('conflict_stays', `${name} does not take it: ${messageOf(error)}`);
  }
  await backlog.settle(entry, 'forwarded', TAKEN_OVER);
  return { message: entry.deleted === true ? `${place}/${key}: it is deleted in ${name} too` : `${place}/${key}: ${name} holds ours now` };
}

async function putThere(
  { external, fallback, presence }: StorageParts,
  { place, key }: Entry,
  ours: ObjectInfo,
  isFree: boolean,
): Promise<void> {
  const { sha256, content_type } = ours;
  const kept = await fallback.get(place, key);
  try {
    const options = {
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(content_type === undefined ? {} : { content_type }),
      ...(isFree ? { if_absent: true } : {}),
    };
    await presence.call(() => external.put(place, key, kept.body, options));
  } finally {
    if (!kept.body.locked) await kept.body.cancel().catch(() => undefined);
  }
  const there = await presence.call(() => external.head(place, key));
  if (there.size !== ours.size || (there.sha256 !== undefined && there.sha256 !== sha256))
    throw new StorageError('failed', `it was stored, but something else is there now (${there.size} bytes of ${there.modified_at})`);
}

async function removeThere(parts: StorageParts, entry: Entry): Promise<void> {
  await dropKept(parts, entry);
  await parts.presence.call(() => parts.external.delete(entry.place, entry.key));
}

async function keptOf({ fallback }: StorageParts, { place, key, deleted }: Entry): Promise<ObjectInfo | undefined> {
  return deleted === true ? undefined : orAbsent(fallback.head(place, key));
}

/** Rejects where it can't be told. */
async function heldThere(parts: StorageParts, { place, key }: Entry): Promise<ObjectInfo | undefined> {
  const { presence, external } = parts;
  await presence.asked();
  if (presence.state === 'away') throw awayError(parts, `what it holds under ${place}/${key} can't be told`);
  return presence.call(() => orAbsent(external.head(place, key)));
}

/** Nothing can take the place of the other one where ours is lost. */
function isPossible({ deleted }: Entry, ours: ObjectInfo | undefined): boolean {
  return deleted === true || ours !== undefined;
}

function tagOfSides({ number }: Entry, { ours, theirs }: Sides): Promise<string> {
  const identify = (info: ObjectInfo | undefined) =>
    info === undefined ? 'nothing' : { ...describe(info), version_id: info.version_id, etag: info.etag ?? '' };
  return tagOf([number, ours === undefined ? 'nothing' : describe(ours)], identify(theirs));
}

function describeOurs({ size, hash, deleted }: Entry, ours: ObjectInfo | undefined): BacklogConflict['ours'] {
  if (deleted === true) return { size, hash, deleted: true };
  return ours === undefined ? { size, hash, missing: true } : describe(ours);
}

function describe({ size, sha256, modified_at }: ObjectInfo) {
  return { size, modified_at, ...(sha256 === undefined ? {} : { hash: sha256 }) };
}
