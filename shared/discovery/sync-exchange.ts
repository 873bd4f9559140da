import { ApiError, type Client } from '../client.ts';
import { type DocumentKind, type History, type OfferOutcome, toWire } from '../contract/document.ts';
import type { DocumentVerifier } from '../contract/fleet-keys.ts';
import { isSameVersion, nameOf } from '../decide/emergency.ts';
import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import type { Held } from './documents.ts';
import { messageOf } from './json-file.ts';
import type { Located } from './located.ts';
import { push, pushEmergencies } from './sync.ts';

const KINDS: readonly DocumentKind[] = ['plan', 'profile'];

/** What a node held when a session began, so that none of it is lost to what the session brings. */
export type HeldDocuments = Readonly<Partial<Record<DocumentKind, Held<DocumentKind>>>>;

/**
 * Keeps the versions of the node's own Supervisor and those of the control plane that it follows the same.
 * Nothing in it rejects: what does not work is said in the log and done at the next chance.
 */
export interface Exchange {
  /** A leader takes what the cloud has, and what it ran before, into its own Supervisor before it looks there the first time. */
  prepare(): Promise<void>;
  /**
   * Hands what this node has of a document to the control plane, which has none or an older one. True when
   * something else may be current there now.
   */
  offer(kind: DocumentKind): Promise<boolean>;
  /** Both ways, for both documents: a few small calls where nothing differs. `changed`: something else may be current at the control plane. */
  run(): Promise<'changed' | 'same' | 'failed'>;
}

interface Seen {
  readonly ours: string | undefined;
  readonly theirs: string | undefined;
}

/** For the session with `client`. A leader by its own Supervisor exchanges with the cloud that confirmed it. */
export function createExchange(node: NodeContext, client: Client, located: () => Located, signal: AbortSignal): Exchange {
  const { deps, credential } = node;
  const own = connect({ deps, credential, signal }, deps.self);
  const began = heldNow(node);
  const seen = new Map<string, Seen>();
  const complaints = new Map<DocumentKind, string>();
  const complain = (kind: DocumentKind, error: unknown) => {
    if (error instanceof RefusedError) return refuse(node, kind, error);
    if (signal.aborted || complaints.get(kind) === messageOf(error)) return;
    complaints.set(kind, messageOf(error));
    tellFailure(node, kind, error);
  };
  let isPrepared = false;
  const peer = (): Client | undefined => {
    const { source, cloud_lease } = located();
    if (source !== 'self') return client;
    const url = deps.config.cloud_url;
    return cloud_lease === undefined || url === undefined ? undefined : connect({ deps, credential, signal }, { url, fetch: deps.fetch });
  };
  /** True when the control plane may have something else now. */
  const exchange = async (kind: DocumentKind): Promise<boolean> => {
    const to = peer();
    const leads = located().source === 'self';
    const changed = ({ up, down, emergencies }: Met) => isNew(leads ? down : up) || (leads ? emergencies.down : emergencies.up) > 0;
    const first = to !== undefined && changed(await meet(node, { own, peer: to, kind, seen }));
    const held = began[kind];
    if (held === undefined || !(await rebuild(node, own, kind, held))) return first;
    if (to === undefined) return true;
    return changed(await meet(node, { own, peer: to, kind, seen })) || first || leads;
  };
  const run = async () => {
    let result: 'changed' | 'same' | 'failed' = 'same';
    for (const kind of KINDS) {
      if (signal.aborted) break;
      try {
        if ((await exchange(kind)) && result === 'same') result = 'changed';
        complaints.delete(kind);
        node.refusals.clear(topicOf(kind));
      } catch (error) {
        complain(kind, error);
        result = 'failed';
      }
    }
    return result;
  };
  return {
    async prepare() {
      if (isPrepared || located().source !== 'self') return;
      isPrepared = true;
      await run();
    },
    run,
    async offer(kind) {
      try {
        const held = heldNow(node)[kind];
        const isRebuilt = held !== undefined && (await rebuild(node, own, kind, held));
        if (located().source === 'self') return isRebuilt;
        const { up, emergencies } = await meet(node, { own, peer: client, kind, seen });
        return isNew(up) || emergencies.up > 0;
      } catch (error) {
        complain(kind, error);
        return false;
      }
    },
  };
}

function isNew(outcome: OfferOutcome | undefined): boolean {
  return outcome === 'adopted' || outcome === 'republished';
}

function heldNow({ documents }: NodeContext): HeldDocuments {
  const { plan, profile } = documents;
  return { ...(plan === undefined ? {} : { plan: plan.held }), ...(profile === undefined ? {} : { profile }) };
}

interface Meeting {
  readonly own: Client;
  readonly peer: Client;
  readonly kind: DocumentKind;
  /** What both had when they last were the same, by URL and kind. */
  readonly seen: Map<string, Seen>;
}

/** What came of the own versions there, and of those from there here; undefined where nothing was missing. */
interface Met {
  readonly up: OfferOutcome | undefined;
  readonly down: OfferOutcome | undefined;
  /** How many emergency versions of the site were news to the other side, and here. */
  readonly emergencies: { readonly up: number; readonly down: number };
}

const NOTHING_MET: Met = { up: undefined, down: undefined, emergencies: { up: 0, down: 0 } };

/** Own versions to the other side, which decides; then its versions here. */
async function meet(node: NodeContext, { own, peer, kind, seen }: Meeting): Promise<Met> {
  const { config, fleetKeys } = node.deps;
  const common = { kind, site: config.site, trusts: trustIn(fleetKeys.documents) };
  const { site } = config;
  const name = `${peer.url} ${kind}`;
  const ours = await own.history(kind, site);
  const last = seen.get(name);
  const theirs = await peer.changedHistory(kind, last !== undefined && last.ours === ours.etag ? last.theirs : ours.etag, site);
  if (theirs.body === undefined) return NOTHING_MET;
  const up = await push(own, peer, { ...common, ours: ours.body, theirs: theirs.body });
  const after = up === undefined ? { body: theirs.body, etag: theirs.etag } : await peer.history(kind, site);
  const mirrored = { ...common, decider: 'sender', ours: after.body, theirs: ours.body } as const;
  const down = await believed(peer.url, push(peer, own, mirrored));
  tell(node, kind, up, after.body);
  if (down === 'adopted') node.deps.log.info(`the ${kind} of ${peer.url} is kept here, too`, { generation: currentOf(after.body) });
  const emergencies = {
    up: await pushEmergencies(own, peer, { ...common, ours: ours.body, theirs: theirs.body }),
    down: await believed(peer.url, pushEmergencies(peer, own, { ...common, ours: theirs.body, theirs: ours.body })),
  };
  const theirsNow = emergencies.up > 0 ? await peer.history(kind, site) : after;
  seen.set(name, { ours: (await own.history(kind, site)).etag, theirs: theirsNow.etag });
  return { up, down, emergencies };
}

/** What this node can verify. */
function trustIn({ key_id, others = [] }: DocumentVerifier): (id: string) => boolean {
  const known = new Set([key_id, ...others.map((one) => one.key_id)]);
  return (id) => known.has(id);
}

/** The control plane has a version that this node's own Supervisor does not believe. */
class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/** Names what a mirrored version was refused for. */
async function believed<T>(url: string, taking: Promise<T>): Promise<T> {
  try {
    return await taking;
  } catch (error) {
    if (!(error instanceof ApiError) || !['invalid_body', 'too_large'].includes(error.problem.code)) throw error;
    throw new RefusedError(`a version that ${url} has can't be believed: ${error.problem.detail}`, { cause: error });
  }
}

function topicOf(kind: DocumentKind): string {
  return `versions of the ${kind}`;
}

/** One event, until it clears or is another one. */
function refuse({ refusals }: NodeContext, kind: DocumentKind, { message }: RefusedError): void {
  refusals.refuse({
    topic: topicOf(kind),
    component: kind === 'plan' ? 'services' : 'storage',
    action: `refuse-${kind}`,
    message: `the ${kind} was not mirrored: ${message}; nothing is changed`,
  });
}

function tell({ deps }: NodeContext, kind: DocumentKind, outcome: OfferOutcome | undefined, { versions }: History): void {
  if (outcome !== 'republished' && outcome !== 'conflict') return;
  const open = versions.filter((one) => one.conflict).map(({ generation }) => generation);
  if (open.length === 0) return;
  deps.log.warn(`the ${kind} was published on both sides of a partition; \`bootplane conflicts\` shows what lost`, { generations: open });
}

function currentOf({ versions }: History): number | undefined {
  return versions.find((one) => one.current)?.generation;
}

/**
 * What this node runs goes into its own Supervisor where that lacks it: its database was lost, restored from a backup,
 * or could not be written. True when something else is current there now.
 */
async function rebuild({ deps }: NodeContext, own: Client, kind: DocumentKind, { document }: Held<DocumentKind>): Promise<boolean> {
  const { generation, hash, emergency } = document.meta;
  const { site } = deps.config;
  const { versions, emergencies = [] } = (await own.history(kind, site)).body;
  if (emergency !== undefined) {
    if (emergencies.some((one) => isSameVersion(one, document.meta))) return false;
    const { new_emergencies = 0 } = (await own.offerVersions(kind, { emergencies: [toWire(document)] }, { site })).body;
    if (new_emergencies > 0)
      deps.log.info(`the ${kind} that is cached, ${nameOf(document.meta)}, went back into this node's own Supervisor`);
    return new_emergencies > 0;
  }
  if (versions.some((one) => one.generation === generation && one.hash === hash)) return false;
  const offer = { versions: [toWire(document)], current: { generation, hash } };
  // The file of a seed may have been changed since: then that is meant.
  const decider = generation === 0 ? 'receiver' : 'sender';
  const { outcome } = (await own.offerVersions(kind, offer, { site, decider })).body;
  // Where it is not above what diverged from it there, that Supervisor has to make a new version of one of the two.
  const settled = outcome === 'waits' ? (await own.offerVersions(kind, offer, { site })).body.outcome : outcome;
  const isChanged = settled === 'adopted' || settled === 'republished';
  if (isChanged) deps.log.info(`the ${kind} that is cached went back into this node's own Supervisor`, { generation });
  return isChanged;
}

/** A Supervisor of an older version has no such route. */
function tellFailure({ deps }: NodeContext, kind: DocumentKind, error: unknown): void {
  const what = `the versions of the ${kind} were not exchanged`;
  const isOld = error instanceof ApiError && (error.problem.code === 'not_found' || error.problem.code === 'method_not_allowed');
  if (isOld) deps.log.debug(`${what}: this Supervisor does not know of it`);
  else deps.log.warn(`${what}: ${messageOf(error)}`);
}
