import * as z from 'zod';
import { Id } from '../../contract/ids.ts';
import { DeviceList } from '../../contract/node.ts';
import { SiteState } from '../../contract/status.ts';
import type { Context } from '../context.ts';
import { livenessOf } from '../liveness.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { json, type Route, route } from '../route.ts';
import type { ComponentCount } from '../store/state.ts';

export function stateRoutes(context: Context): Route[] {
  return [state(context), devices(context)];
}

function state({ state: store, leases, options }: Context): Route {
  return route('viewer', {
    method: 'get',
    path: '/v1/state',
    tag: 'state',
    summary: 'The logical state of a site in one read, for front ends',
    query: z.object({ site: Id.default('default') }),
    answers: { 200: { description: 'Services and devices are those of nodes that are online or late.', schema: SiteState } },
    async handle({ caller: { fleet }, query: { site } }) {
      const [read, lease] = await Promise.all([store.ofSite(fleet, site), leases.get(fleet, site)]);
      const body: SiteState = {
        fleet,
        site,
        nodes: read.nodes,
        desired: Object.fromEntries(read.generations.map(({ kind, generation }) => [kind, generation])),
        services: read.services.map(({ nodes, ...service }) => ({ ...service, nodes: z.array(z.string()).parse(JSON.parse(nodes)) })),
        components: countComponents(read.components),
        devices: read.devices,
      };
      if (lease !== undefined && lease.expires_in_ms > 0) {
        const { node_id, url, epoch } = lease;
        body.leader = { node_id, leader_url: url, epoch, provisional: options.self?.provisional() ?? false };
      }
      return json(body);
    },
  });
}

function countComponents(counts: readonly ComponentCount[]): SiteState['components'] {
  const components: SiteState['components'] = {};
  for (const { component, status, nodes } of counts) components[component] = { ...components[component], [status]: nodes };
  return components;
}

function devices({ nodes }: Context): Route {
  return route('viewer', {
    method: 'get',
    path: '/v1/devices',
    tag: 'state',
    summary: 'The logical pool: the devices of all nodes that have not left',
    query: PageQuery.extend({ site: Id.optional(), after: Id.optional() }),
    answers: {
      200: { description: 'The devices of up to `limit` nodes; `next` is the `after` of the page that follows.', schema: DeviceList },
    },
    async handle({ caller: { fleet }, query }) {
      const rows = await nodes.list({ fleet, ...query, limit: query.limit + 1 });
      const { items, next } = pageOf(rows, query.limit, ({ node_id }) => node_id);
      const present = items.filter(({ left_at }) => left_at === null);
      const all = present.flatMap((node) =>
        node.devices.map((device) => ({ ...device, node_id: node.node_id, site: node.site, liveness: livenessOf(node) })),
      );
      return json({ devices: all, ...next } satisfies DeviceList);
    },
  });
}
