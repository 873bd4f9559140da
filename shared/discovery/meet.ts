import { compareLeaders, isEpochJump, type ProvedLeader } from '../decide/leadership.ts';
import type { Found, FoundLeader } from './candidate.ts';
import { claimAtCloud } from './cloud-lease.ts';
import { follow } from './follow.ts';
import { messageOf } from './json-file.ts';
import { holds, type Lease } from './lease.ts';
import { claimOwn, leadBy, leadConfirmed, ownNodesHeard } from './own-supervisor.ts';
import type { StepContext, StepResult } from './round.ts';

/** The loser of a meeting looks again after this long, milliseconds, whether the winner has an epoch above both. */
const LOOK_AGAIN_MS = 250;

/**
 * What a leader does about other leaders of its site, each proved to the other. The winner of the
 * comparison takes an epoch above both. The loser follows as soon as the winner has one, never to a lower.
 */
export async function meetLeaders(context: StepContext, leaders: readonly FoundLeader[], found: readonly Found[]): Promise<StepResult> {
  const { current, deps, epochs } = context;
  if (current?.lease === undefined || !holds(current.lease, deps.clock))
    return { outcome: 'rejected', detail: 'the own lease has run out' };
  const rivals = leaders.filter(({ leads }) => !isEpochJump(epochs.highest, leads.epoch));
  const own = await ownStanding(context, current.lease);
  const [best] = rivals.toSorted((a, b) => compareLeaders(a.leads, b.leads));
  if (best !== undefined && compareLeaders(best.leads, own) < 0) return yieldTo(context, best, own);
  const above = epochAbove(context, own, rivals, found);
  if (above !== undefined) return raise(context, above, best);
  if (best !== undefined)
    return { outcome: 'rejected', url: best.url, detail: `${best.node_id} leads too, epoch ${best.leads.epoch}; this node wins` };
  return { outcome: found.length > 0 ? 'rejected' : 'no_answer', detail: 'no other leader' };
}

async function ownStanding(context: StepContext, { epoch }: Lease): Promise<ProvedLeader> {
  const { deps, current } = context;
  const confirmed = holds(current?.cloud_lease, deps.clock);
  return { node_id: deps.identity.node_id, epoch, confirmed, nodes_heard: await ownNodesHeard(context) };
}

async function yieldTo(context: StepContext, winner: FoundLeader, own: ProvedLeader): Promise<StepResult> {
  const { current, epochs, deps } = context;
  const { node_id, url, leads } = winner;
  const words = `${node_id} leads too, epoch ${leads.epoch}, and wins over this node's ${own.epoch}`;
  if (leads.epoch > own.epoch) {
    deps.log.warn(`${words}: this node steps down`, { epoch: own.epoch, leader_url: url });
    await epochs.note(leads.epoch);
    return { outcome: 'found', url, detail: words, located: follow(context, winner) };
  }
  const detail = `${words}: this node steps down as soon as that one leads above both`;
  return { outcome: 'found', url, detail, ...(current === undefined ? {} : { located: { ...current, look_again_ms: LOOK_AGAIN_MS } }) };
}

/**
 * The highest epoch that the winner has to go above; undefined when it is there already. Nodes that
 * follow nobody count too: they turn to no leader below what they have seen.
 */
function epochAbove(
  { epochs }: StepContext,
  own: ProvedLeader,
  rivals: readonly FoundLeader[],
  found: readonly Found[],
): number | undefined {
  const reached = rivals.filter(({ leads }) => leads.epoch >= own.epoch).map(({ leads }) => leads.epoch);
  const strays = found.filter(({ leads, follows }) => leads === undefined && follows === undefined);
  const seen = strays.map(({ epoch_seen }) => epoch_seen).filter((epoch) => epoch > own.epoch && !isEpochJump(epochs.highest, epoch));
  const all = [...reached, ...seen];
  return all.length === 0 ? undefined : Math.max(...all);
}

async function raise(context: StepContext, above: number, loser: FoundLeader | undefined): Promise<StepResult> {
  const url = loser === undefined ? {} : { url: loser.url };
  const why = loser === undefined ? 'a node that follows nobody has seen a higher epoch' : `${loser.node_id} leads too and this node wins`;
  try {
    const located = await claimAbove(context, above);
    if (located === undefined) return { outcome: 'rejected', ...url, detail: `${why}, but no epoch above ${above} was granted` };
    context.deps.log.info(`${why}: it leads on at epoch ${located.lease?.epoch}`, { epoch: located.lease?.epoch });
    return { outcome: 'found', ...url, detail: `${why}: epoch ${located.lease?.epoch}`, located };
  } catch (error) {
    return { outcome: 'rejected', ...url, detail: `${why}, but no epoch above ${above} was granted: ${messageOf(error)}` };
  }
}

/** A leader that the cloud has confirmed goes there first, so that both leases stay at one epoch. */
async function claimAbove(context: StepContext, above: number) {
  const { deps, current } = context;
  if (holds(current?.cloud_lease, deps.clock)) {
    const claim = await claimAtCloud(context, { epoch_seen: above });
    return 'granted' in claim ? leadConfirmed(context, claim.granted) : undefined;
  }
  const claim = await claimOwn(context, above);
  return 'granted' in claim ? leadBy(context, claim.granted) : undefined;
}
