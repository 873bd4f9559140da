import type { Entry } from '../../ports/backlog.ts';
import { type ObjectInfo, StorageError, type StoredObject } from '../../ports/object-storage.ts';
import { sameBytes, watchedStream } from './storage-bodies.ts';
import { isKind, lockName, orAbsent, type StorageParts } from './storage-parts.ts';
import { dropKept } from './storage-writes.ts';

/** Objects under way at a time. */
const AT_A_TIME = 8;
const PAGE = 256;

export interface ForwarderDeps extends StorageParts {
  /** Told of each conflict once. */
  conflict(message: string): void;
  /** Told of each bucket that is not in the external yet, in each pass. */
  missing(bucket: string): void;
}

/** One pass over what waits. */
interface Pass extends ForwarderDeps {
  /** Buckets that turned out to be missing: no more is sent to them in this pass. */
  readonly absent: Set<string>;
}

/** How one entry ended, or undefined where it has to wait on. */
type End = { readonly state: 'forwarded' | 'conflict'; readonly detail?: string } | undefined;

/**
 * Copies objects that wait to the external, where nothing is ever replaced: a key that holds the same bytes counts as
 * copied, and one that holds others keeps them, and ours is a conflict. A copy that a crash or a lost answer left
 * unnoted is found like that and not sent again. True when nothing waits any more.
 */
export async function forwardObjects(deps: ForwarderDeps, signal: AbortSignal): Promise<boolean> {
  const pass = { ...deps, absent: new Set<string>() };
  const entries = pending(deps, signal);
  let trouble: unknown;
  const lane = async () => {
    for await (const entry of entries) {
      try {
        if (!pass.absent.has(entry.place)) await forwardOne(pass, entry);
      } catch (error) {
        if (isKind(error, 'backend_away')) throw error;
        // What is wrong with one object says nothing about the others.
        trouble ??= error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: AT_A_TIME }, lane));
  for (const one of lanes) if (one.status === 'rejected') throw one.reason;
  if (trouble !== undefined) throw trouble;
  return (await deps.backlog.recount()).waiting === 0;
}

/** What waits, oldest first, with what comes meanwhile. One iterator for all lanes: when one of them ends, all do. */
async function* pending({ backlog }: StorageParts, signal: AbortSignal): AsyncGenerator<Entry> {
  for (let after = 0; ; ) {
    const page = await backlog.next(PAGE, after);
    for (const entry of page) {
      if (signal.aborted) return;
      yield entry;
    }
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.number;
  }
}

async function forwardOne(deps: Pass, { place, key, number }: Entry): Promise<void> {
  const name = lockName(place, key);
  // Somebody writes to it just now: its turn comes.
  if (deps.locks.isHeld(name)) return;
  await deps.locks.alone(name, async () => {
    const entry = await deps.backlog.find(place, key);
    if (entry?.number !== number) return;
    const end = entry.deleted === true ? await forwardDeletion(deps, entry) : await forwardObject(deps, entry);
    if (end === undefined) return;
    await deps.backlog.settle(entry, end.state, end.detail);
    if (end.state === 'conflict') deps.conflict(`${place}/${key}: ${end.detail}`);
  });
}

async function forwardObject(deps: Pass, entry: Entry): Promise<End> {
  const { place, key, hash } = entry;
  const info = await orAbsent(deps.fallback.head(place, key));
  if (info === undefined) return conflict('it is not in the embedded default any more: a rule let it expire, or its files were lost');
  if (info.sha256 !== hash) {
    // Written again by a call that did not come to its end. Reads show that one, so that one goes.
    await deps.backlog.add(place, info);
    return undefined;
  }
  const stored = await store(deps, entry, info);
  if (stored !== 'stored' && stored !== 'taken') return stored;
  return compare(deps, entry, info, stored);
}

/** Without ever replacing anything. `taken`: the key holds something already. */
async function store(
  { external, fallback, presence, absent, missing }: Pass,
  entry: Entry,
  info: ObjectInfo,
): Promise<End | 'stored' | 'taken'> {
  const { place, key, hash } = entry;
  let source: ReturnType<typeof watchedStream> | undefined;
  try {
    const kept = await fallback.get(place, key);
    source = watchedStream(kept.body);
    const type = info.content_type === undefined ? {} : { content_type: info.content_type };
    const { body } = source;
    await presence.call(() => external.put(place, key, body, { if_absent: true, sha256: hash, ...type }));
    return 'stored';
  } catch (error) {
    if (source?.body.locked === false) await source.body.cancel().catch(() => undefined);
    const own = source === undefined ? error : source.failure();
    if (isKind(own, 'corrupt')) return conflict(`it can't be read from the embedded default: ${messageOf(own)}`);
    if (isKind(error, 'already_exists')) return 'taken';
    if (isKind(error, 'bad_name')) return conflict(`the external takes no such key: ${messageOf(error)}`);
    // The environment is not applied there yet.
    if (isKind(error, 'no_such_bucket')) {
      absent.add(place);
      missing(place);
      return undefined;
    }
    throw error;
  }
}

/** What the external holds now, by its checksum, or byte by byte where it keeps none. */
async function compare(
  { external, fallback, presence }: StorageParts,
  entry: Entry,
  info: ObjectInfo,
  how: 'stored' | 'taken',
): Promise<End> {
  const { place, key, hash } = entry;
  const there = await presence.call(() => orAbsent(external.head(place, key)));
  // Somebody has deleted it since, or it was not kept: tried again.
  if (there === undefined) return undefined;
  const isSame =
    there.size === info.size &&
    (there.sha256 === undefined
      ? await readBack(
          () => fallback.get(place, key),
          () => presence.call(() => external.get(place, key)),
        )
      : there.sha256 === hash);
  if (isSame) return { state: 'forwarded' };
  const other = `${there.size} bytes of ${there.modified_at}`;
  return conflict(
    how === 'taken'
      ? `the external holds another object under this key (${other}), which stays; ours (${info.size} bytes) stays in the embedded default`
      : `it was stored, but the external holds something else under this key now (${other}); ours (${info.size} bytes) stays in the embedded default`,
  );
}

async function readBack(ours: () => Promise<StoredObject>, theirs: () => Promise<StoredObject>): Promise<boolean> {
  const [one, other] = [await ours(), await theirs()];
  return sameBytes(one.body, other.body);
}

/**
 * Deletes in the external what was copied there before it was known to be deleted, and nothing else: but for what somebody
 * stores between the look and the deletion, since the port has no deletion on condition.
 */
async function forwardDeletion(deps: ForwarderDeps, entry: Entry): Promise<End> {
  const { external, presence } = deps;
  const { place, key, hash, size } = entry;
  await dropKept(deps, entry);
  const there = await presence.call(() => orAbsent(external.head(place, key)));
  if (there !== undefined && (there.sha256 !== hash || there.size !== size)) {
    const other = `${there.size} bytes of ${there.modified_at}`;
    return conflict(`it was deleted while the external was away, which holds another object under this key (${other}): that one stays`);
  }
  if (there !== undefined) await presence.call(() => external.delete(place, key));
  return { state: 'forwarded', detail: 'deleted' };
}

function conflict(detail: string): End {
  return { state: 'conflict', detail };
}

function messageOf(error: unknown): string {
  return error instanceof StorageError ? error.message : String(error);
}
