import type { Candidate } from './candidate.ts';
import type { Located } from './located.ts';
import type { StepContext } from './round.ts';

/** A follower whose leader is well asks only so many others, so that a large site does not ask all of all. */
const SAMPLED_PEERS = 3;
/** It asks only so many of those that told of something new: each of them points to the leader that it follows. */
const HINTED_PEERS = 8;
const SAMPLED_AT_BOOT = 6;
/** So many who answered and knew of no leader speak for those who were heard beside them. */
const ENOUGH_WITNESSES = 3;

/**
 * Whom a node asks that follows nobody: a few, and whoever knows of a higher epoch than those before. Where the site
 * has a leader, each of them points to it; where it has none, a large site that boots at once does not ask all of all.
 */
export function createRation({ deps }: StepContext): (candidate: Candidate) => boolean {
  let asked = 0;
  let highest = -1;
  return ({ node_id, epoch = 0 }) => {
    // A copy of this node is dealt with first.
    if (node_id !== deps.identity.node_id && epoch <= highest && asked >= SAMPLED_AT_BOOT) return false;
    asked += 1;
    highest = Math.max(highest, epoch);
    return true;
  };
}

/** The peers that a round asks one by one: those that told of something new, and of the known ones as many as this node has need of. */
export function peersToAsk({ deps, current, peers, round, standing }: StepContext): Candidate[] {
  const isWell = current !== undefined && current.lease === undefined && current.source !== 'cloud';
  const hinted = isWell ? round.hinted.toSorted((a, b) => (b.epoch ?? 0) - (a.epoch ?? 0)).slice(0, HINTED_PEERS) : round.hinted;
  if (round.isHinted) return [...hinted];
  const isWitnessed = ({ node_id }: Candidate) =>
    round.proved.size >= ENOUGH_WITNESSES && node_id !== undefined && round.heard.has(node_id);
  const known = [...deps.config.peers.map((url) => ({ url })), ...peers.list(), ...(standing.answer?.successors ?? [])];
  const candidates = known
    .map((peer): Candidate => ({ ...peer, via: 'peer' }))
    .filter((one) => !round.asked.has(new URL(one.url).origin) && !isWitnessed(one));
  if (!isWell) return [...hinted, ...candidates];
  const from = Math.floor(deps.random.next() * candidates.length);
  const sampled = [...candidates.slice(from), ...candidates.slice(0, from)].slice(0, SAMPLED_PEERS);
  return [...hinted, ...followedOf(current, 'peer'), ...sampled];
}

/** The leader that is followed, to be asked like any other. */
export function followedOf(current: Located | undefined, via: Candidate['via']): Candidate[] {
  if (current?.leader === undefined) return [];
  const { leader_url, node_id, epoch } = current.leader;
  return [{ url: leader_url, node_id, epoch, via }];
}
