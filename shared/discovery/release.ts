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
 * Gives the leases back, at the node's own Supervisor and at the cloud, so that the next leader need not wait
 * for their end. `yields`: another leads already, and nobody is asked to take over. Best effort.
 */
export async function releaseLease(node: Releasing, located: Located, signal: AbortSignal, yields: boolean): Promise<void> {
  const { config, fetch } = node.deps;
  const { lease, cloud_lease } = located;
  await Promise.all([
    lease === undefined ? undefined : releaseAt(node, located, lease, signal, yields),
    cloud_lease === undefined || config.cloud_url === undefined
      ? undefined
      : releaseAt(node, { url: config.cloud_url, fetch }, cloud_lease, signal, yields),
  ]);
}

async function releaseAt(
  node: Releasing,
  { url, fetch }: Pick<Located, 'url' | 'fetch'>,
  { epoch }: Lease,
  signal: AbortSignal,
  yields: boolean,
): Promise<void> {
  const { config, identity, log } = node.deps;
  const client = connect({ ...node, signal }, { url, fetch, timeout_ms: () => RELEASE_TIMEOUT_MS });
  try {
    await client.release({ node_id: identity.node_id, epoch, ...(yields ? { yields } : {}) }, config.site);
  } catch (error) {
    // Another holds it already: there is nothing to give back.
    if (error instanceof ApiError && error.problem.code === 'stale_epoch') return;
    log.warn(`the lease was not released and ends by itself: ${messageOf(error)}`, { epoch, url });
  }
}
