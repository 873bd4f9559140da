import { type Answer, ApiError, type Client, UnreachableError } from '../client.ts';
import type { UplinkAnswer } from '../contract/uplink.ts';
import { heartbeatDelayMs } from '../decide/jitter.ts';
import { describeFailure } from './cloud-trouble.ts';
import { CALL_TIMEOUT_MS, connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { DUPLICATE_ADVICE, onFailure } from './failure.ts';
import { createFailureRecord } from './failure-record.ts';
import { messageOf } from './json-file.ts';
import { type Claim, claimLease, type Holding, type Lease, leaseLeftMs } from './lease.ts';
import { createSiteChanges, type SiteChanges } from './uplink-changes.ts';
import { openUplinkEvents, type UplinkEvents } from './uplink-events.ts';
import { type Portion, sendPortion } from './uplink-portion.ts';

export interface UplinkOptions {
  /** Of the cloud. */
  readonly url: string;
  readonly lease: Lease;
  readonly signal: AbortSignal;
  readonly onAnswer: (answer: Answer<UplinkAnswer>) => void;
}

/** The first call goes out when this node has registered with itself; the leaders of many sites do not all call at once. */
const FIRST_MS = 500;
/** What does not fit into one call goes on in the next, this long after it. */
const SOON_MS = 250;
/** So often in a row a call that asks for everything is answered at once; then in the next interval. */
const MAX_RESYNCS = 3;
/** All is told again from time to time: it costs the cloud no row where nothing differs, and mends what should not have happened. */
const RETELL_MS = 3_600_000;
/** Sooner by up to this share of it: sites that came back to their cloud together do not go on doing it together. */
const RETELL_SPREAD = 0.5;
/** What a call tells, bytes: less over a line that did not carry it in time, more over one that did. */
const FIRST_BYTES = 128 * 1024;
const LEAST_BYTES = 8 * 1024;
const MOST_BYTES = 512 * 1024;

/** What is told now, and how. */
interface State {
  session: string;
  /** Of the next call. */
  seq: number;
  /** When all is told again, by the monotonic clock. */
  retell_at: number;
  bytes: number;
  /** Whether the last call left something to tell, and how often in a row the cloud has asked for all of it. */
  isMore: boolean;
  resyncs: number;
  isFirst: boolean;
  /** The cloud does not know this call. */
  isOld: boolean;
}

interface Uplink {
  readonly node: NodeContext;
  readonly lease: Lease;
  readonly own: Client;
  readonly cloud: Client;
  readonly changes: SiteChanges;
  readonly events: UplinkEvents;
  readonly state: State;
}

/**
 * Renews the cloud's lease with what has changed on the site: nodes as this node's own Supervisor knows them, and the
 * events of its log. What the cloud has taken is remembered, and not told again.
 */
export async function openUplink(node: NodeContext, options: UplinkOptions): Promise<Omit<Holding, 'lease'>> {
  const { deps } = node;
  const { url, lease, signal, onAnswer } = options;
  const { clock, random } = deps;
  const own = connect({ ...node, signal }, deps.self);
  const timeout_ms = () => Math.max(1, Math.min(CALL_TIMEOUT_MS, leaseLeftMs(lease, clock)));
  const cloud = connect({ ...node, signal }, { url, fetch: deps.fetch, timeout_ms });
  const state: State = { ...freshSession(node), bytes: FIRST_BYTES, isMore: false, resyncs: 0, isFirst: true, isOld: false };
  const uplink = { node, lease, own, cloud, changes: createSiteChanges(), events: await openUplinkEvents(deps, own, url), state };
  const failures = createFailureRecord(node.standing.waits, deps.log, url);
  return {
    async renew() {
      try {
        const answer = await call(uplink);
        const duplicate = 'body' in answer ? answer.body.duplicate : undefined;
        if (duplicate === undefined) failures.clear('cloud');
        else failures.note('cloud', 'duplicate', `${duplicate}; ${DUPLICATE_ADVICE}`);
        if (!('body' in answer)) return answer;
        onAnswer(answer);
        return answer.claim;
      } catch (error) {
        if (!signal.aborted) failures.note('cloud', onFailure(error), describeFailure(error));
        if (error instanceof UnreachableError) state.bytes = Math.max(LEAST_BYTES, state.bytes / 2);
        throw error;
      }
    },
    nextAt({ held }) {
      if (state.isFirst) return clock.monotonic() + FIRST_MS * (0.5 + random.next());
      if (state.isMore) return clock.monotonic() + SOON_MS;
      return held.sent_at_ms + heartbeatDelayMs(held.expires_in_ms / 1000, random.next());
    },
  };
}

function freshSession({ deps: { random, clock } }: NodeContext): Pick<State, 'session' | 'seq' | 'retell_at'> {
  return { session: random.uuid(), seq: 1, retell_at: clock.monotonic() + RETELL_MS * (1 - RETELL_SPREAD * random.next()) };
}

function beginAnew({ node, changes, state }: Uplink): void {
  changes.forget();
  Object.assign(state, freshSession(node));
}

async function call(uplink: Uplink): Promise<Claim | (Answer<UplinkAnswer> & { readonly claim: Claim })> {
  const { node, lease, cloud, state } = uplink;
  const { clock, config, identity } = node.deps;
  state.isFirst = false;
  if (clock.monotonic() >= state.retell_at) beginAnew(uplink);
  const portion = await collect(uplink);
  const { node_id, instance_id } = identity;
  const from = { node_id, instance_id, url: config.advertise_url(), epoch: lease.epoch, site: config.site, session: state.session };
  // Without the nodes this begins nothing: a session that named none would tell that nobody is there.
  const begins = state.seq === 1 && portion.nodes !== undefined ? { full: true } : {};
  const sent_at_ms = clock.monotonic();
  try {
    const answer = await sendPortion(cloud, { ...from, seq: state.seq, ...begins }, portion, (what, why) => drop(uplink, what, why));
    state.isOld = false;
    await heed(uplink, answer.body, answer.taken);
    const { granted, epoch, expires_in_ms } = answer.body;
    const claim = granted ? { granted: { epoch, held: { sent_at_ms, expires_in_ms } } } : { lost_to: answer.body };
    return { ...answer, claim };
  } catch (error) {
    if (!isOld(error)) throw error;
    if (!state.isOld)
      node.deps.log.warn('the cloud is of an older version: it takes the lease, and does not see what happens on this site');
    state.isOld = true;
    return claimLease(node.deps, cloud, { epoch: lease.epoch });
  }
}

function isOld(error: unknown): boolean {
  return error instanceof ApiError && (error.problem.code === 'not_found' || error.problem.code === 'method_not_allowed');
}

/** A Supervisor that can't say what is on the site keeps nothing from being renewed. */
async function collect({ node, own, changes, events, state }: Uplink): Promise<Portion> {
  const { config, clock, log } = node.deps;
  try {
    const [nodes, gone] = await readSite(own, config.site);
    changes.see({ nodes, gone }, clock.monotonic());
    const told = changes.next(state.bytes);
    // Nodes come first: an event of one that the cloud has not seen yet says little.
    return { nodes: told, events: told.isAll ? await events.next(state.bytes) : undefined };
  } catch (error) {
    log.debug(`this node's own Supervisor does not say what is on the site: ${messageOf(error)}`);
    return { nodes: undefined, events: undefined };
  }
}

const PAGE = 500;

async function readSite(own: Client, site: string) {
  const [nodes, gone] = [[], []] as [Awaited<ReturnType<Client['uplinkPage']>>['body']['nodes'], string[]];
  for (let after: string | undefined; ; ) {
    const { body } = await own.uplinkPage({ site, limit: PAGE, ...(after === undefined ? {} : { after }) });
    nodes.push(...body.nodes);
    gone.push(...body.gone);
    if (body.next === undefined) return [nodes, gone] as const;
    after = body.next;
  }
}

async function heed(uplink: Uplink, { granted, acked, resync }: UplinkAnswer, { nodes, events }: Portion): Promise<void> {
  const { changes, state } = uplink;
  state.isMore = false;
  if (!granted) return;
  if (acked === state.seq && resync === undefined) {
    if (nodes !== undefined) changes.settle(nodes);
    if (events !== undefined) await uplink.events.settle(events);
    state.seq += 1;
    state.resyncs = 0;
    state.isMore = nodes?.isAll === false || events?.isAll === false;
    state.bytes = Math.min(MOST_BYTES, state.bytes * 2);
  } else if (resync && nodes !== undefined) {
    beginAnew(uplink);
    state.resyncs += 1;
    state.isMore = state.resyncs <= MAX_RESYNCS;
  }
}

function drop({ node, changes }: Uplink, { nodes, events }: Portion, why: string): void {
  const { log } = node.deps;
  if (nodes !== undefined) changes.settle(nodes);
  const names = [
    ...(nodes?.nodes ?? []).map(({ node_id }) => `node ${node_id}`),
    ...(nodes?.gone ?? []).map((id) => `that node ${id} left`),
  ];
  const all = [...names, ...(events?.events ?? []).map(({ cursor, type }) => `event ${cursor} (${type})`)];
  log.warn(`the cloud never takes this, so it is left out: ${all.join(', ')}: ${why}`);
}
