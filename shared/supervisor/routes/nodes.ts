import * as z from 'zod';
import { Id, toTimestamp } from '../../contract/ids.ts';
import { LeaveRequest, LivenessList, NodeList, NodeRecord, RegisterAnswer, RegisterRequest } from '../../contract/node.ts';
import { requireSelf } from '../auth.ts';
import type { Context } from '../context.ts';
import { livenessOf } from '../liveness.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, type Route, route } from '../route.ts';
import { isClone, type NodeView } from '../store/nodes.ts';
import { LEADS } from '../store/schema.ts';
import { duplicateNode, unknownNode } from './refusals.ts';

export function nodeRoutes(context: Context): Route[] {
  return [register(context), leave(context), list(context), get(context)];
}

function register(context: Context): Route {
  const { nodes, events, options } = context;
  return route('node', {
    method: 'post',
    path: '/v1/nodes/register',
    tag: 'nodes',
    summary: 'Registers a node, or takes its id over for a new instance',
    body: RegisterRequest,
    answers: { 200: { description: 'Registered.', schema: RegisterAnswer } },
    problems: ['duplicate_node'],
    async handle({ caller, body }) {
      requireSelf(caller, body.node_id);
      const { fleet } = caller;
      const { node_id, instance_id, site = 'default', host, ip } = body;
      const before = await nodes.get(fleet, node_id);
      if (before !== undefined && isClone(before, instance_id)) throw await duplicateNode(context, before, instance_id);
      const data = { host, ip, ...(instance_id === undefined ? {} : { instance_id }) };
      const event = { fleet, type: 'overlay.register', site, node_id, data, dedupe: `register/${options.random.uuid()}` } as const;
      await options.database.batch([nodes.register(fleet, body), events.append(event)]);
      context.announce(event);
      return json({ registered: true });
    },
  });
}

function leave(context: Context): Route {
  const { nodes, events, options } = context;
  return route('node', {
    method: 'post',
    path: '/v1/nodes/leave',
    tag: 'nodes',
    summary: 'An orderly goodbye: the node is not expected any more',
    body: LeaveRequest,
    answers: { 204: { description: 'The node has left, now or before.' } },
    problems: ['unknown_node'],
    async handle({ caller, body: { node_id } }) {
      requireSelf(caller, node_id);
      const node = await nodes.get(caller.fleet, node_id);
      if (node === undefined) throw unknownNode(node_id);
      if (node.left_at !== null) return empty(204);
      const dedupe = `leave/${options.random.uuid()}`;
      const event = { fleet: caller.fleet, type: 'overlay.leave', site: node.site, node_id, data: {}, dedupe } as const;
      await options.database.batch([nodes.leave(caller.fleet, node_id), events.append(event)]);
      context.announce(event);
      return empty(204);
    },
  });
}

function list({ nodes }: Context): Route {
  return route('viewer', {
    method: 'get',
    path: '/v1/nodes',
    tag: 'nodes',
    summary: 'The registry with the liveness of each node, in the order of the ids',
    query: PageQuery.extend({ site: Id.optional(), after: Id.optional(), liveness: LivenessList.optional() }),
    answers: { 200: { description: 'One page; `next` is the `after` of the one that follows.', schema: NodeList } },
    async handle({ caller: { fleet }, query }) {
      const rows = await nodes.list({ fleet, ...query, limit: query.limit + 1 });
      const { items, next } = pageOf(rows, query.limit, ({ node_id }) => node_id);
      return json({ nodes: items.map(toRecord), ...next });
    },
  });
}

function get({ nodes }: Context): Route {
  return route('viewer', {
    method: 'get',
    path: '/v1/nodes/{node_id}',
    tag: 'nodes',
    summary: 'One node of the registry',
    params: z.object({ node_id: Id }),
    answers: { 200: { description: 'The node.', schema: NodeRecord } },
    problems: ['unknown_node'],
    async handle({ caller: { fleet }, params: { node_id } }) {
      const node = await nodes.get(fleet, node_id);
      if (node === undefined) throw new ProblemError('unknown_node', `no node ${node_id} has registered`);
      return json(toRecord(node));
    },
  });
}

function toRecord(node: NodeView): NodeRecord {
  const { instance_id, url, metrics, devices } = node;
  return {
    node_id: node.node_id,
    site: node.site,
    ...(instance_id === null ? {} : { instance_id }),
    role: node.role,
    capabilities: node.capabilities,
    host: node.host,
    ip: node.ip,
    ...(url === null ? {} : { url }),
    versions: node.versions,
    ...(devices.length === 0 ? {} : { devices }),
    liveness: livenessOf(node),
    ...(node.lead === LEADS.never ? { lead: false } : {}),
    services_running: node.services_running,
    ...(metrics === null ? {} : { metrics }),
    registered_at: toTimestamp(node.registered_at),
    heard_at: toTimestamp(node.last_heard_at),
  };
}
