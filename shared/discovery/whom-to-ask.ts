import type { Candidate } from './candidate.ts';
import type { Located } from './located.ts';
import type { Round, StepContext } from './round.ts';

/** A follower whose leader is well asks only so many others, so that a large site does not ask all of all. */
const SAMPLED_PEERS = 3;
/** It asks only so many of those that told of something new, the first that was heard first: each of them points to the leader that it follows. */
const HINTED_PEERS = 3;
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
  const known = [...deps.config.peers.map((url) => ({ url })), ...peers.list(), ...(standing.answer?.successors ?? [])];
  const candidates = known.map((peer): Candidate => ({ ...peer, via: 'peer' })).filter((one) => !round.asked.has(new URL(one.url).origin));
  if (current === undefined) return beyondThoseHeard(round, [...hinted, ...candidates]);
  if (!isWell) return [...hinted, ...candidates.filter((one) => !isWitnessed(round, one))];
  const from = Math.floor(deps.random.next() * candidates.length);
  const sampled = [...candidates.slice(from), ...candidates.slice(0, from)].slice(0, SAMPLED_PEERS);
  return [...hinted, ...followedOf(current, 'peer'), ...sampled];
}

function isWitnessed({ heard, proved }: Round, { node_id }: Candidate): boolean {
  return proved.size >= ENOUGH_WITNESSES && node_id !== undefined && heard.has(node_id);
}

/**
 * For a node that follows nobody. Whoever was heard in this round is there, and a few of them were asked. Where too few of
 * those answered it asks a few more, not all: a site that boots at once is busy, and all the more when everybody asks everybody.
 * Who has never seen an epoch neither leads nor knows who does.
 */
function beyondThoseHeard(round: Round, candidates: readonly Candidate[]): Candidate[] {
  const { heard, proved, asked } = round;
  const open = [...heard.values()].filter(({ url, epoch = 0 }) => epoch > 0 && !asked.has(url));
  const more = proved.size >= ENOUGH_WITNESSES ? [] : open.toSorted((a, b) => (b.epoch ?? 0) - (a.epoch ?? 0)).slice(0, SAMPLED_AT_BOOT);
  return [...more, ...candidates.filter(({ node_id }) => node_id === undefined || !heard.has(node_id))];
}

/** The leader that is followed, to be asked like any other. */
export function followedOf(current: Located | undefined, via: Candidate['via']): Candidate[] {
  if (current?.leader === undefined) return [];
  const { leader_url, node_id, epoch } = current.leader;
  return [{ url: leader_url, node_id, epoch, via }];
}
