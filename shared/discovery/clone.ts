import { compareText } from '../decide/rendezvous.ts';
import type { Found } from './candidate.ts';
import { holds } from './lease.ts';
import { createLook } from './look.ts';
import { ownNodesHeard } from './own-supervisor.ts';
import type { StepContext, StepResult } from './round.ts';

const TOPIC = 'clone';
/** For its answer, milliseconds. */
const ASK_MS = 1000;
const ADVICE = 'to mend it: stop one of the two, remove node.json from its data directory, start it again. Services stay as they are';

interface Twin {
  readonly nodes_heard: number;
  readonly epoch: number;
  readonly instance_id: string;
}

/**
 * Looks whether another machine runs as this node: the same node_id, proved, in another boot at another
 * address. A boot that ended proves nothing, so a restart is none. Both say so; the one with less right
 * leads no more and sends nothing as this node until the other is gone. True on that one.
 */
export async function meetClone(context: StepContext, found: readonly Found[]): Promise<boolean> {
  const { deps, standing, round, adverts } = context;
  const { node_id, instance_id } = deps.identity;
  const other = found.find((one) => one.node_id === node_id && one.instance_id !== instance_id);
  if (other === undefined) return false;
  const message = `another machine, at ${other.url}, runs as this node (${node_id}); ${ADVICE}`;
  if (adverts.twin?.instance_id !== other.instance_id) deps.log.error(message, { node_id, url: other.url, action: 'duplicate' });
  standing.waits.set(TOPIC, message);
  adverts.twin = { url: other.url, instance_id: other.instance_id };
  const theirs: Twin = { ...other, nodes_heard: other.leads?.nodes_heard ?? 0, epoch: other.leads?.epoch ?? other.epoch_seen };
  const isFirst = compareTwins(await ownTwin(context), theirs) < 0;
  round.clone = isFirst ? {} : { yields: message };
  return !isFirst;
}

/**
 * Asks the copy that was met before, so that no round ends with a leader before that is clear. Undefined when there is
 * none; rejected when it is there still and has more right.
 */
export async function askTwin(context: StepContext): Promise<StepResult | undefined> {
  const { adverts, round, takeover } = context;
  if (adverts.twin === undefined || takeover !== undefined) return undefined;
  const look = createLook(context, { timeout_ms: ASK_MS, asked: round.asked });
  look.add({ ...adverts.twin, via: 'peer' });
  await look.settled();
  await meetClone(context, look.found);
  return round.clone?.yields === undefined ? undefined : { outcome: 'rejected', detail: round.clone.yields, candidates: look.traced };
}

/** To be called at the end of a round: one that asked the copy and met none says that the trouble is over. */
export function forgetTwin({ standing, round, adverts, takeover }: StepContext): void {
  if (round.clone !== undefined || takeover !== undefined) return;
  standing.waits.delete(TOPIC);
  adverts.twin = undefined;
}

async function ownTwin(context: StepContext): Promise<Twin> {
  const { deps, epochs, current } = context;
  const { instance_id } = deps.identity;
  if (current?.lease === undefined || !holds(current.lease, deps.clock)) return { nodes_heard: 0, epoch: epochs.highest, instance_id };
  return { nodes_heard: await ownNodesHeard(context), epoch: current.lease.epoch, instance_id };
}

/** The one that has more right to the identity comes first: more nodes heard, then the higher epoch, then the earlier boot. */
function compareTwins(a: Twin, b: Twin): number {
  return b.nodes_heard - a.nodes_heard || b.epoch - a.epoch || compareText(a.instance_id, b.instance_id);
}
