import type * as z from 'zod';
import { BootstrapEvent } from '../../contract/event.ts';
import { Id, toTimestamp } from '../../contract/ids.ts';
import type { Components } from '../../contract/status.ts';
import { UplinkAnswer, type UplinkEvent, UplinkEventType, type UplinkNode, UplinkPage, UplinkRequest } from '../../contract/uplink.ts';
import { type Caller, requireSelf } from '../auth.ts';
import { DOCUMENT_BYTES } from '../body.ts';
import type { Context } from '../context.ts';
import { currentHeaders } from '../current.ts';
import { livenessOf } from '../liveness.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import { type NodeView, refusalOf } from '../store/nodes.ts';
import { LEADS } from '../store/schema.ts';
import type { StatusRow } from '../store/status.ts';
import { createUplinkStore, type Renewed, type UplinkedEvent, type UplinkStore } from '../store/uplink.ts';
import { settleClaim } from './leader.ts';
import { duplicateNode } from './refusals.ts';
import { dedupeOf } from './status.ts';

/** What a leader tells the cloud of its site; and, on a node, where it reads that from. */
export function uplinkRoutes(context: Context): Route[] {
  return [take(context), ...(context.options.self === undefined ? [] : [give(context, context.options.self)])];
}

type Body = z.output<typeof UplinkRequest>;

function take(context: Context): Route {
  const { options, metrics } = context;
  const store = createUplinkStore(options.database, options.ttl_seconds);
  return route('node', {
    method: 'post',
    path: '/v1/sites/uplink',
    tag: 'sites',
    summary: "Renews a site's lease, with what has changed on its nodes since the call before",
    body: UplinkRequest,
    max_bytes: DOCUMENT_BYTES,
    answers: {
      200: {
        description:
          'The lease, held or lost as in the answer to a claim. The headers say who leads and which generations are current. Nothing but the lease was changed without `acked`.',
        schema: UplinkAnswer,
      },
    },
    problems: ['unknown_node', 'epoch_jump'],
    async handle({ caller, body }) {
      requireSelf(caller, body.node_id);
      const { fleet } = caller;
      const { site, full = false, nodes = [], gone = [] } = body;
      const events = eventsOf(body, () => options.random.uuid());
      const renewed = await store.take({ ...body, instance_id: body.instance_id ?? null, fleet, full, nodes, gone, events });
      metrics.counter('bootplane_uplinks_total', { taken: String(renewed?.taken ?? false) }).add();
      if (renewed === undefined) return claimAnew(context, caller, body);
      for (const { dedupe, ...event } of events) {
        if (renewed.written.has(dedupe)) context.announce({ ...event, fleet, site, dedupe });
      }
      const other = renewed.hasOther ? await meetOther(context, store, fleet, body) : {};
      return json({ ...answerOf(body, renewed), ...other } satisfies UplinkAnswer, currentHeaders(renewed.current));
    },
  });
}

/** Another instance registered as the node that sends: a copy of its disk while that is heard; else the sender takes its place again. */
async function meetOther(
  context: Context,
  store: UplinkStore,
  fleet: string,
  { node_id, instance_id, site }: Body,
): Promise<Pick<UplinkAnswer, 'duplicate' | 'resync'>> {
  const node = await context.nodes.get(fleet, node_id);
  if (node === undefined) return {};
  const refusal = refusalOf(node, instance_id);
  if (refusal === 'duplicate_node') return { duplicate: (await duplicateNode(context, node, instance_id)).message };
  if (refusal !== 'unknown_node') return {};
  await store.reclaim(fleet, site, node_id);
  return { resync: true };
}

function answerOf({ node_id, url, seq }: Body, { epoch, expires_at, expires_in_ms, taken }: Renewed): UplinkAnswer {
  const lease = { granted: true, leader_url: url, node_id, epoch, expires_at: toTimestamp(expires_at), expires_in_ms };
  return { ...lease, ...(taken ? { acked: seq } : { resync: true }) };
}

/** The caller does not hold the lease at that epoch. It lost it, or it lapsed and is claimed anew, as a late renewal does. */
async function claimAnew(context: Context, caller: Caller, { node_id, url, epoch, site }: Body): Promise<Response> {
  const { answer, current } = await settleClaim(context, caller, site, { node_id, url, epoch });
  return json({ ...answer, ...(answer.granted ? { resync: true } : {}) } satisfies UplinkAnswer, currentHeaders(current));
}

function eventsOf({ node_id, site, events = [], missed_events = 0 }: Body, unique: () => string): UplinkedEvent[] {
  const told = events.flatMap((event): UplinkedEvent[] => {
    // Who may lead a site makes no keys and publishes nothing: the log must not say so. Nor does a newer leader's news keep the lease from being renewed.
    const { data: type } = UplinkEventType.safeParse(event.type);
    if (type === undefined) return [];
    const { age_ms, data } = event;
    const about = event.node_id === undefined ? {} : { node_id: event.node_id };
    return [{ type, age_ms, data, ...about, dedupe: keyOf(event, site, node_id, unique) }];
  });
  if (missed_events === 0) return told;
  const before = events[0]?.cursor ?? unique();
  const data = { missed_events, detail: 'the event log of the leader had dropped them before they could be sent' };
  return [{ type: 'overlay.uplink', node_id, age_ms: 0, data, dedupe: `uplink/missed/${node_id}/${before}` }, ...told];
}

/** What also comes another way has the same key there. Else the place in the leader's log, with its time: that log may be made anew. */
function keyOf(event: UplinkEvent, site: string, leader: string, unique: () => string): string {
  const { type, node_id, cursor, at, data } = event;
  if (type === 'overlay.leader') return `leader/${site}/${data.epoch}`;
  const report = type === 'overlay.bootstrap' ? BootstrapEvent.safeParse({ ...data, node_id }) : undefined;
  if (report?.data?.idempotency_key !== undefined) return dedupeOf(report.data, unique);
  return `uplink/${leader}/${cursor}/${at}`;
}

function give({ nodes, status }: Context, self: NonNullable<Context['options']['self']>): Route {
  return route('node', {
    method: 'get',
    path: '/v1/sites/uplink',
    tag: 'sites',
    summary: 'What the node that answers would tell the cloud of its site, if it leads',
    query: PageQuery.extend({ site: Id.default('default'), after: Id.optional() }),
    answers: { 200: { description: 'One page; `next` is the `after` of the one that follows.', schema: UplinkPage } },
    async handle({ caller: { fleet, ...caller }, query }) {
      if (caller.scope === 'node' && caller.node_id !== self.node_id) {
        throw new ProblemError('forbidden', 'only the node that answers reads this; others read GET /v1/nodes');
      }
      const rows = await nodes.list({ fleet, ...query, limit: query.limit + 1 });
      const { items, next } = pageOf(rows, query.limit, ({ node_id }) => node_id);
      const here = items.filter(({ left_at }) => left_at === null);
      const ids = here.map(({ node_id }) => node_id);
      const components = Map.groupBy(await status.ofNodes(fleet, ids), ({ node_id }) => node_id);
      const gone = items.filter(({ left_at }) => left_at !== null).map(({ node_id }) => node_id);
      return json({
        nodes: here.map((node) => toUplinkNode(node, components.get(node.node_id) ?? [])),
        gone,
        ...next,
      } satisfies UplinkPage);
    },
  });
}

function toUplinkNode(node: NodeView, components: readonly StatusRow[]): UplinkNode {
  const { node_id, instance_id, role, capabilities, host, ip, url, versions, devices, services_running, now } = node;
  const isOnline = livenessOf(node) === 'online';
  return {
    node_id,
    ...(instance_id === null ? {} : { instance_id }),
    role,
    capabilities,
    host,
    ip,
    ...(url === null ? {} : { url }),
    versions,
    ...(devices.length === 0 ? {} : { devices }),
    ...(node.lead === LEADS.never ? { lead: false } : {}),
    services_running,
    registered_ms: Math.max(0, now - node.registered_at),
    ...(isOnline ? {} : { silent_ms: Math.max(0, node.silent_ms) }),
    ...(components.length === 0 ? {} : { components: Object.fromEntries(components.map((row) => [row.component, ageOf(row, now)])) }),
  };
}

type UplinkStatus = NonNullable<NonNullable<UplinkNode['components']>[keyof Components]>;

function ageOf(
  { status, action, generation, hash, attempt, duration_ms, message, incompatible, at }: StatusRow,
  now: number,
): UplinkStatus {
  const words = message === null ? {} : { message };
  return { status, action, generation, hash, attempt, duration_ms, ...words, incompatible, age_ms: Math.max(0, now - at) };
}
