import { compareLeaders, isFollowable } from '../decide/leadership.ts';
import { type Candidate, type Found, type FoundLeader, leadsElsewhere } from './candidate.ts';
import { yieldToClone } from './clone.ts';
import { turnOf, waitForTurn } from './elect.ts';
import { follow } from './follow.ts';
import { messageOf } from './json-file.ts';
import { createLook } from './look.ts';
import { claimOwn, leadBy } from './own-supervisor.ts';
import type { StepContext, StepResult } from './round.ts';

const HEARD_AT_ONCE = 3;

/** Elects this node: waits for its turn, looks a last time, and claims in its own Supervisor above every epoch that it has ever seen. */
export async function locateSelf(context: StepContext): Promise<StepResult> {
  const { deps, signal } = context;
  if (!deps.config.lead) return { outcome: 'off', detail: 'BOOTPLANE_LEAD is off, so this node does not elect itself' };
  const turn = turnOf(context);
  const until = deps.clock.monotonic() + turn.wait_ms;
  let looks = 0;
  let silent: readonly Candidate[] = [];
  while (!signal.aborted) {
    const heard = await waitForTurn(context, until);
    const isMyTurn = deps.clock.monotonic() >= until;
    // Another may have been elected while this node looked: what it says of itself is heard before anything is claimed.
    if (isMyTurn && looks > 0 && heard.length === 0 && silent.length === 0) return elect(context);
    const before = isMyTurn && looks === 0 ? turn.before : [];
    const last = await lookLast(
      context,
      [...foremost(heard), ...silent, ...before],
      silent.length === 0 ? turn.timeout_ms : 2 * turn.timeout_ms,
    );
    if ('outcome' in last) return last;
    if (isMyTurn) looks += 1;
    silent = turn.looks > 1 && looks < turn.looks ? last.silent : [];
  }
  return { outcome: 'off', detail: 'the node stops' };
}

/** A few of a whole site that tells the same speak for it: each points to the leader that it follows. */
function foremost(heard: readonly Candidate[]): Candidate[] {
  return heard.toSorted((a, b) => (b.epoch ?? 0) - (a.epoch ?? 0)).slice(0, HEARD_AT_ONCE);
}

/** Where none of these leads: those of whom nothing came. */
async function lookLast(
  context: StepContext,
  asked: readonly Candidate[],
  timeout_ms: number,
): Promise<StepResult | { readonly silent: readonly Candidate[] }> {
  if (asked.length === 0) return { silent: [] };
  const { deps, epochs } = context;
  const leader = (one: Found): one is FoundLeader => leadsElsewhere(one, deps.identity.node_id) && isFollowable(one.leads, epochs.highest);
  const look = createLook(context, { timeout_ms, isEnough: leader });
  for (const candidate of asked) look.add(candidate);
  await look.settled();
  await context.peers.remember(look.found);
  const yielded = await yieldToClone(context, look);
  if (yielded !== undefined) return yielded;
  const [best] = look.found.filter(leader).sort((a, b) => compareLeaders(a.leads, b.leads));
  if (best === undefined) return { silent: look.silent };
  await epochs.note(best.leads.epoch);
  const detail = `a last look found ${best.node_id}, epoch ${best.leads.epoch}`;
  return { outcome: 'found', url: best.url, detail, candidates: look.traced, located: follow(context, best) };
}

async function elect(context: StepContext): Promise<StepResult> {
  try {
    const claim = await claimOwn(context, context.epochs.highest);
    if ('lost_to' in claim) {
      const { node_id, expires_in_ms } = claim.lost_to;
      return { outcome: 'rejected', detail: `its own Supervisor holds a lease of ${node_id} for another ${expires_in_ms} ms` };
    }
    const located = await leadBy(context, claim.granted);
    return { outcome: 'found', detail: `elected itself, epoch ${claim.granted.epoch}`, located };
  } catch (error) {
    return { outcome: 'rejected', detail: `its own Supervisor refused the claim: ${messageOf(error)}` };
  }
}
