import { compareLeaders, isEpochJump, isFollowable } from '../decide/leadership.ts';
import { tellsNews } from './advert-check.ts';
import { type Candidate, type Found, type FoundLeader, leadsElsewhere } from './candidate.ts';
import { yieldToClone } from './clone.ts';
import { follow } from './follow.ts';
import { messageOf } from './json-file.ts';
import { createLook, type Look } from './look.ts';
import { meetLeaders } from './meet.ts';
import type { LeaderFound } from './prove.ts';
import type { StepContext, StepResult } from './round.ts';
import { createRation, followedOf, peersToAsk } from './whom-to-ask.ts';

/** One query round, as mDNS asks it: up to three questions within this time, milliseconds. */
const BROWSE_MS = 1000;
const CHALLENGE_TIMEOUT_MS = 1000;

/** Asks the LAN by multicast who is there, and each one to prove itself. */
export async function locateMdns(context: StepContext): Promise<StepResult> {
  const { lan } = context.deps;
  if (lan === undefined) return { outcome: 'off', detail: 'BOOTPLANE_MDNS is off, or there is no multicast here' };
  const look = lookAround(context);
  addFollowed(context, look, 'mdns');
  const browsed = await browse(context, look);
  await look.settled();
  return settle(context, look, browsed ?? 'nobody answered on the LAN');
}

/** Asks the configured and the remembered nodes, one by one, and those that told of something new. */
export async function locatePeers(context: StepContext): Promise<StepResult> {
  const candidates = peersToAsk(context);
  if (candidates.length === 0) return { outcome: 'off', detail: 'no other peer is configured in BOOTPLANE_PEERS or remembered' };
  const look = lookAround(context);
  for (const candidate of candidates) look.add(candidate);
  await look.settled();
  return settle(context, look, 'no peer answered');
}

function lookAround(context: StepContext): Look {
  const { asked } = context.round;
  return createLook(context, { timeout_ms: CHALLENGE_TIMEOUT_MS, asked, isEnough: (found) => isEnough(context, found) });
}

/** Why nothing could be browsed, where that is so. */
async function browse(context: StepContext, look: Look): Promise<string | undefined> {
  const { deps, adverts, current, round } = context;
  const mayAsk = current === undefined ? createRation(context) : () => true;
  try {
    for await (const advert of deps.lan?.browse(BROWSE_MS, look.signal) ?? []) {
      const checked = await adverts.check(advert, 'mdns');
      if ('refused' in checked) {
        adverts.ignored(advert.url, checked.refused);
        look.turnAway({ url: advert.url, node_id: advert.node_id }, checked.refused);
      } else if ('candidate' in checked) {
        const { candidate } = checked;
        if (candidate.node_id !== undefined) round.heard.set(candidate.node_id, candidate);
        if (tellsNews(deps, current, candidate) && mayAsk(candidate)) look.add(candidate);
      }
    }
    return undefined;
  } catch (error) {
    return `the LAN can't be asked: ${messageOf(error)}`;
  }
}

/** The leader that is followed is asked as well: whatever is found must be better. */
function addFollowed({ current }: StepContext, look: Look, via: Candidate['via']): void {
  for (const candidate of followedOf(current, via)) look.add(candidate);
}

/** A node without a control plane takes the first leader; one that has something compares all. */
function isEnough(context: StepContext, found: Found): boolean {
  return context.current === undefined && leadsElsewhere(found, context.deps.identity.node_id) && mayFollow(context, found.leads);
}

/** A provisional leader is no better than the cloud where that names another. */
function mayFollow({ epochs, current }: StepContext, leader: LeaderFound): boolean {
  const { highest } = epochs;
  if (current?.source !== 'cloud') return isFollowable(leader, highest, current?.leader);
  const named = current.leader;
  if (named !== undefined && leader.provisional && leader.node_id !== named.node_id) return false;
  // Only whom it names it may lead back to.
  return isFollowable(leader, leader.node_id === named?.node_id ? Math.min(highest, named.epoch) : highest);
}

/** What a look came to: who was met is remembered, and a copy of this node or another leader is dealt with first. */
async function settle(context: StepContext, look: Look, nobody: string): Promise<StepResult> {
  const candidates = look.traced.length === 0 ? {} : { candidates: look.traced };
  const { deps, epochs, current, round, peers } = context;
  for (const one of look.found) if (one.node_id !== deps.identity.node_id) round.proved.set(one.node_id, one);
  await peers.remember(look.found);
  const yielded = await yieldToClone(context, look);
  if (yielded !== undefined) return yielded;
  const leaders = leadersOf(context, look.found);
  if (current?.lease !== undefined) return { ...(await meetLeaders(context, leaders, look.found)), ...candidates };
  const [best] = leaders.filter(({ leads }) => mayFollow(context, leads)).sort((a, b) => compareLeaders(a.leads, b.leads));
  if (best !== undefined) {
    await epochs.note(best.leads.epoch);
    return {
      outcome: 'found',
      url: best.url,
      detail: `follows ${best.node_id}, epoch ${best.leads.epoch}`,
      ...candidates,
      located: follow(context, best),
    };
  }
  return { outcome: look.found.length > 0 ? 'rejected' : 'no_answer', detail: whyNone(context, look, nobody), ...candidates };
}

function leadersOf({ deps }: StepContext, found: readonly Found[]): FoundLeader[] {
  return found.filter((one) => leadsElsewhere(one, deps.identity.node_id));
}

function whyNone(context: StepContext, look: Look, nobody: string): string {
  if (look.found.length === 0) return look.traced.length === 0 ? nobody : whyNobody(look.traced);
  const [leader] = leadersOf(context, look.found);
  if (leader === undefined) return `${look.found.length} of the fleet answered and none leads`;
  const { node_id, epoch } = leader.leads;
  if (isEpochJump(context.epochs.highest, epoch))
    return `${node_id} names epoch ${epoch}, too far above ${context.epochs.highest} to be true`;
  if (context.current !== undefined) return 'nothing better than what is followed';
  return `${node_id} leads at epoch ${epoch}, below ${context.epochs.highest} that this node has seen`;
}

/** A cut network is no stranger. */
function whyNobody(traced: Look['traced']): string {
  const silent = traced.filter(({ outcome }) => outcome === 'no_answer').length;
  if (silent === traced.length) return `none of ${traced.length} answered`;
  return `none of ${traced.length} proved to be of this fleet${silent === 0 ? '' : `, and ${silent} of them did not answer`}`;
}
