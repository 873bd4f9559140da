import * as z from 'zod';
import type { NodeKeys } from '../../contract/fleet-keys.ts';
import { Id } from '../../contract/ids.ts';
import { DeviceList } from '../../contract/node.ts';
import type { PlannedService } from '../../contract/plan.ts';
import { type HeldEmergency, SiteState } from '../../contract/status.ts';
import { compareText } from '../../decide/rendezvous.ts';
import type { Context } from '../context.ts';
import { livenessOf } from '../liveness.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { json, type Route, route } from '../route.ts';
import type { ComponentCount } from '../store/state.ts';

export function stateRoutes(context: Context): Route[] {
  return [state(context), devices(context)];
}

function state({ state: store, leases, documents, options }: Context): Route {
  return route('viewer', {
    method: 'get',
    path: '/v1/state',
    tag: 'state',
    summary: 'The logical state of a site in one read, for front ends',
    query: z.object({ site: Id.default('default') }),
    answers: { 200: { description: 'Services and devices are those of nodes that are online or late.', schema: SiteState } },
    async handle({ caller: { fleet, keys }, query: { site } }) {
      const [read, lease, emergencies] = await Promise.all([
        store.ofSite(fleet, site),
        leases.get(fleet, site),
        heldEmergencies(documents, fleet, site),
      ]);
      const planned = await plannedServices(documents, keys, site, emergencies);
      const body: SiteState = {
        fleet,
        site,
        nodes: read.nodes,
        desired: Object.fromEntries(read.generations.map(({ kind, generation }) => [kind, generation])),
        conflicts: { plan: 0, profile: 0, ...Object.fromEntries(read.conflicts.map(({ kind, open }) => [kind, open])) },
        ...(emergencies.length === 0 ? {} : { emergencies }),
        services: withPlanned(
          read.services.map(({ nodes, ...service }) => ({ ...service, nodes: z.array(z.string()).parse(JSON.parse(nodes)) })),
          planned,
        ),
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

type ServiceState = SiteState['services'][number];

async function heldEmergencies({ emergencies }: Context['documents'], fleet: string, site: string): Promise<HeldEmergency[]> {
  const held = await emergencies.held(fleet, site);
  return held.map(({ kind, generation, n, hash, published_by, published_at }) => {
    return { kind, site, base_generation: generation, n, hash, published_by, published_at };
  });
}

/** What the Cluster Plan has for a site. A plan that can't be used says nothing: the state is shown all the same. */
async function plannedServices(
  { store, verified }: Context['documents'],
  keys: NodeKeys,
  site: string,
  emergencies: readonly HeldEmergency[],
): Promise<readonly PlannedService[]> {
  const held = emergencies.find(({ kind }) => kind === 'plan');
  const head = held === undefined ? await store.head(keys.fleet, 'plan') : { ...held, generation: held.base_generation, emergency: held };
  if (head === undefined) return [];
  const plan = await verified.get(keys, 'plan', head).catch(() => undefined);
  return (plan?.parsed.services ?? []).filter(({ placement: { sites } }) => sites.length === 0 || sites.includes(site));
}

/** What runs, with how many are wanted where the plan counts them, and what is planned and runs nowhere. */
function withPlanned(running: readonly ServiceState[], planned: readonly PlannedService[]): ServiceState[] {
  const missing = planned.filter(({ name, version }) => !running.some((one) => one.name === name && one.version === version));
  const all = [...running, ...missing.map(({ name, version }): ServiceState => ({ name, version, running: 0, nodes: [] }))];
  return all
    .map((one) => {
      const count = planned.find(({ name, version }) => one.name === name && one.version === version)?.placement.count;
      return count === undefined ? one : { ...one, wanted: count };
    })
    .sort((a, b) => compareText(a.name, b.name) || compareText(a.version, b.version));
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
    summary: 'The logical pool: the devices of all nodes that are online or late',
    query: PageQuery.extend({ site: Id.optional(), after: Id.optional() }),
    answers: {
      200: { description: 'The devices of up to `limit` nodes; `next` is the `after` of the page that follows.', schema: DeviceList },
    },
    async handle({ caller: { fleet }, query }) {
      const rows = await nodes.list({ fleet, ...query, limit: query.limit + 1 });
      const { items, next } = pageOf(rows, query.limit, ({ node_id }) => node_id);
      const all = items.flatMap((node) => {
        const liveness = livenessOf(node);
        if (liveness === 'lost' || liveness === 'left') return [];
        return node.devices.map((device) => ({ ...device, node_id: node.node_id, site: node.site, liveness }));
      });
      return json({ devices: all, ...next } satisfies DeviceList);
    },
  });
}
