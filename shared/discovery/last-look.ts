import { compareLeaders, isFollowable } from '../decide/leadership.ts';
import { type Candidate, type Found, type FoundLeader, leadsElsewhere } from './candidate.ts';
import { yieldToClone } from './clone.ts';
import { follow } from './follow.ts';
import { createLook } from './look.ts';
import type { StepContext, StepResult } from './round.ts';

const HEARD_AT_ONCE = 3;

/** A few of a whole site that tells the same speak for it: each points to the leader that it follows. */
export function foremost(heard: readonly Candidate[]): Candidate[] {
  return heard.toSorted((a, b) => (b.epoch ?? 0) - (a.epoch ?? 0)).slice(0, HEARD_AT_ONCE);
}

/** Where none of these leads: those of whom nothing came. */
export async function lookLast(
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
