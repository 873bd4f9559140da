import { compareText } from '../decide/rendezvous.ts';
import type { Found } from './candidate.ts';
import { DUPLICATE_ADVICE } from './failure.ts';
import { holds } from './lease.ts';
import { createLook, type Look } from './look.ts';
import { ownNodesHeard } from './own-supervisor.ts';
import type { StepContext, StepResult } from './round.ts';

/** For its answer, milliseconds. */
const ASK_MS = 1000;

/** What decides which of the two goes on. */
interface Right {
  readonly nodes_heard: number;
  readonly epoch: number;
  readonly instance_id: string;
}

/**
 * Looks whether another machine runs as this node: the same node_id, proved, in another boot at another
 * address. A boot that ended proves nothing, so a restart is none. Both say so, once for each boot that is met; the one with less right
 * leads no more and sends nothing as this node until the other is gone. True on that one.
 */
async function meetClone(context: StepContext, found: readonly Found[]): Promise<boolean> {
  const { deps, standing, round } = context;
  const { node_id, instance_id } = deps.identity;
  const other = found.find((one) => one.node_id === node_id && one.instance_id !== instance_id);
  if (other === undefined) return false;
  const message = `another machine, at ${other.url}, runs as this node (${node_id}); ${DUPLICATE_ADVICE}`;
  if (standing.twin?.instance_id !== other.instance_id) deps.log.error(message, { node_id, url: other.url, action: 'duplicate' });
  standing.twin = { url: other.url, instance_id: other.instance_id, trouble: message };
  const theirs: Right = { ...other, nodes_heard: other.leads?.nodes_heard ?? 0, epoch: other.leads?.epoch ?? other.epoch_seen };
  const isFirst = compareRights(await ownRight(context), theirs) < 0;
  round.clone = isFirst ? {} : { yields: message };
  return !isFirst;
}

/** To be called with what a step met before it makes anything of it. Rejected where a copy of this node has more right. */
export async function yieldToClone(context: StepContext, { found, traced }: Look): Promise<StepResult | undefined> {
  if (!(await meetClone(context, found))) return undefined;
  return { outcome: 'rejected', detail: context.round.clone?.yields ?? '', candidates: traced };
}

/**
 * Asks the copy that was met before, so that no round ends with a leader before that is clear. Undefined when there is
 * none; rejected when it is there still and has more right.
 */
export async function askTwin(context: StepContext): Promise<StepResult | undefined> {
  const { standing, round, takeover } = context;
  if (standing.twin?.trouble === undefined || takeover !== undefined) return undefined;
  const look = createLook(context, { timeout_ms: ASK_MS, asked: round.asked });
  look.add({ url: standing.twin.url, via: 'peer' });
  await look.settled();
  return yieldToClone(context, look);
}

/** To be called at the end of a round: one that asked the copy and met none says that the trouble is over, at least for now. */
export function forgetTwin({ standing, round, takeover }: StepContext): void {
  if (round.clone !== undefined || takeover !== undefined || standing.twin === undefined) return;
  const { url, instance_id } = standing.twin;
  standing.twin = { url, instance_id };
}

async function ownRight(context: StepContext): Promise<Right> {
  const { deps, epochs, current } = context;
  const { instance_id } = deps.identity;
  if (current?.lease === undefined || !holds(current.lease, deps.clock)) return { nodes_heard: 0, epoch: epochs.highest, instance_id };
  return { nodes_heard: await ownNodesHeard(context), epoch: current.lease.epoch, instance_id };
}

/** The one that has more right to the identity comes first: more nodes heard, then the higher epoch, then the earlier boot. */
function compareRights(a: Right, b: Right): number {
  return b.nodes_heard - a.nodes_heard || b.epoch - a.epoch || compareText(a.instance_id, b.instance_id);
}
