import { ApiError, type Client } from '../client.ts';
import { type DocumentKind, type OfferOutcome, toWire } from '../contract/document.ts';
import { isSameVersion, nameOf } from '../decide/emergency.ts';
import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import type { Held } from './documents.ts';
import { messageOf } from './json-file.ts';
import type { Located } from './located.ts';
import { type Met, meet, RefusedError, type Seen } from './sync-meet.ts';

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
