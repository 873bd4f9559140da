import * as z from 'zod';
import { Id, toTimestamp } from '../../contract/ids.ts';
import {
  ClaimAnswer,
  ClaimRequest,
  Leader,
  type LeaderProof,
  type LeaderProved,
  MAX_EPOCH_JUMP,
  ReleaseRequest,
} from '../../contract/leader.ts';
import { isEpochJump } from '../../decide/leadership.ts';
import { type Caller, requireScope, requireSelf, unauthenticated } from '../auth.ts';
import type { Context } from '../context.ts';
import { type Current, currentHeaders } from '../current.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, openRoute, type Route, route } from '../route.ts';
import type { ClaimOutcome, LeaseRow } from '../store/leases.ts';
import { staleEpoch, unknownNode } from './refusals.ts';

const SiteQuery = z.object({ site: Id.default('default') });

export function leaderRoutes(context: Context): Route[] {
  return [claim(context), release(context), leader(context)];
}

function claim(context: Context): Route {
  return route('node', {
    method: 'post',
    path: '/v1/leader/claim',
    tag: 'leader',
    summary: 'Claims or renews the leadership of a site',
    query: SiteQuery,
    body: ClaimRequest,
    answers: { 200: { description: 'Granted, or lost to the leader that is named.', schema: ClaimAnswer } },
    problems: ['unknown_node', 'epoch_jump'],
    async handle({ caller, query: { site }, body }) {
      requireSelf(caller, body.node_id);
      const { answer, current } = await settleClaim(context, caller, site, body);
      return json(answer, currentHeaders(current));
    },
  });
}

/** Claims or renews and tells the fleet of a new leader. Throws when the claim was not just lost, but could never have been granted. */
export async function settleClaim(
  context: Context,
  caller: Caller,
  site: string,
  body: ClaimRequest,
): Promise<{ answer: ClaimAnswer; current: Current }> {
  const own = caller.node_id === body.node_id;
  const inside = own && context.options.self?.node_id === body.node_id;
  const outcome = await context.leases.claim({ ...body, fleet: caller.fleet, site, own, inside });
  const { granted, lease, current } = outcome;
  if (!granted) refuse(outcome, body, caller);
  if (lease === undefined) throw new TypeError('a claim left no lease');
  context.metrics.counter('bootplane_claims_total', { granted: String(granted) }).add();
  if (granted && lease.renewals === 0) announceLeader(context, lease);
  return { answer: { granted, ...toAnswer(lease) }, current };
}

/** Throws when the claim was not just lost, but could never have been granted. */
function refuse({ lease, registered }: ClaimOutcome, body: ClaimRequest, caller: Caller): void {
  if (!registered && caller.node_id === undefined) throw unknownNode(body.node_id);
  const seen = Math.max(body.epoch ?? 0, body.epoch_seen ?? 0);
  const known = lease?.epoch ?? 0;
  if (isEpochJump(known, seen)) {
    throw new ProblemError(
      'epoch_jump',
      `the claim has seen epoch ${seen}, more than ${MAX_EPOCH_JUMP} above the ${known} that is known here`,
    );
  }
}

/** The lease's own batch has written the event. */
function announceLeader(context: Context, { fleet, site, node_id, url, epoch }: LeaseRow): void {
  const data = { leader_url: url, epoch };
  context.announce({ fleet, type: 'overlay.leader', site, node_id, data, dedupe: `leader/${site}/${epoch}` });
}

function toAnswer({ url, node_id, epoch, expires_at, expires_in_ms }: LeaseRow): Omit<ClaimAnswer, 'granted'> {
  return { leader_url: url, node_id, epoch, expires_at: toTimestamp(expires_at), expires_in_ms: Math.max(0, expires_in_ms) };
}

function release({ leases, news }: Context): Route {
  return route('node', {
    method: 'post',
    path: '/v1/leader/release',
    tag: 'leader',
    summary: 'An orderly step down: the lease ends at once',
    query: SiteQuery,
    body: ReleaseRequest,
    answers: { 204: { description: 'The site has no leader now.' } },
    problems: ['stale_epoch'],
    async handle({ caller, query: { site }, body }) {
      requireSelf(caller, body.node_id);
      if (await leases.release(caller.fleet, site, body)) {
        news.wake(caller.fleet);
        return empty(204);
      }
      const lease = await leases.get(caller.fleet, site);
      throw staleEpoch(`node ${body.node_id} does not lead ${site} at epoch ${body.epoch}`, lease);
    },
  });
}

const LeaderQuery = SiteQuery.extend({
  challenge: z.string().min(16).max(256).optional(),
  fleet: Id.optional(),
  origin: z.string().max(2048).optional(),
  /** The signed advert of the challenger, as JSON, so that the one who is asked learns of it too. */
  advert: z.string().max(8192).optional(),
});
type LeaderQuery = z.infer<typeof LeaderQuery>;

function leader(context: Context): Route {
  const { leases, options } = context;
  return openRoute({
    method: 'get',
    path: '/v1/leader',
    tag: 'leader',
    summary: 'Who leads a site; on a node, with a proof that it knows the fleet for a challenge',
    query: LeaderQuery,
    answers: { 200: { description: 'The leader.', schema: Leader } },
    problems: ['no_leader', 'unauthenticated'],
    async handle({ caller, query }) {
      const fleet = await fleetOf(context, caller, query);
      const { self } = options;
      const leadership = self?.leadership();
      const held = await leases.live(fleet, query.site);
      const isLeftBehind = held?.node_id === self?.node_id && leadership?.leads === false;
      const lease = isLeftBehind ? undefined : held;
      if (caller === undefined && query.advert !== undefined) self?.hear(parseJson(query.advert));
      const standing = lease && {
        ...toAnswer(lease),
        provisional: self?.provisional() ?? false,
        confirmed: self?.confirmed() ?? false,
        nodes_heard: lease.nodes_heard,
      };
      const proof = await prove(context, fleet, query, standing);
      if (standing === undefined) {
        const pointer = leadership?.follows === undefined ? {} : { leader: leadership.follows };
        throw new ProblemError('no_leader', `no node leads ${query.site}`, { ...proof, ...pointer });
      }
      return json({ ...standing, ...proof });
    },
  });
}

/** The fleet that is asked about. A challenge to one of this node's own origins needs no credential. */
async function fleetOf({ options: { self, fleets } }: Context, caller: Caller | undefined, query: LeaderQuery): Promise<string> {
  const { challenge, fleet, origin } = query;
  if (caller !== undefined || challenge === undefined || self === undefined) return requireScope(caller, 'any').fleet;
  if (fleet === undefined || origin === undefined) {
    throw new ProblemError('invalid_parameter', 'a challenge needs the parameters fleet and origin beside it');
  }
  if (!self.origins().includes(origin)) throw unauthenticated(`this node does not know ${origin} to be its own: it proves nothing there`);
  if ((await fleets.keysOf(fleet)) === undefined) throw unauthenticated(`this node is not of fleet ${fleet}`);
  return fleet;
}

/** Signed only for an origin of this node, so that a challenge which was passed on proves nothing. */
async function prove(
  { options: { self, fleets } }: Context,
  fleet: string,
  { challenge, origin, site }: LeaderQuery,
  leader: Leader | undefined,
): Promise<z.infer<typeof LeaderProved>> {
  if (self === undefined || challenge === undefined || origin === undefined || !self.origins().includes(origin)) return {};
  const keys = await fleets.keysOf(fleet);
  const { node_id, instance_id } = self;
  const { epoch_seen, eligible } = self.leadership();
  const signed: LeaderProof = {
    purpose: 'leader-proof',
    challenge,
    fleet,
    site,
    origin,
    node_id,
    instance_id,
    epoch_seen,
    eligible,
    leader_node_id: leader?.node_id ?? null,
    leader_url: leader?.leader_url ?? null,
    epoch: leader?.epoch ?? null,
    provisional: leader?.provisional ?? null,
    confirmed: leader?.confirmed ?? null,
    nodes_heard: leader?.nodes_heard ?? null,
  };
  return keys === undefined
    ? {}
    : { proof: await keys.signHint(signed), proved_by: node_id, proved_by_instance: instance_id, epoch_seen, eligible };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
