import type { Context } from '../context.ts';
import { ProblemError } from '../problem.ts';
import type { LeaseRow } from '../store/leases.ts';
import type { NodeView } from '../store/nodes.ts';

export function unknownNode(node_id: string): ProblemError {
  return new ProblemError('unknown_node', `node ${node_id} is not registered here; register it first`);
}

/** The clone is told, and the event log tells everybody else, once for each pair of instances. */
export async function duplicateNode(context: Context, node: NodeView, instance_id: string | undefined): Promise<ProblemError> {
  const { fleet, site, node_id } = node;
  const data = { code: 'duplicate_node', instance_id, runs_as: node.instance_id, host: node.host, ip: node.ip };
  const dedupe = `duplicate_node/${node_id}/${instance_id}/${node.instance_id}`;
  await context.record({ fleet, type: 'overlay.refused', site, node_id, data, dedupe });
  return new ProblemError(
    'duplicate_node',
    `node ${node_id} also runs on ${node.host} (${node.ip}); was this machine's disk copied? Stop one of the two, or remove node.json in its data directory so that it gets an identity of its own`,
  );
}

export function staleEpoch(detail: string, lease: LeaseRow | undefined): ProblemError {
  const leader = lease === undefined ? {} : { leader: { leader_url: lease.url, node_id: lease.node_id, epoch: lease.epoch } };
  return new ProblemError('stale_epoch', detail, leader);
}
