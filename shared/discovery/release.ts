import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { messageOf } from './json-file.ts';
import type { Located } from './located.ts';

/** How long an orderly step down may take, milliseconds. */
const RELEASE_TIMEOUT_MS = 2000;

/** Gives the lease back, so that the next leader need not wait for its end. Best effort. */
export async function releaseLease(node: NodeContext, { lease, ...located }: Located, signal: AbortSignal): Promise<void> {
  if (lease === undefined) return;
  const { config, identity, log } = node.deps;
  const client = connect({ ...node, signal }, { ...located, timeout_ms: () => RELEASE_TIMEOUT_MS });
  try {
    await client.release({ node_id: identity.node_id, epoch: lease.epoch }, config.site);
  } catch (error) {
    log.warn(`the lease was not released and ends by itself: ${messageOf(error)}`, { epoch: lease.epoch });
  }
}
