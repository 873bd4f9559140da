import * as z from 'zod';
import { type FencingToken, parseToken } from '../../contract/headers.ts';
import { Id } from '../../contract/ids.ts';
import { HeartbeatRequest, HeartbeatsAnswer, HeartbeatsRequest } from '../../contract/node.ts';
import { fence } from '../../decide/leadership.ts';
import { PROXY_CAPABILITY } from '../../decide/roles.ts';
import { type Caller, requireSelf } from '../auth.ts';
import { DOCUMENT_BYTES } from '../body.ts';
import type { Context } from '../context.ts';
import { currentHeaders } from '../current.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, type Route, readToken, route } from '../route.ts';
import { refusalOf } from '../store/nodes.ts';
import { duplicateNode, staleEpoch, unknownNode } from './refusals.ts';

export function heartbeatRoutes(context: Context): Route[] {
  return [heartbeat(context), heartbeats(context)];
}

/** The hot path: one conditional update, and nothing else while it is accepted. */
function heartbeat(context: Context): Route {
  const { nodes, metrics } = context;
  const heard = metrics.counter('bootplane_heartbeats_total');
  return route('node', {
    method: 'post',
    path: '/v1/nodes/heartbeat',
    tag: 'nodes',
    summary: 'Refreshes the TTL of a node',
    body: HeartbeatRequest,
    answers: { 204: { description: 'Heard. The headers say who leads and which generations are current.' } },
    problems: ['bad_request', 'unknown_node', 'duplicate_node', 'stale_epoch'],
    async handle({ caller, body, request }) {
      requireSelf(caller, body.node_id);
      const token = readToken(request);
      const current = await nodes.heartbeat(caller.fleet, body, token);
      if (current === undefined) return refuse(context, caller.fleet, body, token);
      heard.add();
      heedToken(context, token, current.leader);
      context.notify('overlay.heartbeat', { fleet: caller.fleet, ...body }, `heartbeat/${body.node_id}/${context.options.clock.now()}`);
      return empty(204, currentHeaders(current));
    },
  });
}

/** A later leader than the one that is known here is no reason to refuse anything: it is a hint to look for that one. */
function heedToken({ options }: Context, token: FencingToken | undefined, leader: string | null): void {
  const known = leader === null ? undefined : parseToken(leader);
  if (token !== undefined && token.epoch > (known?.epoch ?? 0)) options.self?.onHigherToken?.(token);
}

async function refuse(context: Context, fleet: string, body: HeartbeatRequest, token: FencingToken | undefined): Promise<Response> {
  const node = await context.nodes.get(fleet, body.node_id);
  const refusal = refusalOf(node, body.instance_id);
  if (node === undefined || refusal === 'unknown_node') throw unknownNode(body.node_id);
  if (refusal === 'duplicate_node') throw await duplicateNode(context, node, body.instance_id);
  if (refusal === 'displaced') return empty(204);
  const lease = await context.leases.get(fleet, node.site);
  throw staleEpoch(
    `the heartbeat follows ${token?.node_id ?? 'nobody'} at epoch ${token?.epoch ?? 0}, who no longer leads ${node.site}`,
    lease,
  );
}

function heartbeats(context: Context): Route {
  const { nodes, metrics } = context;
  return route('node', {
    method: 'post',
    path: '/v1/nodes/heartbeats',
    tag: 'nodes',
    summary: 'The heartbeats of many nodes, from the leader of their site, a proxy or an operator',
    query: z.object({ site: Id.optional() }),
    body: HeartbeatsRequest,
    max_bytes: DOCUMENT_BYTES,
    answers: {
      200: {
        description: 'How many were heard, and which were not. The headers say who leads the site and which generations are current.',
        schema: HeartbeatsAnswer,
      },
    },
    problems: ['bad_request', 'unknown_node', 'stale_epoch'],
    async handle({ caller, query, body, request }) {
      const site = await siteOf(context, caller, query.site);
      await refuseStale(context, caller.fleet, site, readToken(request));
      // The last word of a node counts.
      const latest = new Map(body.heartbeats.map((one) => [one.node_id, one]));
      const { heard, current } = await nodes.heartbeats(caller.fleet, site, [...latest.values()]);
      const missed = [...latest.values()].filter(({ node_id }) => !heard.has(node_id));
      const rejected = await rejections(context, caller.fleet, site, missed);
      metrics.counter('bootplane_heartbeats_total').add(heard.size);
      return json({ accepted: latest.size - rejected.length, rejected }, currentHeaders(current));
    },
  });
}

/** The site that a batch may speak for; undefined for all of them. */
async function siteOf({ nodes }: Context, caller: Caller, site: string | undefined): Promise<string | undefined> {
  if (caller.node_id === undefined) return site;
  const standing = await nodes.standing(caller.fleet, caller.node_id);
  if (standing === undefined) throw unknownNode(caller.node_id);
  // Its role as a plan gives it: what a node's own heartbeat says of that widens nothing.
  if (standing.leads !== 1 && !standing.capabilities.includes(PROXY_CAPABILITY)) {
    throw new ProblemError(
      'forbidden',
      `node ${caller.node_id} neither leads ${standing.site} nor is a proxy: it can report only for itself`,
    );
  }
  if (site !== undefined && site !== standing.site) {
    throw new ProblemError('forbidden', `node ${caller.node_id} is of site ${standing.site} and can't report for ${site}`);
  }
  return standing.site;
}

async function refuseStale({ leases }: Context, fleet: string, site: string | undefined, token: FencingToken | undefined): Promise<void> {
  if (token === undefined || site === undefined) return;
  const lease = await leases.get(fleet, site);
  if (fence(token, lease) === 'stale')
    throw staleEpoch(`the batch follows ${token.node_id} at epoch ${token.epoch}, who no longer leads ${site}`, lease);
}

type Rejected = HeartbeatsAnswer['rejected'];

async function rejections(
  { nodes }: Context,
  fleet: string,
  site: string | undefined,
  missed: readonly HeartbeatRequest[],
): Promise<Rejected> {
  if (missed.length === 0) return [];
  const found = await nodes.getMany(
    fleet,
    missed.map(({ node_id }) => node_id),
  );
  const known = new Map(found.map((node) => [node.node_id, node]));
  return missed.flatMap(({ node_id, instance_id }): Rejected => {
    const node = known.get(node_id);
    if (node !== undefined && site !== undefined && node.site !== site) return [{ node_id, code: 'forbidden' }];
    const refusal = refusalOf(node, instance_id);
    if (refusal === 'displaced') return [];
    return [{ node_id, code: refusal === 'duplicate_node' ? 'duplicate_node' : 'unknown_node' }];
  });
}
