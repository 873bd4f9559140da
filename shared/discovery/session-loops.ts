import { backoffMs } from '../decide/backoff.ts';
import { heartbeatDelayMs, jittered } from '../decide/jitter.ts';
import { lookIntervalMs } from '../decide/ttl.ts';
import { tellOfCloud } from './cloud-trouble.ts';
import { CALL_TIMEOUT_MS, connect } from './connect.ts';
import { sendHeartbeat } from './heartbeat.ts';
import { claimLease, holdLease, type Lease, leaseLeftMs } from './lease.ts';
import { locate } from './locate.ts';
import { describe, isOnLan, type Located } from './located.ts';
import { heedAnswer } from './news-loop.ts';
import { poll } from './poll.ts';
import { createResync } from './resync.ts';
import type { Session } from './session-state.ts';
import { createWaker } from './waker.ts';

const RETRY_BASE_MS = 250;
/** Reports of one apply come in a burst: this long they are gathered. */
const GATHER_MS = 100;

/**
 * Asks for the plan and the documents: at once, when told, and when `createResync` says so. News does not shorten
 * the wait after a failure, else a Supervisor that announces what it can't deliver would be asked without end.
 */
export async function pollLoop(session: Session): Promise<void> {
  const { node, client, polls, active: signal } = session;
  const resync = createResync(node, session.located);
  let isFirst = true;
  let known = '';
  polls.wake();
  for (let failures = 0; !signal.aborted; ) {
    if (failures > 0) await node.deps.clock.sleep(retryDelayMs(session, failures), signal);
    else await polls.wait(signal, resync.delayMs());
    if (signal.aborted) return;
    const result = await session.call('plan', async () => {
      session.desired = await poll(node, client, session.exchange);
    });
    if (signal.aborted) return;
    failures = result === 'ok' ? 0 : failures + 1;
    if (result === 'ok') {
      resync.looked();
      const { plan, profile } = session.desired ?? {};
      const now = `${plan} ${profile}`;
      if (isFirst || now !== known) session.syncs.wake();
      known = now;
      node.standing.isHandedOn = true;
    }
    node.applyHeld();
    if (isFirst) session.heartbeats.wake();
    isFirst = false;
  }
}

/** A heartbeat each third of the TTL, first when the first look has told the role. */
export async function heartbeatLoop(session: Session): Promise<void> {
  const { node, client, heartbeats, signal } = session;
  const { deps, standing } = node;
  for (let failures = 0; !signal.aborted; ) {
    const delay = heartbeatDelayMs(standing.ttl_seconds(), deps.random.next());
    await heartbeats.wait(signal, failures > 0 ? retryDelayMs(session, failures) : delay);
    if (signal.aborted) return;
    const result = await session.call('heartbeat', async () => heedAnswer(session, await sendHeartbeat(node, client)));
    failures = result === 'ok' ? 0 : failures + 1;
    node.changed();
  }
}

/**
 * Sends what the reconcilers reported, in order; what a Supervisor will never take is dropped with a
 * warning. As in `pollLoop`, news does not shorten the wait after a failure.
 */
export async function reportLoop(session: Session): Promise<void> {
  const { node, signal } = session;
  const { reports, clock, log } = node.deps;
  const arrivals = createWaker(clock);
  reports.onReport(arrivals.wake);
  if (reports.size > 0) arrivals.wake();
  for (let failures = 0; !signal.aborted; ) {
    if (failures === 0) await arrivals.wait(signal);
    await clock.sleep(failures === 0 ? GATHER_MS : retryDelayMs(session, failures), signal);
    const dropped = reports.newlyDropped();
    if (dropped > 0) log.warn(`${dropped} reports were dropped: no Supervisor took them for too long`);
    failures = (await sendReports(session)) ? 0 : failures + 1;
  }
}

/** False as soon as a batch could not be sent; it stays for the next try. */
async function sendReports(session: Session): Promise<boolean> {
  const { node, client, signal } = session;
  const { reports, log } = node.deps;
  for (let batch = reports.batch(); batch.length > 0 && !signal.aborted; batch = reports.batch()) {
    const result = await session.call('report', async () => void (await client.report([...batch])));
    if (result !== 'ok' && result !== 'defect') return false;
    reports.settle(batch);
    if (result === 'defect') log.warn(`${batch.length} reports were refused and are dropped`, { control_plane_url: client.url });
  }
  return true;
}

/** Looks for a control plane that is as good or better, so that a node never stays with a worse one for long. */
export async function lookLoop(session: Session): Promise<void> {
  const { node, looks, active: signal } = session;
  const { clock } = node.deps;
  const began = clock.monotonic();
  while (!signal.aborted) {
    // A round that only followed hints puts off no other.
    const passed_ms = clock.monotonic() - Math.max(began, node.traces.full_at);
    await looks.wait(signal, lookDelayMs(session, passed_ms));
    if (signal.aborted) return;
    const stepDown = (why: string) => session.end({ why });
    const found = await locate({ ...node, signal, current: session.located, stepDown }, node.traces, 'periodic');
    if (signal.aborted) return;
    if (found === undefined) {
      session.located = unhurried(session.located);
      if (session.located.source === 'self') tellOfCloud(node);
    }
    if (found === undefined || isOvertaken(session, found)) continue;
    if (!isSameStanding(session.located, found)) return session.end({ why: `this node now ${describe(found)}`, next: found });
    session.located = found;
    node.standing.located = found;
    node.changed();
  }
}

/** A leader is in a hurry only as long as it meets another that wins. */
function unhurried({ look_again_ms, ...located }: Located): Located {
  return look_again_ms === undefined || located.lease !== undefined ? located : { ...located, look_again_ms };
}

/** A look takes a while, and a plan that came meanwhile may have told of a higher epoch than what the look has found. */
function isOvertaken({ node }: Session, { source, leader }: Located): boolean {
  const { token } = node.standing;
  if (source === 'cloud' || leader === undefined || token === undefined) return false;
  return leader.epoch < token.epoch;
}

/** How a leader on the LAN was found is no matter of the session. */
function isSameStanding(current: Located, found: Located): boolean {
  return (
    (current.source === found.source || (isOnLan(current) && isOnLan(found))) &&
    current.url === found.url &&
    current.lease?.epoch === found.lease?.epoch &&
    current.cloud_lease?.epoch === found.cloud_lease?.epoch
  );
}

/** Holds the lease as long as the session lasts; without it the session has no ground. */
export async function leaseLoop(session: Session): Promise<void> {
  const { node, located, active: signal } = session;
  const { lease } = located;
  if (lease === undefined) return;
  const timeout_ms = () => Math.max(1, Math.min(CALL_TIMEOUT_MS, leaseLeftMs(lease, node.deps.clock)));
  const client = connect({ ...node, signal }, { ...located, timeout_ms });
  const renew = () => claimLease(node.deps, client, { epoch: lease.epoch });
  const end = await holdLease(node.deps, { lease, renew, highest: () => node.epochs.highest }, signal);
  if (end === 'ended') return;
  if (typeof end === 'object') return leadAnew(session, end.regained);
  node.deps.log.warn(end === 'lost' ? 'another node leads now' : 'the lease ran out before it could be renewed', { epoch: lease.epoch });
  session.end({ why: `the lease is ${end}` });
}

/** The control plane saw the lease lapse before the renewal came, and nobody else had claimed it: what follows has a new epoch. */
async function leadAnew({ node, located, end }: Session, lease: Lease): Promise<void> {
  await node.epochs.note(lease.epoch);
  node.deps.log.warn('the lease had lapsed before its renewal came, and nobody else had claimed it', { epoch: lease.epoch });
  const { cloud_lease, ...own } = located;
  const provisional = own.provisional || cloud_lease !== undefined;
  end({ why: `this node leads again, epoch ${lease.epoch}`, next: { ...own, lease, provisional } });
}

function retryDelayMs({ node }: Session, failures: number): number {
  const cap_ms = (node.standing.ttl_seconds() * 1000) / 3;
  return backoffMs({ base_ms: RETRY_BASE_MS, cap_ms }, failures, node.deps.random.next());
}

/** Sooner where a lease may lapse, counted from now: that everybody was asked `passed_ms` ago brings only the usual look nearer. */
function lookDelayMs(session: Session, passed_ms: number): number {
  const { deps, standing } = session.node;
  const { config, random } = deps;
  const { look_again_ms } = session.located;
  const usual = Math.max(0, jittered(lookIntervalMs(session.located, standing.ttl_seconds()), random.next()) - passed_ms);
  if (look_again_ms === undefined || !config.lead) return usual;
  return Math.min(usual, look_again_ms + 250 + 500 * random.next());
}
