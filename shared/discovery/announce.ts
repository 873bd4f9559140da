import { createLook } from './look.ts';
import type { Session } from './session-state.ts';

/** For each answer, milliseconds. */
const ANSWER_WITHIN_MS = 1000;

/**
 * Tells the known nodes, one by one, that this node leads: a challenge brings its advert along. Where multicast
 * is blocked nothing else does, and another that was elected in the same moment is met at once.
 */
export async function announceLead({ node, located, active, looks }: Session): Promise<void> {
  if (located.lease === undefined) return;
  const { deps, peers } = node;
  const look = createLook({ ...node, signal: active }, { timeout_ms: ANSWER_WITHIN_MS });
  for (const peer of [...deps.config.peers.map((url) => ({ url })), ...peers.list()]) look.add({ ...peer, via: 'peer' });
  await look.settled();
  if (look.found.some(({ leads, node_id }) => leads !== undefined && node_id !== deps.identity.node_id)) looks.wake();
}
