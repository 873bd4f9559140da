import { documentHash } from '../contract/canonical.ts';
import { type DocumentKind, type Emergency, type PublishAnswer, type SignedDocument, signDocument } from '../contract/document.ts';
import type { NodeKeys } from '../contract/fleet-keys.ts';
import { toTimestamp } from '../contract/ids.ts';
import { diffDocuments } from '../decide/diff.ts';
import { emergencyHolds, nameOf, whyNotOfSite } from '../decide/emergency.ts';
import type { Clock } from '../ports/clock.ts';
import type { Context } from './context.ts';
import {
  type Body,
  checkDocument,
  intactBody,
  isEmpty,
  isEmptyBody,
  type Published,
  type PublishOptions,
  SIGNS_NOTHING,
  versionEvent,
  wouldEmpty,
} from './documents.ts';
import { requireKeyHolder } from './identity/key-holder.ts';
import { believeWire, checkBody, refuseOffer } from './offered-versions.ts';
import { ProblemError } from './problem.ts';
import type { EmergencyRow, EmergencyState, EmergencyStore } from './store/emergencies.ts';
import { emergencyOf, verifyEmergency } from './verified-documents.ts';

/** What a site follows, and what an emergency version of it is published on. */
interface Followed {
  /** The emergency version that holds now. */
  readonly held: EmergencyRow | undefined;
  readonly base: { readonly generation: number; readonly hash: string | undefined };
  /** Of what is followed; undefined while nothing is published. */
  readonly hash: string | undefined;
}

/**
 * Publishes an emergency version for one site, on top of what that site follows now: one compare-and-swap. Nothing
 * of the fleet's sequence changes. Throws the problems `invalid_body`, `generation_moved` and `would_empty`.
 */
export async function publishEmergency(
  store: EmergencyStore,
  clock: Clock,
  keys: NodeKeys,
  kind: DocumentKind,
  body: Body,
  options: PublishOptions,
): Promise<Published> {
  const { site, dry_run, allow_empty, published_by, if_match } = options;
  const checked = checkDocument(kind, body);
  const state = await store.state(keys.fleet, kind, site);
  const followed = followedIn(state);
  const { base } = followed;
  const before = await followedBody(keys, state, followed);
  const isSame = before !== undefined && followed.hash === (await documentHash(body));
  // One whose answer was lost comes again with the tag of what it has replaced itself: it is done (RFC 9110, section 13.1.1).
  const isDone = isSame && followed.held !== undefined;
  if (if_match !== undefined && !matches(if_match, followed) && !isDone) throw moved(kind, state);
  const namedNothing = followed.hash === undefined || (before !== undefined && isEmptyBody(kind, before));
  if (!allow_empty && isEmpty(checked.parsed) && !namedNothing) throw wouldEmpty(kind);
  const emergency: Emergency = { site, base_generation: base.generation, n: nextNumber(state.newest, base.generation) };
  const changes = diffDocuments(before ?? {}, body);
  const document = await signDocument(requireKeyHolder(keys, SIGNS_NOTHING).documents, {
    ...{ kind, fleet: keys.fleet, body },
    meta: {
      ...{ generation: base.generation, epoch: state.epoch, published_by, published_at: toTimestamp(clock.now()), emergency },
      ...(base.hash === undefined ? {} : { parent: base.hash }),
    },
  });
  const { generation, hash } = document.meta;
  const answer: PublishAnswer = { generation, hash, changed: true, dry_run, changes, emergency };
  if (isSame) return { answer: unchanged(answer, followed) };
  if (dry_run) return { answer };
  const event = versionEvent(document, site);
  const isWritten = await store.publish({ document, site, n: emergency.n, head: state.head, event });
  if (!isWritten) throw moved(kind, await store.state(keys.fleet, kind, site));
  return { answer, event };
}

function followedIn({ head, newest }: EmergencyState): Followed {
  const isHeld = newest !== undefined && emergencyHolds({ generation: newest.generation, parent: newest.parent ?? undefined }, head);
  if (!isHeld) return { held: undefined, base: { generation: head?.generation ?? 0, hash: head?.hash }, hash: head?.hash };
  return { held: newest, base: { generation: newest.generation, hash: newest.parent ?? undefined }, hash: newest.hash };
}

/** Undefined for one that is damaged: publishing replaces it. */
async function followedBody(keys: NodeKeys, { row }: EmergencyState, { held }: Followed): Promise<Body | undefined> {
  if (held === undefined) return row && intactBody(keys, row);
  const document = await verifyEmergency(keys, held).catch(() => undefined);
  return document?.body;
}

/** Two on one generation never share a number, also where the earlier one holds no more. */
function nextNumber(newest: EmergencyRow | undefined, generation: number): number {
  return newest?.generation === generation ? newest.n + 1 : 1;
}

function matches({ generation, hash_prefix }: NonNullable<PublishOptions['if_match']>, { base, hash = '' }: Followed): boolean {
  return generation === base.generation && hash.startsWith(hash_prefix);
}

/** The same again is no new version: the answer names the one that holds. */
function unchanged({ emergency: _next, ...answer }: PublishAnswer, { held }: Followed): PublishAnswer {
  return { ...answer, changed: false, changes: [], ...(held === undefined ? {} : { emergency: emergencyOf(held) }) };
}

function moved(kind: DocumentKind, state: EmergencyState): ProblemError {
  const { base, held } = followedIn(state);
  const now = nameOf({ generation: base.generation, ...(held === undefined ? {} : { emergency: emergencyOf(held) }) });
  const detail = `the ${kind} that holds here is ${now}: look at what changed and send its ETag, or "${base.generation}", as If-Match`;
  return new ProblemError('generation_moved', detail, { generation: base.generation });
}

/** One that was looked at, with what makes it an emergency version. */
export interface BelievedEmergency {
  readonly document: SignedDocument;
  readonly emergency: Emergency;
}

/**
 * Emergency versions that another Supervisor offers, each with a signature of the fleet and of the site that the offer is
 * about. Throws `invalid_body` and `too_large` with a pointer to the first that can't be believed.
 */
export function believeEmergencies(
  keys: NodeKeys,
  kind: DocumentKind,
  site: string,
  wires: readonly Record<string, unknown>[],
): Promise<BelievedEmergency[]> {
  return Promise.all(wires.map((wire, index) => believeEmergency(keys, kind, site, { wire, pointer: `/emergencies/${index}` })));
}

/** Keeps what is not known here, and tells of it. Returns how many that were. */
export async function keepEmergencies(context: Context, offered: readonly BelievedEmergency[]): Promise<number> {
  let kept = 0;
  for (const { document, emergency } of offered) {
    const { site, n } = emergency;
    const event = versionEvent(document, site);
    if (!(await context.documents.emergencies.keep({ document, site, n, event }))) continue;
    kept += 1;
    context.announce(event);
  }
  return kept;
}

async function believeEmergency(
  keys: NodeKeys,
  kind: DocumentKind,
  site: string,
  { wire, pointer }: { wire: Record<string, unknown>; pointer: string },
): Promise<BelievedEmergency> {
  const document = await believeWire(keys, kind, wire, pointer);
  const { emergency } = document.meta;
  if (emergency === undefined) throw refuseOffer(pointer, 'it is no emergency version');
  const why = whyNotOfSite(document.meta, site);
  if (why !== undefined) throw refuseOffer(`${pointer}/emergency`, why);
  checkBody(kind, document, pointer);
  return { document, emergency };
}
