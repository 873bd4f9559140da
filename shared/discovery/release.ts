import { ApiError } from '../client.ts';
import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { messageOf } from './json-file.ts';
import type { Lease } from './lease.ts';
import type { Located } from './located.ts';

type Releasing = Pick<NodeContext, 'deps' | 'credential'>;

/** How long an orderly step down may take, milliseconds. */
const RELEASE_TIMEOUT_MS = 2000;

/**
 * Leads no more from this moment on, and then gives back what is held at the node's own Supervisor and at the cloud, so
 * that the next leader need not wait for its end. In this order, since with the lease of the cloud another is confirmed at
 * once. `yields`: another leads already, and nobody is asked to take over. Best effort.
 */
export async function stepDown(node: Pick<NodeContext, 'deps' | 'credential' | 'standing'>, yields: boolean): Promise<void> {
  const { standing } = node;
  if (standing.located === undefined) return;
  const { lease, cloud_lease, ...rest } = standing.located;
  standing.located = rest;
  await Promise.all([
    lease === undefined ? undefined : releaseLease(node, rest, lease, yields),
    cloud_lease === undefined ? undefined : releaseCloudLease(node, cloud_lease, yields),
  ]);
}

/** Gives a lease of the cloud back. Best effort. */
export async function releaseCloudLease(node: Releasing, lease: Lease, yields: boolean): Promise<void> {
  const { config, fetch } = node.deps;
  if (config.cloud_url !== undefined) await releaseLease(node, { url: config.cloud_url, fetch }, lease, yields);
}

async function releaseLease(
  node: Releasing,
  { url, fetch }: Pick<Located, 'url' | 'fetch'>,
  { epoch }: Lease,
  yields: boolean,
): Promise<void> {
  const { config, identity, log } = node.deps;
  const { signal } = new AbortController();
  const client = connect({ ...node, signal }, { url, fetch, timeout_ms: () => RELEASE_TIMEOUT_MS });
  try {
    await client.release({ node_id: identity.node_id, epoch, ...(yields ? { yields } : {}) }, config.site);
  } catch (error) {
    // Another holds it already: there is nothing to give back.
    if (error instanceof ApiError && error.problem.code === 'stale_epoch') return;
    log.warn(`the lease was not released and ends by itself: ${messageOf(error)}`, { epoch, url });
  }
}
