import { DESIRED_HEADER, EPOCH_HEADER, type FencingToken, parseToken } from '../../../shared/contract/headers.ts';
import { HeartbeatRequest } from '../../../shared/contract/node.ts';
import { fence } from '../../../shared/decide/leadership.ts';
import type { Exchange } from '../http.ts';
import type { DatabaseFile } from '../simulated-database.ts';
import type { Invariant } from './invariant.ts';

/** The lease of the site as a database holds it, lapsed or not. */
export function leaseIn(file: DatabaseFile): (FencingToken & { readonly url: string; readonly expires_at: number }) | undefined {
  const [row] = file.read("select node_id, url, epoch, expires_at from leases where site = 'default'");
  if (row === undefined) return undefined;
  return { node_id: String(row.node_id), url: String(row.url), epoch: Number(row.epoch), expires_at: Number(row.expires_at) };
}

/** A node that calls itself confirmed holds the one row of the cloud, at this epoch, unexpired by the cloud's clock. */
export const oneConfirmedLeader: Invariant = ({ world, broken }) => ({
  onState(machine, { leads, confirmed, epoch, node_id }) {
    if (!leads || !confirmed || world.cloud === undefined) return;
    const lease = leaseIn(world.cloud.file);
    const why = [
      lease?.node_id !== node_id && `the cloud's lease is that of ${lease?.node_id}`,
      lease !== undefined && lease.epoch < epoch && `the cloud's lease is at epoch ${lease.epoch}`,
      lease !== undefined && lease.expires_at <= world.clock.now() && 'the lease in the cloud has lapsed',
    ].filter((one) => one !== false);
    if (why.length > 0) broken('one confirmed leader', `${machine.name} leads at epoch ${epoch} as confirmed, but ${why.join(', ')}`);
    const others = world.machines.filter((one) => one !== machine && one.state?.leads === true && one.state.confirmed);
    if (others.length > 0)
      broken('one confirmed leader', `${machine.name} and ${others.map(({ name }) => name).join(', ')} are both confirmed`);
  },
});

/**
 * Within one boot the epoch of whom a node follows never goes down, and who follows nobody turns to no leader below what
 * its disk has kept of the boots before; but to the leader that the cloud's row names it may: the row decides, and the
 * leader that it confirms takes an epoch above all others as soon as it meets them. Both sides of a partition may have a
 * leader at one epoch; from one of them to the other a node may go. Both ways are counted.
 */
export const followsUpwards: Invariant = ({ world, broken, count }) => {
  const followed = new Map<string, FencingToken>();
  const following = new Set<string>();
  return {
    onBoot({ name }) {
      followed.delete(name);
      following.delete(name);
    },
    onState({ name, disk }, { source, epoch, leads, leader_node_id }) {
      // One whose own lease has ended follows nobody until it has looked.
      const isFollowing = source === 'self' ? leads : source !== undefined && source !== 'cache';
      const didFollow = following.delete(name);
      if (!isFollowing || leader_node_id === undefined) return;
      following.add(name);
      const before = followed.get(name);
      const highest = didFollow ? 0 : epochSeen(disk.texts);
      if (epoch < Math.max(before?.epoch ?? 0, highest)) {
        const named = world.cloud && leaseIn(world.cloud.file)?.node_id;
        const whom = before === undefined ? `knew epoch ${highest}` : `followed ${before.epoch}/${before.node_id}, knew epoch ${highest}`;
        if (source === 'cloud' || named === leader_node_id) count('down to the leader of the cloud');
        else broken('only upwards', `${name} ${whom} and now follows ${epoch}/${leader_node_id}`);
      }
      if (before?.epoch === epoch && before.node_id !== leader_node_id) count('another leader at the same epoch');
      followed.set(name, { epoch, node_id: leader_node_id });
    },
  };
};

/** The highest epoch that a node keeps on its disk; 0 where it keeps none. */
function epochSeen(texts: ReadonlyMap<string, string>): number {
  const { epoch_seen = 0 } = JSON.parse(texts.get('epoch.json') ?? '{}') as { epoch_seen?: number };
  return epoch_seen;
}

/** What is fenced: whatever a Supervisor keeps of what a node tells. Claims and publishing have their own compare-and-swap. */
const FENCED = new Set(['/v1/nodes/heartbeat', '/v1/nodes/heartbeats', '/v1/bootstrap/events']);

/**
 * A Supervisor takes no write whose sender follows a lower epoch than it knows, or another leader at the same one. The
 * 204 that `isUnwritten` describes takes nothing, stale or not, and is the only good answer that is let pass.
 */
export const noStaleWrite: Invariant = ({ world, broken, count }) => ({
  onArrival(exchange) {
    const { to, from, url, headers } = exchange;
    const token = parseToken(headers.get(EPOCH_HEADER) ?? '');
    if (!FENCED.has(url.pathname) || token === undefined) return undefined;
    const machine = world.machines.find(({ name }) => name === to);
    if (machine?.isPassingOn === true) return undefined;
    const file = machine?.disk.database ?? world.cloud?.file;
    if (file === undefined) return undefined;
    const lease = leaseIn(file);
    if (lease === undefined || fence(token, lease) === 'accept') return undefined;
    return (response) => {
      const isTaken = response.ok && !isUnwritten(file, exchange, response);
      count(`stale write answered ${response.status}${response.ok && !isTaken ? ' and not written' : ''}`);
      if (isTaken)
        broken(
          'no stale write',
          `${to} took ${url.pathname} of ${from}, which follows ${token.epoch}/${token.node_id}; known there is ${lease.epoch}/${lease.node_id}`,
        );
    };
  },
});

/**
 * A single heartbeat of an instance whose id another one has taken over less than a TTL ago: it is answered 204 without
 * either header, and nothing is written. An answer to one that was heard has headers. That the id is another's is read
 * from the database, where a heartbeat writes only the row of its own instance.
 */
function isUnwritten(file: DatabaseFile, { url, body }: Exchange, { status, headers }: Response): boolean {
  if (url.pathname !== '/v1/nodes/heartbeat' || status !== 204 || headers.has(DESIRED_HEADER) || headers.has(EPOCH_HEADER)) return false;
  const { node_id, instance_id } = HeartbeatRequest.parse(JSON.parse(new TextDecoder().decode(body)));
  if (instance_id === undefined) return false;
  const displaced = 'select 1 from nodes where node_id = ? and instance_id <> ? and displaced_instance_id = ?';
  return file.read(displaced, node_id, instance_id, instance_id).length > 0;
}
