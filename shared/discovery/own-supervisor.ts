import type { Client } from '../client.ts';
import { claimAtCloud } from './cloud-lease.ts';
import { connect } from './connect.ts';
import { messageOf } from './json-file.ts';
import { type Claim, claimLease, type Lease } from './lease.ts';
import type { Located } from './located.ts';
import type { LocateContext } from './round.ts';

/** A claim in the node's own Supervisor, above `epoch_seen`. */
export function claimOwn(context: LocateContext, epoch_seen: number): Promise<Claim> {
  return claimLease(context.deps, connectOwn(context), epoch_seen === 0 ? {} : { epoch_seen });
}

/**
 * Leads by the node's own Supervisor with the lease of the cloud beside it, both at one epoch: what
 * the own store holds above the cloud's is claimed there once more. Undefined when the two don't come together.
 */
export async function leadConfirmed(context: LocateContext, granted: Lease): Promise<Located | undefined> {
  const own = await claimOwn(context, granted.epoch - 1);
  if (!('granted' in own)) return undefined;
  const { epoch } = own.granted;
  if (epoch === granted.epoch) return leadBy(context, own.granted, granted);
  const again = await claimAtCloud(context, { epoch_seen: epoch - 1 });
  return 'granted' in again && again.granted.epoch === epoch ? leadBy(context, own.granted, again.granted) : undefined;
}

/** Leads from now on. It counts at once, so that whoever asks in this moment is told. */
export async function leadBy(context: LocateContext, lease: Lease, cloud_lease?: Lease): Promise<Located> {
  const { deps, standing, adverts, epochs } = context;
  const confirmation = cloud_lease === undefined ? {} : { cloud_lease };
  const provisional = cloud_lease === undefined && deps.config.cloud_url !== undefined;
  const { url, fetch } = deps.self;
  const located = { source: 'self', url, fetch, lease, ...confirmation, provisional } as const;
  standing.located = located;
  // What is sent from now on follows this lease, also while the session of the one before still ends.
  if (standing.token !== undefined) standing.token = { epoch: lease.epoch, node_id: deps.identity.node_id };
  await epochs.note(lease.epoch);
  adverts.update();
  return located;
}

/** How many nodes this node's Supervisor has heard within a TTL. */
export async function ownNodesHeard(context: LocateContext): Promise<number> {
  try {
    return (await connectOwn(context).leader({ site: context.deps.config.site })).body.nodes_heard;
  } catch (error) {
    context.deps.log.debug(`this node's own Supervisor does not say whom it has heard: ${messageOf(error)}`);
    return 0;
  }
}

function connectOwn(context: LocateContext): Client {
  const { url, fetch } = context.deps.self;
  return connect(context, { url, fetch });
}
