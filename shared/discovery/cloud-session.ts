import type { Client } from '../client.ts';
import { heartbeatDelayMs } from '../decide/jitter.ts';
import { CALL_TIMEOUT_MS, connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { DUPLICATE_ADVICE, onFailure } from './failure.ts';
import { createFailureRecord } from './failure-record.ts';
import { sendHeartbeat } from './heartbeat.ts';
import { messageOf } from './json-file.ts';
import { holdLease, type Lease, leaseLeftMs } from './lease.ts';
import { leadConfirmed } from './own-supervisor.ts';
import { register } from './register.ts';
import { createRegistration } from './registration.ts';
import type { Session } from './session-state.ts';
import { heedCloudVersions } from './sync-loop.ts';

/**
 * Renews the cloud's lease beside the node's own. Where another holds it, this node steps down; where the cloud
 * is out of reach until the lease has run out, it leads on provisionally and a later look confirms it again.
 */
export async function cloudLeaseLoop(session: Session): Promise<void> {
  const { node, located, active } = session;
  const { cloud_lease } = located;
  const url = node.deps.config.cloud_url;
  if (cloud_lease === undefined || url === undefined) return;
  const timeout_ms = () => Math.max(1, Math.min(CALL_TIMEOUT_MS, leaseLeftMs(cloud_lease, node.deps.clock)));
  const client = connect({ ...node, signal: active }, { url, fetch: node.deps.fetch, timeout_ms });
  const end = await holdLease(node.deps, client, cloud_lease, active);
  if (active.aborted || end === 'ended') return;
  if (end === 'lapsed') return leadProvisionally(session);
  if (typeof end === 'object') return leadAt(session, end.regained);
  node.deps.log.warn('the cloud names another leader: this node steps down', { epoch: cloud_lease.epoch });
  session.end({ why: 'the lease of the cloud is lost' });
}

function leadProvisionally(session: Session): void {
  const { node } = session;
  const { cloud_lease, ...located } = session.located;
  session.located = { ...located, provisional: true };
  node.standing.located = session.located;
  node.standing.waits.set('locate', 'the cloud to confirm this leader (its lease ran out before it could be renewed)');
  node.deps.log.warn('the cloud was out of reach until its lease ran out: this node leads on, provisionally', {
    epoch: cloud_lease?.epoch,
  });
  node.changed();
  // From now on the cloud is asked every TTL: the wait under way is longer.
  session.looks.wake();
}

/** The cloud granted the lease anew, at a higher epoch: the own lease follows it. */
async function leadAt(session: Session, granted: Lease): Promise<void> {
  const { node, active } = session;
  await node.epochs.note(granted.epoch);
  const next = await leadConfirmed({ ...node, signal: active }, granted).catch(
    (error: unknown) => void node.deps.log.warn(`the own lease did not follow that of the cloud: ${messageOf(error)}`),
  );
  if (next === undefined) return session.end({ why: `the cloud's lease is at epoch ${granted.epoch} now` });
  session.end({ why: `this node leads again, epoch ${next.lease?.epoch}, confirmed by the cloud`, next });
}

/** A leader by its own Supervisor is seen at the cloud too: it registers there and sends its heartbeats and reports. */
export async function cloudLoop(session: Session): Promise<void> {
  const { node, located, active } = session;
  const { deps, standing } = node;
  const url = deps.config.cloud_url;
  if (located.source !== 'self' || located.cloud_lease === undefined || url === undefined) return;
  const client = connect({ ...node, signal: active }, { url, fetch: deps.fetch, token: () => standing.token });
  const registration = createRegistration(
    () => register(node, client),
    () => addressOf(node),
  );
  const failures = createFailureRecord(standing.waits, deps.log, url);
  while (!active.aborted) {
    try {
      await registration.ensure();
      heedCloudVersions(session, (await sendHeartbeat(node, client)).desired);
      await sendReports(node, client);
      failures.clear('cloud');
    } catch (error) {
      if (active.aborted) break;
      const action = onFailure(error);
      failures.note('cloud', action, action === 'duplicate' ? `${messageOf(error)}; ${DUPLICATE_ADVICE}` : messageOf(error));
      if (action === 'register') registration.forget();
      if (action === 'relocate') session.looks.wake();
    }
    await deps.clock.sleep(heartbeatDelayMs(standing.ttl_seconds(), deps.random.next()), active);
  }
  standing.waits.delete('call cloud');
}

/** What the cloud will never take is dropped, so that it does not keep what follows. */
async function sendReports({ cloudReports, deps }: NodeContext, client: Client): Promise<void> {
  for (let batch = cloudReports.batch(); batch.length > 0; batch = cloudReports.batch()) {
    try {
      await client.report([...batch]);
    } catch (error) {
      if (onFailure(error) !== 'defect') throw error;
      deps.log.warn(`the cloud refused ${batch.length} reports, which are dropped: ${messageOf(error)}`);
    }
    cloudReports.settle(batch);
  }
}

function addressOf({ deps }: NodeContext): string {
  return `${deps.host().ip} ${deps.config.advertise_url()}`;
}
