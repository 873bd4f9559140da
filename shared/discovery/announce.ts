import { lookIntervalMs } from '../decide/ttl.ts';
import { leadsElsewhere } from './candidate.ts';
import { createLook } from './look.ts';
import { challengeNode, type Proved } from './prove.ts';
import type { Session } from './session-state.ts';

/** For each answer, and the first pause, milliseconds. */
const ANSWER_WITHIN_MS = 1000;

/**
 * Tells the known nodes that multicast does not reach, one by one, that this node leads: a challenge brings its advert
 * along. Nothing else does, and another that was elected in the same moment is met at once.
 */
export async function announceLead(session: Session): Promise<void> {
  const { node, located, active, looks } = session;
  if (located.lease === undefined) return;
  const { deps, peers, adverts } = node;
  const look = createLook({ ...node, signal: active }, { timeout_ms: ANSWER_WITHIN_MS });
  const known = [...deps.config.peers.map((url) => ({ url })), ...peers.list()].filter(
    ({ url }) => !adverts.isOnMulticast(new URL(url).origin),
  );
  for (const peer of known) look.add({ ...peer, via: 'peer' });
  await look.settled();
  if (look.found.some((one) => leadsElsewhere(one, deps.identity.node_id))) looks.wake();
  const silent = new Set(known.map(({ url }) => new URL(url).origin));
  for (const one of look.found) if (!isLedByAnother(session, one)) silent.delete(one.url);
  await askAgain(session, silent);
}

/**
 * Whoever was too busy to answer, or out of reach for a moment, is asked again, each time after twice the pause, until
 * all are looked at anyway. No advert goes along: the nodes of another leader must not come over before the two have met.
 */
async function askAgain(session: Session, silent: Set<string>): Promise<void> {
  const { node, located, active: signal, looks } = session;
  const { deps, standing } = node;
  const isOver = (pause_ms: number) => signal.aborted || silent.size === 0 || pause_ms >= lookIntervalMs(located, standing.ttl_seconds());
  for (let pause_ms = ANSWER_WITHIN_MS; !isOver(pause_ms); pause_ms *= 2) {
    await deps.clock.sleep(pause_ms, signal);
    if (signal.aborted) return;
    const answers = await Promise.all([...silent].map((url) => challengeNode({ deps, signal, timeout_ms: ANSWER_WITHIN_MS }, url)));
    const proved = answers.flatMap((answer) => ('proved' in answer ? [answer.proved] : []));
    const others = proved.filter((one) => isLedByAnother(session, one));
    for (const one of proved) if (!others.includes(one)) silent.delete(one.url);
    if (others.length > 0) looks.wake();
  }
}

function isLedByAnother({ node: { deps } }: Session, { node_id, leads, follows }: Proved): boolean {
  const leader = leads === undefined ? follows?.node_id : node_id;
  return leader !== undefined && leader !== deps.identity.node_id;
}
