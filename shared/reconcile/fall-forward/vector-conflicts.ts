import type { BacklogConflict } from '../../contract/backlog-conflict.ts';
import type { Entry } from '../../ports/backlog.ts';
import type { Log } from '../../ports/log.ts';
import { VectorError, type VectorIndex, type VectorObject } from '../../ports/vector-index.ts';
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
  WRITTEN_ANEW,
} from './conflict-desk.ts';
import { contentOf, isSame, typesOf } from './vector-content.ts';
import type { VectorLedger } from './vector-ledger.ts';
import type { ObjectLocks } from './vector-locks.ts';
import { settleIndex } from './vector-settle.ts';

export interface VectorConflictParts {
  readonly external: VectorIndex;
  readonly fallback: VectorIndex;
  readonly ledger: VectorLedger;
  readonly locks: ObjectLocks;
  readonly log: Log;
  /** For people, as `vector (weaviate at http://192.0.2.9:8080)`. */
  readonly name: string;
  /** A call to the external. Rejects at once with `backend_away` while that is away. */
  read<T>(work: (external: VectorIndex) => Promise<T>): Promise<T>;
}

interface Sides {
  /** Absent: the embedded default holds it no more, or it was deleted here. */
  readonly ours: VectorObject | undefined;
  readonly theirs: VectorObject | undefined;
}

/**
 * Vectors that did not go over. Ours takes the place of the other one after a look at it: what somebody stores between that
 * look and the write is replaced, since the port knows no write on condition.
 */
export function vectorConflicts(parts: VectorConflictParts): ConflictDesk {
  return createEntryDesk({
    component: 'vector',
    conflicts: (limit, after) => parts.ledger.conflicts(limit, after),
    show: (entry) => show(parts, entry),
    giveUp: (entry) => settled(parts, entry, () => giveUp(parts, entry)),
    takeOver: (entry, tag) => settled(parts, entry, () => takeOver(parts, entry, tag)),
  });
}

/**
 * These were written in the external since, so conflicts about them are over: once searches find them, for what was in the
 * way may have been left there by a connection that was cut. Never rejects: a person can end them too.
 */
export async function endWritten(parts: VectorConflictParts, place: string, objects: readonly VectorObject[]): Promise<void> {
  const written = new Map(objects.map((object) => [object.id, object]));
  await endAll(parts, place, [...written.keys()], async (entries) => {
    await prove(
      parts,
      place,
      entries.flatMap(({ key }) => written.get(key) ?? []),
    );
  });
}

/** It was deleted in the external since. Never rejects. */
export function endDeleted(parts: VectorConflictParts, place: string, id: string): Promise<void> {
  return endAll(parts, place, [id], async () => undefined);
}

async function endAll(
  { ledger, log }: VectorConflictParts,
  place: string,
  ids: readonly string[],
  before: (entries: readonly Entry[]) => Promise<void>,
): Promise<void> {
  try {
    if (ledger.counts.conflicts === 0) return;
    const entries = await ledger.conflicting(place, ids);
    if (entries.length === 0) return;
    await before(entries);
    await ledger.settle(entries.map((entry) => ({ entry, state: 'forwarded', detail: WRITTEN_ANEW })));
  } catch (error) {
    // The call that it follows was done all the same.
    log.debug(`conflicts of vectors of class ${place} stay`, { error: messageOf(error) });
  }
}

/** With the object for itself, and only while this still is the conflict. */
function settled({ ledger, locks }: VectorConflictParts, { place, key, number }: Entry, work: () => Promise<Decided>): Promise<Decided> {
  return locks.hold(place, [key], async () => {
    const [entry] = await ledger.conflicting(place, [key]);
    return entry?.number === number ? work() : refuse('conflict_changed', CHANGED);
  });
}

async function giveUp({ ledger, name }: VectorConflictParts, entry: Entry): Promise<Decided> {
  await ledger.settle([{ entry, state: 'forwarded', detail: GIVEN_UP }]);
  return { message: `${entry.key} of ${entry.place}: ${name} keeps what it holds; what the embedded default has stays there` };
}

async function show(parts: VectorConflictParts, entry: Entry): Promise<Shown> {
  const ours = await keptOf(parts, entry);
  const about = { kind: 'vector', ours: await describeOurs(entry, ours) } as const;
  try {
    const sides = { ours, theirs: await heldThere(parts, entry) };
    const theirs: BacklogConflict['theirs'] =
      sides.theirs === undefined ? { holds: false } : { holds: true, ...(await describe(sides.theirs)) };
    return { ...about, theirs, ...(isPossible(entry, ours) ? { tag: await tagOfSides(entry, sides) } : {}) };
  } catch (error) {
    return { ...about, theirs: { holds: 'unknown', why: messageOf(error) } };
  }
}

async function takeOver(parts: VectorConflictParts, entry: Entry, tag: string): Promise<Decided> {
  const { ledger, name } = parts;
  const { place, key } = entry;
  try {
    const ours = await keptOf(parts, entry);
    if (!isPossible(entry, ours)) return refuse('conflict_stays', `the embedded default holds no ${key} of ${place} any more`);
    const theirs = await heldThere(parts, entry);
    if ((await tagOfSides(entry, { ours, theirs })) !== tag) return refuse('conflict_changed', CHANGED);
    if (ours === undefined) await parts.read((external) => external.delete(place, key));
    else await putThere(parts, place, ours);
  } catch (error) {
    if (error instanceof VectorError && error.kind === 'backend_away') return refuse('backend_away', error.message);
    return refuse('conflict_stays', `${name} does not take it: ${messageOf(error)}`);
  }
  await ledger.settle([{ entry, state: 'forwarded', detail: TAKEN_OVER }]);
  return { message: `${key} of ${place}: ${entry.deleted === true ? `it is deleted in ${name} too` : `${name} holds ours now`}` };
}

async function putThere(parts: VectorConflictParts, place: string, ours: VectorObject): Promise<void> {
  await parts.read((external) => external.upsert(place, [ours]));
  await prove(parts, place, [ours]);
}

/** That they are there and are found; what is not is written again. */
async function prove(
  { external, fallback, log, read }: VectorConflictParts,
  place: string,
  objects: readonly VectorObject[],
): Promise<void> {
  const types = typesOf((await fallback.readClasses([place]))[0]);
  const { taken, absent, unfound } = await read(() =>
    settleIndex({ external, log }, place, objects, (one, other) => isSame(one, other, types)),
  );
  if (taken.size > 0) throw new VectorError('failed', 'it was stored, but something else is there now');
  if (absent.size > 0) throw new VectorError('failed', 'it said that it stored it, and does not have it');
  if (unfound.size > 0) throw new VectorError('failed', 'it is stored, but searches there do not find it');
}

async function keptOf({ fallback }: VectorConflictParts, { place, key, deleted }: Entry): Promise<VectorObject | undefined> {
  return deleted === true ? undefined : orAbsent(fallback.get(place, key));
}

/** Rejects where it can't be told. */
function heldThere({ read }: VectorConflictParts, { place, key }: Entry): Promise<VectorObject | undefined> {
  return read((external) => orAbsent(external.get(place, key)));
}

/** Nothing can take the place of the other one where ours is lost. */
function isPossible({ deleted }: Entry, ours: VectorObject | undefined): boolean {
  return deleted === true || ours !== undefined;
}

async function tagOfSides({ number }: Entry, { ours, theirs }: Sides): Promise<string> {
  const [one, other] = [ours && (await describe(ours)), theirs && (await describe(theirs))];
  return tagOf([number, one ?? 'nothing'], other ?? 'nothing');
}

async function describeOurs({ size, hash, deleted }: Entry, ours: VectorObject | undefined): Promise<BacklogConflict['ours']> {
  if (deleted === true) return { size, hash, deleted: true };
  return ours === undefined ? { size, hash, missing: true } : describe(ours);
}

async function describe(object: VectorObject): Promise<{ size: number; hash: string }> {
  const { size, hash } = await contentOf(object);
  return { size, hash };
}

/** A class that is not there holds nothing. */
function orAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  return call.catch((error: unknown) => {
    if (error instanceof VectorError && error.kind === 'no_such_class') return undefined;
    throw error;
  });
}
