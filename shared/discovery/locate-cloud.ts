import { ApiError, type Client, UnreachableError } from '../client.ts';
import type { Leader } from '../contract/leader.ts';
import { isFollowable } from '../decide/leadership.ts';
import { type Found, type FoundLeader, leadsElsewhere } from './candidate.ts';
import { yieldToClone } from './clone.ts';
import { claimAtCloud } from './cloud-lease.ts';
import { isTlsFailure } from './cloud-trouble.ts';
import { CALL_TIMEOUT_MS, connect } from './connect.ts';
import { waitForCloudTurn } from './elect.ts';
import { follow } from './follow.ts';
import { messageOf } from './json-file.ts';
import { NEW_KEY_ADVICE } from './key-advice.ts';
import { holds, type Lease } from './lease.ts';
import type { KnownLeader, Located } from './located.ts';
import { createLook } from './look.ts';
import { leadConfirmed } from './own-supervisor.ts';
import { whyUnproved } from './prove.ts';
import { releaseCloudLease } from './release.ts';
import type { StepContext, StepResult } from './round.ts';

const CHALLENGE_TIMEOUT_MS = 1000;
/** Who has to take over can't wait long for a cloud that is away, milliseconds. */
const TAKEOVER_TIMEOUT_MS = 1000;

/**
 * Asks the cloud who leads the site. Where nobody does and this node may, it claims the lease there and
 * leads by its own Supervisor at the same epoch; else it follows the leader, or the cloud while that
 * leader does not prove that it leads.
 */
export async function locateCloud(context: StepContext): Promise<StepResult> {
  const { deps, takeover } = context;
  const url = deps.config.cloud_url;
  if (url === undefined) return { outcome: 'off', detail: 'BOOTPLANE_CLOUD_URL is not set' };
  const unproved = whyUnproved(url);
  if (unproved !== undefined) return { outcome: 'rejected', url, detail: unproved };
  const found = await waitForCloudTurn(context);
  if (found !== undefined) return found;
  const timeout_ms = () => (takeover === undefined ? CALL_TIMEOUT_MS : TAKEOVER_TIMEOUT_MS);
  const client = connect(context, { url, fetch: deps.fetch, timeout_ms });
  try {
    return { url, ...(await join(context, client, timeout_ms)) };
  } catch (error) {
    return { ...explain(error), url };
  }
}

async function join(context: StepContext, client: Client, timeout_ms: () => number): Promise<StepResult> {
  const { deps, epochs, current } = context;
  const leader = await readLeader(client, deps.config.site);
  await epochs.note(leader?.epoch);
  if (leader !== undefined && current !== undefined && isHeld(context, leader)) {
    return { outcome: 'found', detail: 'this node leads', located: current };
  }
  if ((leader !== undefined && !isThisMachine(context, leader)) || !mayClaim(context)) return turnTo(context, client, leader);
  const claim = await claimAtCloud(context, { epoch_seen: epochs.highest, timeout_ms });
  if ('lost_to' in claim) {
    await epochs.note(claim.lost_to.epoch);
    return turnTo(context, client, claim.lost_to);
  }
  await epochs.note(claim.granted.epoch);
  return lead(context, claim.granted);
}

/** A lease of the cloud is of no use without that of the own Supervisor: it is given back. */
async function lead(context: StepContext, granted: Lease): Promise<StepResult> {
  let why = "this node's own Supervisor grants no lease at the epoch of the cloud";
  try {
    const located = await leadConfirmed(context, granted);
    if (located !== undefined) return { outcome: 'found', detail: 'this node leads', located };
  } catch (error) {
    why = `this node's own Supervisor refused the claim: ${messageOf(error)}`;
  }
  await releaseCloudLease(context, granted, true);
  return { outcome: 'rejected', detail: why };
}

/** A provisional leader that this node follows gets its lease confirmed itself. A copy of a node with more right to lead claims nothing. */
function mayClaim({ deps, current, round }: StepContext): boolean {
  if (!deps.config.lead || round.clone?.yields !== undefined) return false;
  return current === undefined || current.source === 'self' || current.source === 'cloud';
}

/**
 * The same node_id at another address is a copy of this disk, or this machine before its address
 * changed. Either way that lease is left to run out: two copies that claimed it from each other would never end.
 */
function isThisMachine({ deps: { config, identity } }: StepContext, leader: KnownLeader): boolean {
  return leader.node_id === identity.node_id && leader.leader_url === config.advertise_url();
}

/** True for the very lease that this node holds there. It may still have an address from before the last renewal. */
function isHeld({ deps, current }: StepContext, { node_id, epoch }: KnownLeader): boolean {
  return node_id === deps.identity.node_id && current?.cloud_lease?.epoch === epoch && holds(current.cloud_lease, deps.clock);
}

type CloudLeader = KnownLeader & Pick<Leader, 'expires_in_ms'>;

/** The leader that the cloud names is followed where it proves itself; it is no better than itself where it is followed already. */
async function turnTo(context: StepContext, client: Client, leader: CloudLeader | undefined): Promise<StepResult> {
  const { current } = context;
  const isOnLan = current?.source === 'mdns' || current?.source === 'peer';
  if (isOnLan && (leader === undefined || leader.node_id === current.leader?.node_id))
    return { outcome: 'rejected', detail: 'it names no other leader' };
  if (leader === undefined)
    return { outcome: 'found', detail: 'this node follows the cloud; nobody leads', located: base(context, client) };
  const proved = await proveLeader(context, leader);
  if ('outcome' in proved) return proved;
  const { node_id, leader_url, epoch, expires_in_ms } = leader;
  const located = { ...base(context, client), leader: { node_id, leader_url, epoch }, look_again_ms: expires_in_ms };
  return {
    outcome: 'found',
    detail: `this node follows the cloud; at ${leader_url} the leader ${node_id} does not prove that it leads`,
    ...proved,
    located,
  };
}

async function proveLeader(
  context: StepContext,
  { node_id, leader_url, epoch }: KnownLeader,
): Promise<StepResult | Pick<StepResult, 'candidates'>> {
  const { deps, epochs, peers } = context;
  if (node_id === deps.identity.node_id) return {};
  // Back to a lower epoch leads the row of the cloud alone, and not whoever the node that it names follows.
  const knownTo = (one: Found) => (one.node_id === node_id ? epoch : Math.max(epoch, epochs.highest));
  const isLeader = (one: Found): one is FoundLeader => leadsElsewhere(one, deps.identity.node_id) && isFollowable(one.leads, knownTo(one));
  const look = createLook(context, { timeout_ms: CHALLENGE_TIMEOUT_MS, isEnough: isLeader });
  look.add({ url: leader_url, node_id, epoch, via: 'peer' });
  await look.settled();
  await peers.remember(look.found);
  const yielded = await yieldToClone(context, look);
  if (yielded !== undefined) return yielded;
  const found = look.found.find(isLeader);
  if (found === undefined) return { candidates: look.traced };
  await epochs.note(found.leads.epoch);
  return {
    outcome: 'found',
    detail: `this node follows the leader, ${found.node_id}`,
    candidates: look.traced,
    located: follow(context, found),
  };
}

function base({ deps }: StepContext, { url }: Client): Located {
  return { source: 'cloud', url, fetch: deps.fetch, provisional: false };
}

async function readLeader(client: Client, site: string): Promise<Leader | undefined> {
  try {
    return (await client.leader({ site })).body;
  } catch (error) {
    if (error instanceof ApiError && error.problem.code === 'no_leader') return undefined;
    throw error;
  }
}

const KEY_ADVICE = `; has this node the same BOOTPLANE_FLEET and BOOTPLANE_API_KEY as the cloud, or ${NEW_KEY_ADVICE}`;
const TLS_ADVICE =
  'is BOOTPLANE_CLOUD_URL right, and the clock of this machine? A certificate of your own is trusted with BOOTPLANE_TLS_CA, and `bootplane doctor --cloud URL` looks closer';
const JWT_ADVICE = '; this node shows the JWT in BOOTPLANE_TOKEN_FILE';

function explain(error: unknown): Pick<StepResult, 'outcome' | 'detail'> {
  if (error instanceof ApiError) {
    const { status, code, detail } = error.problem;
    const advice = status === 401 || status === 403 ? (/\bJWT\b/.test(detail) ? JWT_ADVICE : KEY_ADVICE) : '';
    return { outcome: 'rejected', detail: `it answered ${status} ${code}: ${detail}${advice}` };
  }
  if (isTlsFailure(error)) return { outcome: 'rejected', detail: `${messageOf(error)}; ${TLS_ADVICE}` };
  const answered = error instanceof UnreachableError && error.kind === 'not_understood';
  return { outcome: answered ? 'rejected' : 'no_answer', detail: messageOf(error) };
}
