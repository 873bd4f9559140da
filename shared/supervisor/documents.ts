import { documentHash } from '../contract/canonical.ts';
import {
  type Change,
  type DocumentBody,
  type DocumentKind,
  documentSchemas,
  type PublishAnswer,
  type SignedDocument,
  signDocument,
} from '../contract/document.ts';
import type { NodeKeys } from '../contract/fleet-keys.ts';
import { toTimestamp } from '../contract/ids.ts';
import { diffDocuments, unknownKeys } from '../decide/diff.ts';
import type { Clock } from '../ports/clock.ts';
import { check } from './body.ts';
import { requireKeyHolder } from './identity/key-holder.ts';
import { ProblemError } from './problem.ts';
import type { DocumentRow, DocumentStore, HeadRow, PublishState } from './store/documents.ts';
import type { NewEvent } from './store/events.ts';
import { verify } from './verified-documents.ts';

export type Body = Readonly<Record<string, unknown>>;

export interface Precondition {
  /** 0 for the first. */
  readonly generation: number;
  /** How its hash starts, when the caller knows; tells two seeds apart. */
  readonly hash_prefix: string;
}

export interface PublishOptions {
  /** The version that the caller means to replace. Undefined only for a dry run. */
  readonly if_match: Precondition | undefined;
  readonly dry_run: boolean;
  readonly allow_empty: boolean;
  readonly published_by: string;
  /** Whose lease gives the epoch. */
  readonly site: string;
}

export interface Published {
  readonly answer: PublishAnswer;
  /** To announce; absent when nothing was written. */
  readonly event?: NewEvent;
}

interface Checked<K extends DocumentKind = DocumentKind> {
  readonly kind: K;
  readonly body: Body;
  readonly parsed: DocumentBody<K>;
}

const NOTHING: Body = {};

/**
 * Publishes a version as the next generation: one compare-and-swap. The body is kept and hashed as
 * it was written. Throws the problems `invalid_body`, `generation_moved` and `would_empty`.
 */
export async function publish(
  store: DocumentStore,
  clock: Clock,
  keys: NodeKeys,
  kind: DocumentKind,
  body: Body,
  options: PublishOptions,
): Promise<Published> {
  const checked = checkDocument(kind, body);
  const state = await store.state(keys.fleet, kind, options.site);
  const generation = state.head?.generation ?? 0;
  if (options.if_match !== undefined && !holds(options.if_match, state.head)) throw moved(kind, generation, options.if_match.generation);
  // A damaged version is no reason to leave things as they are: publishing repairs it. Its differences are to nothing,
  // but nobody knows that it named nothing.
  const before = state.row === undefined ? undefined : await intactBody(keys, state.row);
  const namedNothing = state.head === undefined || (before !== undefined && isEmptyBody(kind, before));
  if (!options.allow_empty && isEmpty(checked.parsed) && !namedNothing) throw wouldEmpty(kind);
  const hash = await documentHash(body);
  const changes = diffDocuments(before ?? NOTHING, body);
  if (before !== undefined && isPublished(state, hash)) return answer(generation, hash, false, options.dry_run, changes);
  if (options.dry_run) return answer(generation + 1, hash, true, true, changes);
  const { published_by, site } = options;
  const draft = { generation: generation + 1, epoch: state.epoch, published_by, parent: state.head?.hash };
  const document = await signVersion(keys, kind, body, draft, clock);
  const event = await swap(store, document, checked, state.head, site);
  if (event === undefined) throw moved(kind, (await store.head(keys.fleet, kind))?.generation ?? 0, generation);
  return { ...answer(document.meta.generation, hash, true, false, changes), event };
}

export type SeedOutcome = 'seeded' | 'unchanged' | 'superseded';

/**
 * Lays a document down as generation 0 while the fleet holds none, or only another seed. What was
 * published stays. Throws the problem `invalid_body` for a document that is not valid.
 */
export async function seed(
  store: DocumentStore,
  clock: Clock,
  keys: NodeKeys,
  kind: DocumentKind,
  body: Body,
): Promise<{ outcome: SeedOutcome; event?: NewEvent }> {
  const checked = checkDocument(kind, body);
  const head = await store.head(keys.fleet, kind);
  if (head !== undefined && head.generation > 0) return { outcome: 'superseded' };
  if (head?.hash === (await documentHash(body))) return { outcome: 'unchanged' };
  const document = await signVersion(keys, kind, body, { generation: 0, epoch: 0, published_by: 'seed', parent: undefined }, clock);
  const event = await swap(store, document, checked, head, 'default');
  return event === undefined ? { outcome: 'superseded' } : { outcome: 'seeded', event };
}

/** Checks a document as publishing does. Throws the problem `invalid_body`, with a pointer into `body` to each thing that is wrong. */
export function checkDocument<K extends DocumentKind>(kind: K, body: Body): Checked<K> {
  // The schema was chosen by `kind`, which the compiler can't follow through the lookup.
  const parsed = check(documentSchemas[kind], body, 'invalid_body') as DocumentBody<K>;
  const errors = unknownKeys(body, parsed).map((pointer) => ({ pointer, detail: 'is not a known key' }));
  const [first] = errors;
  if (first === undefined) return { kind, body, parsed };
  throw new ProblemError('invalid_body', `${first.pointer}: ${first.detail}`, { errors: errors.slice(0, 20) });
}

/**
 * A seed that someone publishes as it is becomes a version of its own, so that its file can't replace it any
 * more. So does the current version while conflicts are open, or a site follows an emergency version instead: that says
 * that it is the one that is meant.
 */
function isPublished({ head, open_conflicts, emergencies }: PublishState, hash: string): boolean {
  return head !== undefined && head.generation > 0 && head.hash === hash && open_conflicts === 0 && emergencies === 0;
}

function holds({ generation, hash_prefix }: Precondition, head: HeadRow | undefined): boolean {
  return generation === (head?.generation ?? 0) && (head?.hash ?? '').startsWith(hash_prefix);
}

/** Of a node without the fleet key. */
export const SIGNS_NOTHING = 'signs no documents';

export interface VersionDraft {
  readonly generation: number;
  readonly epoch: number;
  readonly published_by: string;
  readonly parent: string | undefined;
}

/** A version of this fleet, hashed and signed. */
export function signVersion(
  keys: NodeKeys,
  kind: DocumentKind,
  body: SignedDocument['body'],
  { parent, ...draft }: VersionDraft,
  clock: Clock,
): Promise<SignedDocument> {
  const published_at = toTimestamp(clock.now());
  return signDocument(requireKeyHolder(keys, SIGNS_NOTHING).documents, {
    kind,
    fleet: keys.fleet,
    body,
    meta: { ...draft, published_at, ...(parent === undefined ? {} : { parent }) },
  });
}

async function swap(
  store: DocumentStore,
  document: SignedDocument,
  { parsed }: Checked,
  replaces: HeadRow | undefined,
  site: string,
): Promise<NewEvent | undefined> {
  const event = versionEvent(document, site);
  const ttl_seconds = 'ttl_seconds' in parsed ? parsed.ttl_seconds : undefined;
  return (await store.swap({ document, replaces, ttl_seconds, site, event })) ? event : undefined;
}

/** Tells that a version is the current one now, or that a site follows an emergency version. */
export function versionEvent({ fleet, kind, meta }: SignedDocument, site: string): NewEvent {
  const { generation, hash, parent, published_by, epoch, emergency } = meta;
  const number = emergency === undefined ? '' : `/emergency ${emergency.n} of ${emergency.site}`;
  return {
    fleet,
    type: kind === 'plan' ? 'overlay.plan' : 'overlay.profile',
    site,
    data: {
      ...{ generation, hash, published_by, epoch },
      ...(parent === undefined ? {} : { parent }),
      ...(emergency === undefined ? {} : { emergency }),
    },
    dedupe: `${kind}/${generation}/${hash}${number}`,
  };
}

function answer(generation: number, hash: string, changed: boolean, dry_run: boolean, changes: Change[]): Published {
  return { answer: { generation, hash, changed, dry_run, changes } };
}

/** Undefined for a version that is damaged. */
export async function intactBody(keys: NodeKeys, row: DocumentRow): Promise<Body | undefined> {
  try {
    return (await verify(keys, row)).body;
  } catch (error) {
    if (error instanceof ProblemError) return undefined;
    throw error;
  }
}

export function isEmptyBody(kind: DocumentKind, body: Body): boolean {
  const parsed = documentSchemas[kind].safeParse(body);
  return parsed.success && isEmpty(parsed.data);
}

/** Names no service, or no bucket, exchange, queue, binding and class. */
export function isEmpty(parsed: DocumentBody<DocumentKind>): boolean {
  if ('services' in parsed) return parsed.services.length === 0;
  const { storage, broker, vector } = parsed;
  return [storage.buckets, broker.exchanges, broker.queues, broker.bindings, vector.classes].every((list) => list.length === 0);
}

function moved(kind: DocumentKind, current: number, expected: number): ProblemError {
  const detail = `the current ${kind} is generation ${current}, not ${expected}: look at what changed and send If-Match "${current}"`;
  return new ProblemError('generation_moved', detail, { generation: current });
}

export function wouldEmpty(kind: DocumentKind): ProblemError {
  const what = kind === 'plan' ? 'stop every service' : 'name no resource any more';
  return new ProblemError('would_empty', `this ${kind} would ${what}; send ?allow_empty=true if that is meant`);
}
