import { ApiError, type Client, UnreachableError } from '../client.ts';
import type { Leader } from '../contract/leader.ts';
import { connect } from './connect.ts';
import { messageOf } from './json-file.ts';
import { claimLease, holds } from './lease.ts';
import type { KnownLeader, Located, StepContext, StepResult } from './located.ts';
import { whyUnproved } from './prove.ts';

/**
 * Asks the cloud who leads the site. Where nobody does and this node may, it claims the lease there;
 * else it follows the cloud.
 */
export async function locateCloud(context: StepContext): Promise<StepResult> {
  const url = context.deps.config.cloud_url;
  if (url === undefined) return { outcome: 'off', detail: 'BOOTPLANE_CLOUD_URL is not set' };
  const unproved = whyUnproved(url);
  if (unproved !== undefined) return { outcome: 'rejected', url, detail: unproved };
  const client = connect(context, { url, fetch: context.deps.fetch });
  try {
    const located = await join(context, client);
    return { outcome: 'found', url, detail: located.lease !== undefined ? 'this node leads' : 'this node follows', located };
  } catch (error) {
    return { ...explain(error), url };
  }
}

async function join(context: StepContext, client: Client): Promise<Located> {
  const { deps, epochs, current } = context;
  const leader = await readLeader(client, deps.config.site);
  await epochs.note(leader?.epoch);
  const isOurs = leader !== undefined && isThisMachine(context, leader);
  if (isOurs && current?.url === client.url && current.lease?.epoch === leader.epoch && holds(current.lease, deps.clock)) return current;
  if ((leader !== undefined && !isOurs) || !deps.config.lead) return follow(context, client, leader);
  const claim = await claimLease(deps, client, epochs.highest === 0 ? {} : { epoch_seen: epochs.highest });
  if ('lost_to' in claim) {
    await epochs.note(claim.lost_to.epoch);
    return follow(context, client, claim.lost_to);
  }
  await epochs.note(claim.granted.epoch);
  return { ...base(context, client), lease: claim.granted };
}

/**
 * The same node_id at another address is a copy of this disk, or this machine before its address
 * changed. Either way that lease is left to run out: two copies that claimed it from each other would never end.
 */
function isThisMachine({ deps: { config, identity } }: StepContext, leader: KnownLeader): boolean {
  return leader.node_id === identity.node_id && leader.leader_url === config.advertise_url();
}

function follow(context: StepContext, client: Client, leader: (KnownLeader & Pick<Leader, 'expires_in_ms'>) | undefined): Located {
  if (leader === undefined) return base(context, client);
  const { node_id, leader_url, epoch, expires_in_ms } = leader;
  return { ...base(context, client), leader: { node_id, leader_url, epoch }, look_again_ms: expires_in_ms };
}

function base({ deps }: StepContext, { url }: Client): Located {
  return { source: 'cloud', url, fetch: deps.fetch, line: new URL(url).origin, provisional: false };
}

async function readLeader(client: Client, site: string): Promise<Leader | undefined> {
  try {
    return (await client.leader({ site })).body;
  } catch (error) {
    if (error instanceof ApiError && error.problem.code === 'no_leader') return undefined;
    throw error;
  }
}

function explain(error: unknown): Pick<StepResult, 'outcome' | 'detail'> {
  if (error instanceof ApiError) {
    const { status, code, detail } = error.problem;
    const advice = status === 401 || status === 403 ? '; has this node the same BOOTPLANE_FLEET and BOOTPLANE_API_KEY as the cloud?' : '';
    return { outcome: 'rejected', detail: `it answered ${status} ${code}: ${detail}${advice}` };
  }
  const answered = error instanceof UnreachableError && error.kind === 'not_understood';
  return { outcome: answered ? 'rejected' : 'no_answer', detail: messageOf(error) };
}
