import { messageOf } from './json-file.ts';
import { holdLease, type Lease } from './lease.ts';
import { leadConfirmed } from './own-supervisor.ts';
import type { Session } from './session-state.ts';
import { cloudHeeder } from './sync-loop.ts';
import { openUplink } from './uplink.ts';

/**
 * Holds the cloud's lease beside the node's own, by telling the cloud of the whole site once in each of its intervals. Where
 * another holds it, this node steps down; where the cloud is out of reach until the lease has run out, it leads on
 * provisionally and a later look confirms it again.
 */
export async function cloudLoop(session: Session): Promise<void> {
  const { node, located, active } = session;
  const { cloud_lease: lease } = located;
  const { cloud_url: url } = node.deps.config;
  if (lease === undefined || url === undefined) return;
  const heed = cloudHeeder(session);
  const uplink = await openUplink(node, { url, lease, signal: active, onAnswer: ({ desired }) => heed(desired) });
  const end = await holdLease(node.deps, { lease, ...uplink }, active);
  const why = node.standing.waits.get('call cloud');
  node.standing.waits.delete('call cloud');
  if (active.aborted || end === 'ended') return;
  if (end === 'lapsed') return leadProvisionally(session, why);
  if (typeof end === 'object') return leadAt(session, end.regained);
  node.deps.log.warn('the cloud names another leader: this node steps down', { epoch: lease.epoch });
  session.end({ why: 'the lease of the cloud is lost' });
}

function leadProvisionally(session: Session, why = 'its lease ran out before it could be renewed'): void {
  const { node } = session;
  const { cloud_lease, ...located } = session.located;
  session.located = { ...located, provisional: true };
  node.standing.located = session.located;
  node.standing.waits.set('locate', `the cloud to confirm this leader (${why})`);
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
