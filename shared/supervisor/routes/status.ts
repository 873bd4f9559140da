import * as z from 'zod';
import { type BootstrapEvent, BootstrapEvents } from '../../contract/event.ts';
import type { FencingToken } from '../../contract/headers.ts';
import { Id } from '../../contract/ids.ts';
import { type Components, NodeStatus, NodeStatusList } from '../../contract/status.ts';
import { requireScope, requireSelf } from '../auth.ts';
import { DOCUMENT_BYTES } from '../body.ts';
import type { Context } from '../context.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { empty, json, type Route, readToken, route } from '../route.ts';
import { type StatusRow, toComponentStatus } from '../store/status.ts';
import { staleEpoch, unknownNode } from './refusals.ts';

export function statusRoutes(context: Context): Route[] {
  return [report(context), read(context)];
}

function report(context: Context): Route {
  const { options, status } = context;
  return route('node', {
    method: 'post',
    path: '/v1/bootstrap/events',
    tag: 'bootstrap',
    summary: 'What a node reports of its reconcile steps; a repeated report counts once',
    body: BootstrapEvents,
    max_bytes: DOCUMENT_BYTES,
    answers: { 202: { description: 'Taken.' } },
    problems: ['bad_request', 'unknown_node', 'stale_epoch'],
    async handle({ caller, body, request }) {
      const events = Array.isArray(body) ? body : [body];
      const node_ids = [...new Set(events.map(({ node_id }) => node_id))];
      for (const node_id of node_ids) requireSelf(caller, node_id);
      const token = readToken(request);
      const siteOf = await sitesOf(context, caller.fleet, node_ids, token);
      const unique = events.map((event) => [dedupeOf(event, () => options.random.uuid()), event] as const);
      const reports = Array.from(new Map(unique), ([dedupe, event]) => ({ ...event, dedupe }));
      const written = await status.report(caller.fleet, reports);
      for (const { node_id, dedupe, ...data } of reports) {
        const site = siteOf.get(node_id) ?? 'default';
        if (written.has(dedupe)) context.announce({ fleet: caller.fleet, type: 'overlay.bootstrap', site, node_id, data, dedupe });
      }
      return empty(202);
    },
  });
}

/** A node can repeat only its own reports, so its id is part of the key. */
export function dedupeOf({ node_id, component, idempotency_key, attempt = 0, action }: BootstrapEvent, unique: () => string): string {
  return idempotency_key === undefined ? `report/${unique()}` : `report/${node_id}/${component}/${idempotency_key}/${attempt}/${action}`;
}

/** The site of each node. Throws when one is not registered, or follows a leader that was replaced. */
async function sitesOf(
  { status, leases }: Context,
  fleet: string,
  node_ids: readonly string[],
  token: FencingToken | undefined,
): Promise<Map<string, string>> {
  const standings = await status.standings(fleet, node_ids, token);
  const sites = new Map(standings.map(({ node_id, site }) => [node_id, site]));
  const unknown = node_ids.find((node_id) => !sites.has(node_id));
  if (unknown !== undefined) throw unknownNode(unknown);
  const stale = standings.find((standing) => standing.stale === 1);
  if (stale === undefined || token === undefined) return sites;
  const lease = await leases.get(fleet, stale.site);
  throw staleEpoch(`the report follows ${token.node_id} at epoch ${token.epoch}, who no longer leads ${stale.site}`, lease);
}

function read({ nodes, status }: Context): Route {
  return route('any', {
    method: 'get',
    path: '/v1/bootstrap/status',
    tag: 'bootstrap',
    summary: 'The last apply of each component: of one node, or of all, paged',
    query: PageQuery.extend({ node_id: Id.optional(), site: Id.optional(), after: Id.optional() }),
    answers: {
      200: { description: 'With `node_id` that node; without it a page of nodes.', schema: z.union([NodeStatus, NodeStatusList]) },
    },
    problems: ['unknown_node'],
    async handle({ caller, query: { node_id, ...page } }) {
      const { fleet } = caller;
      if (node_id !== undefined) {
        if (caller.node_id !== node_id) requireScope(caller, 'viewer');
        if ((await nodes.get(fleet, node_id)) === undefined) throw unknownNode(node_id);
        return json(toNodeStatus(node_id, await status.ofNodes(fleet, [node_id])));
      }
      requireScope(caller, 'viewer');
      const rows = await nodes.list({ fleet, ...page, limit: page.limit + 1 });
      const { items, next } = pageOf(rows, page.limit, (node) => node.node_id);
      const ids = items.map((node) => node.node_id);
      const all = Map.groupBy(await status.ofNodes(fleet, ids), (row) => row.node_id);
      return json({ nodes: ids.map((id) => toNodeStatus(id, all.get(id) ?? [])), ...next });
    },
  });
}

export function toNodeStatus(node_id: string, rows: readonly StatusRow[]): NodeStatus {
  const components: Components = Object.fromEntries(rows.map((row) => [row.component, toComponentStatus(row)]));
  const generations = rows.map(({ generation }) => generation);
  return { node_id, components, ...(rows.length === 0 ? {} : { last_generation: Math.max(...generations) }) };
}
