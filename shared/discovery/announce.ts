import { createLook } from './look.ts';
import { lookIntervalMs } from './resync.ts';
import type { Session } from './session-state.ts';

/** For each answer, and the first pause, milliseconds. */
const ANSWER_WITHIN_MS = 1000;

/**
 * Tells the known nodes, one by one, that this node leads: a challenge brings its advert along. Where multicast
 * is blocked nothing else does, and another that leads, too, is met at once. Whoever was too busy to answer, or
 * out of reach for a moment, is told again, each time after twice the pause, until all are looked at anyway.
 */
export async function announceLead({ node, located, active, looks }: Session): Promise<void> {
  if (located.lease === undefined) return;
  const { deps, peers, standing } = node;
  const known = [...deps.config.peers.map((url) => ({ url })), ...peers.list()];
  let untold = new Set(known.map(({ url }) => new URL(url).origin));
  const isOver = (pause_ms: number) => active.aborted || untold.size === 0 || pause_ms >= lookIntervalMs(located, standing.ttl_seconds());
  for (let pause_ms = ANSWER_WITHIN_MS; !isOver(pause_ms); pause_ms *= 2) {
    const look = createLook({ ...node, signal: active }, { timeout_ms: ANSWER_WITHIN_MS });
    for (const url of untold) look.add({ url, via: 'peer' });
    await look.settled();
    const rivals = look.found.filter(({ leads, node_id }) => leads !== undefined && node_id !== deps.identity.node_id);
    if (rivals.length > 0) looks.wake();
    const told = new Set(look.found.filter((one) => !rivals.includes(one)).map(({ url }) => url));
    untold = untold.difference(told);
    if (untold.size > 0) await deps.clock.sleep(pause_ms, active);
  }
}
