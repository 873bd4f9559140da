import { ApiError, type Client } from '../client.ts';
import {
  type DocumentKind,
  type Emergency,
  type History,
  type HistoryEntry,
  MAX_OFFERED_CONFLICTS,
  MAX_OFFERED_VERSIONS,
  type OfferOutcome,
  type VersionName,
  type VersionsOffer,
} from '../contract/document.ts';
import { isSameVersion } from '../decide/emergency.ts';
import { lineOf } from '../decide/merge.ts';

export interface SyncOptions {
  readonly kind: DocumentKind;
  readonly site: string;
  /** `sender`: what comes stands where the two diverged. Only for a node that mirrors into its own Supervisor. */
  readonly decider?: 'receiver' | 'sender';
  /**
   * Whether documents of the key that has this id can be believed. Old versions of a key that is not trusted any more stay
   * where they are; the current one is offered all the same, so that it is told why it is not taken. Default: all.
   */
  readonly trusts?: (key_id: string) => boolean;
}

type Wires = readonly Record<string, unknown>[];

/** A request with this many bytes of documents takes no further one; one alone may be larger. */
const OFFER_BYTES = 1024 * 1024;

/**
 * Brings one Supervisor's versions of a document to another: what that one lacks, with bodies, in requests of a
 * bounded size, and what is current. Harmless to repeat: a sync that is cut off leaves versions that the next
 * one builds on. Undefined when the other lacked nothing. Rejects as the calls do.
 */
export async function sync(from: Client, to: Client, options: SyncOptions): Promise<OfferOutcome | undefined> {
  const { body: theirs, etag } = await to.history(options.kind, options.site);
  const { body: ours } = await from.changedHistory(options.kind, etag, options.site);
  if (ours === undefined) return undefined;
  const outcome = await push(from, to, { ours, theirs, ...options });
  await pushEmergencies(from, to, { ours, theirs, ...options });
  return outcome;
}

export interface Compared extends SyncOptions {
  /** Of whom the versions come from. */
  readonly ours: History;
  readonly theirs: History;
}

/** A sync of two histories that were read already. */
export async function push(from: Client, to: Client, compared: Compared): Promise<OfferOutcome | undefined> {
  const { ours, theirs } = compared;
  const current = ours.versions.find((one) => one.current);
  const missing = missingOf(compared);
  const conflicts = conflictsOf(compared);
  if (missing.length === 0 && conflicts.length === 0 && isKnown(theirs, current)) return undefined;
  const there = theirs.versions.find((one) => one.current);
  // Where nothing is published, what is current can't wait for all that came before it.
  const isUrgent = current !== undefined && (there === undefined || there.generation === 0) && missing.includes(current);
  const offers = offersOf(from, compared.kind, isUrgent ? [current, ...missing.filter((one) => one !== current)] : missing);
  const send = async (versions: Wires, more: Partial<VersionsOffer>) => {
    const { site, decider } = compared;
    const query = { site, ...(decider === undefined ? {} : { decider }) };
    return (await to.offerVersions(compared.kind, { versions: [...versions], ...more }, query)).body.outcome;
  };
  const head = current === undefined ? {} : { current: nameOf(current) };
  let waiting: Wires = [];
  let first: OfferOutcome | undefined;
  for await (const versions of offers) {
    if (isUrgent && first === undefined) first = await send(versions, head);
    else {
      if (waiting.length > 0) await send(waiting, {});
      waiting = versions;
    }
  }
  const last = await send(waiting, { ...head, conflicts });
  return first ?? last;
}

/**
 * Brings the emergency versions of a site that the other Supervisor lacks to it, one in a request. Resolves with how many
 * were news there.
 */
export async function pushEmergencies(from: Client, to: Client, compared: Compared): Promise<number> {
  const { kind, site, ours, theirs, trusts = () => true } = compared;
  const missing = (ours.emergencies ?? []).filter(
    (one) => (one.holds || trusts(one.key_id)) && !theirs.emergencies?.some((known) => isSameVersion(one, known)),
  );
  let news = 0;
  for (const { generation, hash, emergency } of missing.reverse()) {
    const wire = await readVersion(from, kind, { generation, hash, emergency });
    if (wire === undefined) continue;
    news += (await to.offerVersions(kind, { emergencies: [wire] }, { site })).body.new_emergencies ?? 0;
  }
  return news;
}

/** Oldest first. A seed counts only as what something was published on, or as what is current. */
function missingOf({ ours, theirs, trusts = () => true }: Compared): HistoryEntry[] {
  const known = new Set(theirs.versions.map(keyOf));
  const line = new Set(
    lineOf(
      ours.versions,
      ours.versions.find((one) => one.current),
    ).map(keyOf),
  );
  const missing = ours.versions.filter(
    (one) => !known.has(keyOf(one)) && (one.generation > 0 || line.has(keyOf(one))) && (one.current || trusts(one.key_id)),
  );
  return missing.sort((a, b) => a.generation - b.generation);
}

/** The versions that lost here and are not known to have lost there. */
function conflictsOf({ ours, theirs }: Compared): NonNullable<VersionsOffer['conflicts']> {
  const known = new Map(theirs.versions.map((one) => [keyOf(one), one] as const));
  const line = new Set(
    lineOf(
      theirs.versions,
      theirs.versions.find((one) => one.current),
    ).map(keyOf),
  );
  return ours.versions
    .filter(({ conflict, resolved, ...one }) => {
      const there = known.get(keyOf(one));
      if ((!conflict && !resolved) || line.has(keyOf(one))) return false;
      return there === undefined || (resolved ? !there.resolved : !there.conflict && !there.resolved);
    })
    .slice(0, MAX_OFFERED_CONFLICTS)
    .map(({ generation, hash, resolved }) => ({ generation, hash, resolved }));
}

/** True when the other side has decided about this version already. */
function isKnown({ versions }: History, current: HistoryEntry | undefined): boolean {
  if (current === undefined) return true;
  const there = versions.find((one) => keyOf(one) === keyOf(current));
  if (there === undefined) return false;
  const line = lineOf(
    versions,
    versions.find((one) => one.current),
  );
  return there.conflict || there.resolved || line.some((one) => keyOf(one) === keyOf(current));
}

/** Reads the documents one by one, and hands them out in portions. What can't be read is left out. */
async function* offersOf(from: Client, kind: DocumentKind, entries: readonly HistoryEntry[]): AsyncGenerator<Wires> {
  let portion: Wires = [];
  let bytes = 0;
  for (const { generation, hash } of entries) {
    const wire = await readVersion(from, kind, { generation, hash });
    if (wire === undefined) continue;
    const size = JSON.stringify(wire).length;
    if (portion.length === MAX_OFFERED_VERSIONS || (portion.length > 0 && bytes + size > OFFER_BYTES)) {
      yield portion;
      [portion, bytes] = [[], 0];
    }
    portion = [...portion, wire];
    bytes += size;
  }
  if (portion.length > 0) yield portion;
}

async function readVersion(from: Client, kind: DocumentKind, version: VersionName & { readonly emergency?: Emergency }) {
  const { generation, hash, emergency } = version;
  const query = emergency === undefined ? undefined : { site: emergency.site, emergency: emergency.n };
  try {
    return (await from.version(kind, generation, hash, query)).body;
  } catch (error) {
    const code = error instanceof ApiError ? error.problem.code : undefined;
    if (code === 'storage_corrupt' || code === 'no_such_generation') return undefined;
    throw error;
  }
}

function nameOf({ generation, hash }: VersionName): VersionName {
  return { generation, hash };
}

function keyOf({ generation, hash }: VersionName): string {
  return `${generation}/${hash}`;
}
