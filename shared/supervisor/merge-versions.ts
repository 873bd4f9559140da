import type * as z from 'zod';
import {
  type DocumentKind,
  documentSchemas,
  MERGED_BY,
  type OfferAnswer,
  type OfferOutcome,
  type SignedDocument,
  type VersionName,
  type VersionsOffer,
} from '../contract/document.ts';
import { isKeyHolder, type NodeKeys } from '../contract/fleet-keys.ts';
import type { Decider, Version } from '../decide/merge.ts';
import { type Reception, receive } from '../decide/reception.ts';
import type { Context } from './context.ts';
import { signVersion, versionEvent } from './documents.ts';
import { believe, refuseOffer } from './offered-versions.ts';
import { ProblemError } from './problem.ts';
import type { VersionRow } from './store/documents.ts';
import type { NewEvent } from './store/events.ts';
import type { NewVersions, VersionsState } from './store/versions.ts';
import { verify } from './verified-documents.ts';

export interface GivenVersions {
  readonly kind: DocumentKind;
  readonly keys: NodeKeys;
  readonly offer: z.output<typeof VersionsOffer>;
  /** Whose version stands where the two sides have diverged. */
  readonly decider: Decider;
  /** Whose lease gives the epoch of what is published again. */
  readonly site: string;
}

/** Others may publish meanwhile; then it is decided anew, this often at most. */
const MAX_TRIES = 4;

/**
 * Takes versions from another Supervisor: keeps what is missing here and decides what is current
 * (`decide/reception.ts`). All of it is done or nothing, and the same offer again changes nothing. Throws
 * `invalid_body` and `too_large` with a pointer to what can't be believed, `storage_corrupt` when what
 * would have to be published again is damaged, and `unavailable` when others publish all the time.
 */
export async function mergeVersions(context: Context, given: GivenVersions): Promise<OfferAnswer> {
  const offered = await believe(given.keys, given.kind, given.offer);
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    const answer = await mergeOnce(context, given, offered);
    if (answer !== undefined) return answer;
  }
  throw new ProblemError('unavailable', `others publish the ${given.kind} all the time; offer the versions again`);
}

/** Undefined when another version became the current one between reading and writing. */
async function mergeOnce(context: Context, given: GivenVersions, offered: readonly SignedDocument[]): Promise<OfferAnswer | undefined> {
  const { kind, keys, site } = given;
  const { versions } = context.documents;
  const state = await versions.state(keys.fleet, kind);
  const reception = decide(state, given, offered);
  const next = await nextVersion(context, given, { reception, state, offered });
  const kept = offered.filter(({ meta }) => isAmong(reception.keeps, meta));
  const done = await versions.merge({
    fleet: keys.fleet,
    kind,
    before: state.head,
    after: reception.head,
    ttl_seconds: next && ttlOf(next),
    documents: next === undefined || kept.includes(next) ? kept : [...kept, next],
    marks: reception.marks,
    event: next && versionEvent(next, site),
    conflicts: conflictEvents(given, reception, [...state.versions, ...offered.map(({ meta }) => meta)]),
  } satisfies NewVersions);
  if (done === undefined) return undefined;
  for (const event of done.announced) context.announce(event);
  return {
    outcome: outcomeOf(reception, state),
    ...(reception.head === undefined ? {} : { current: nameOf(reception.head) }),
    open_conflicts: done.open_conflicts,
  };
}

function decide(state: VersionsState, { offer, decider, keys }: GivenVersions, offered: readonly SignedDocument[]): Reception {
  const versions = state.versions.map((row) => ({ ...toVersion(row), mark: row.conflict }));
  const metas = offered.map(({ meta }) => meta);
  const { current: name, conflicts } = offer;
  const current = name && [...metas, ...versions].find((one) => isSame(one, name));
  if (name !== undefined && current === undefined) {
    throw refuseOffer('/current', `generation ${name.generation} is neither offered nor known here: offer it, too`);
  }
  return receive({ versions, head: state.head }, { versions: metas, current, conflicts }, decider, isKeyHolder(keys));
}

interface Decided {
  readonly reception: Reception;
  readonly state: VersionsState;
  readonly offered: readonly SignedDocument[];
}

/** The document that becomes the current one; undefined where the current one stays. */
async function nextVersion(
  { documents: { store }, options: { clock } }: Context,
  { kind, keys, site }: GivenVersions,
  { reception: { merge, head }, state, offered }: Decided,
): Promise<SignedDocument | undefined> {
  if (head === undefined || (merge.action !== 'adopt' && merge.action !== 'republish')) return undefined;
  const name = merge.action === 'adopt' ? merge.version : (state.head ?? head);
  const document = offered.find(({ meta }) => isSame(meta, name)) ?? (await readVersion());
  if (merge.action === 'adopt') return document;
  const { epoch } = await store.state(keys.fleet, kind, site);
  const draft = { generation: head.generation, epoch, published_by: MERGED_BY, parent: head.hash };
  return signVersion(keys, kind, document.body, draft, clock);

  async function readVersion(): Promise<SignedDocument> {
    const row = await store.version(keys.fleet, kind, name.generation, name.hash);
    if (row === undefined) throw new ProblemError('storage_corrupt', `generation ${name.generation} of the ${kind} is not there`);
    return verify(keys, row);
  }
}

/** Of a Cluster Plan that sets one. Throws `invalid_body` for a document that this version of bootplane can't use. */
function ttlOf({ kind, body, meta }: SignedDocument): number | undefined {
  const parsed = documentSchemas[kind].safeParse(body);
  if (!parsed.success) throw refuseOffer('/current', `generation ${meta.generation} is not valid for this version of bootplane`);
  return 'ttl_seconds' in parsed.data ? parsed.data.ttl_seconds : undefined;
}

function conflictEvents(
  { kind, keys: { fleet }, site }: GivenVersions,
  { marks, head }: Reception,
  known: readonly (VersionName & { readonly published_by: string })[],
): NewEvent[] {
  const open = marks.filter(({ mark }) => mark === 1);
  return open.map(({ generation, hash }) => ({
    fleet,
    type: 'overlay.conflict',
    site,
    data: {
      kind,
      generation,
      hash,
      published_by: known.find((one) => isSame(one, { generation, hash }))?.published_by ?? '',
      ...(head === undefined ? {} : { current: nameOf(head) }),
    },
    dedupe: `conflict/${kind}/${generation}/${hash}`,
  }));
}

function outcomeOf({ merge, marks }: Reception, { versions }: VersionsState): OfferOutcome {
  switch (merge.action) {
    case 'adopt':
      return 'adopted';
    case 'republish':
      return 'republished';
    case 'wait':
      return 'waits';
    case 'keep': {
      const lost = merge.conflict;
      if (lost === undefined) return 'kept';
      const mark = marks.find((one) => isSame(one, lost))?.mark ?? versions.find((one) => isSame(one, lost))?.conflict ?? 0;
      return mark === 0 ? 'kept' : 'conflict';
    }
    default:
      return merge satisfies never;
  }
}

function toVersion({ generation, hash, parent }: VersionRow): Version {
  return { generation, hash, ...(parent === null ? {} : { parent }) };
}

function nameOf({ generation, hash }: VersionName): VersionName {
  return { generation, hash };
}

function isSame(a: VersionName, b: VersionName): boolean {
  return a.generation === b.generation && a.hash === b.hash;
}

function isAmong(names: readonly VersionName[], name: VersionName): boolean {
  return names.some((one) => isSame(one, name));
}
