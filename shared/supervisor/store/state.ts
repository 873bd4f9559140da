import { type SQL, sql } from 'drizzle-orm';
import type { Component, ComponentOutcome } from '../../contract/status.ts';
import type { Database } from '../../ports/database.ts';
import { arg, compileSql, nowOf, repeatable } from './sql.ts';
import { lostAfterMs, nodeTtlMsOf, silenceMsOf, type Timing } from './timing.ts';

export interface ServiceCount {
  readonly name: string;
  readonly version: string;
  readonly running: number;
  /** JSON array of node ids. */
  readonly nodes: string;
}
export interface ComponentCount {
  readonly component: Component;
  readonly status: ComponentOutcome;
  readonly nodes: number;
}
export interface Generation {
  readonly kind: 'plan' | 'profile';
  readonly generation: number;
}
export interface NodeCounts {
  readonly online: number;
  readonly late: number;
  readonly lost: number;
  readonly left: number;
}

export type StateStore = ReturnType<typeof createStateStore>;

/** Reads that sum a site or a fleet up. */
export function createStateStore(database: Database, timing: Timing) {
  const queries = compileQueries(database, timing);
  const none = { online: 0, late: 0, lost: 0, left: 0 };
  return {
    /** One consistent read. */
    async ofSite(fleet: string, site: string) {
      const values = { fleet, site };
      const [nodes, services, components, generations, devices, conflicts] = await database.batch([
        queries.siteNodes.bind(values),
        queries.services.bind(values),
        queries.components.bind(values),
        queries.generations.bind(values),
        queries.devices.bind(values),
        queries.conflicts.bind(values),
      ]);
      return {
        nodes: queries.siteNodes.read(nodes)[0] ?? none,
        services: queries.services.read(services),
        components: queries.components.read(components),
        generations: queries.generations.read(generations),
        devices: queries.devices.read(devices)[0]?.devices ?? 0,
        conflicts: queries.conflicts.read(conflicts),
      };
    },
    async ofFleet(fleet: string) {
      const [nodes, leases, generations] = await database.batch([
        queries.fleetNodes.bind({ fleet }),
        queries.leases.bind({ fleet }),
        queries.generations.bind({ fleet }),
      ]);
      return {
        nodes: queries.fleetNodes.read(nodes)[0] ?? none,
        leases: queries.leases.read(leases),
        generations: queries.generations.read(generations),
      };
    },
  };
}

function compileQueries(database: Database, timing: Timing) {
  const now = nowOf(database);
  const ttl = nodeTtlMsOf(timing);
  const silence = silenceMsOf(now, timing);
  // Left the choice, the planner walks the fleet and not the site.
  const ofSite = sql`nodes indexed by nodes_by_site`;
  const here = sql`nodes.fleet = ${arg('fleet')} and nodes.site = ${arg('site')}`;
  const alive = sql`left_at is null and ${silence} <= ${lostAfterMs(ttl)}`;
  // Materialized, so that silence and TTL are worked out once for each node.
  const count = (from: SQL) => sql`
    with heard as materialized (select iif(left_at is null, ${silence}, null) as silent, ${ttl} as ttl_ms from ${from})
    select coalesce(sum(silent <= ttl_ms), 0) as online, coalesce(sum(silent > ttl_ms and silent <= ${lostAfterMs(sql`ttl_ms`)}), 0) as late,
      coalesce(sum(silent > ${lostAfterMs(sql`ttl_ms`)}), 0) as lost, count(*) - count(silent) as "left" from heard`;
  return {
    siteNodes: repeatable(compileSql<NodeCounts>(count(sql`${ofSite} where ${here}`))),
    fleetNodes: repeatable(compileSql<NodeCounts>(count(sql`nodes where nodes.fleet = ${arg('fleet')}`))),
    services: compileSql<ServiceCount>(sql`
      select service.value ->> 'name' as name, service.value ->> 'version' as version,
        sum(service.value ->> 'state' = 'running') as running, json_group_array(node_id) as nodes
      from ${ofSite} cross join json_each(services_running) as service where ${here} and ${alive}
      group by service.value ->> 'name', service.value ->> 'version' order by 1, 2`),
    components: compileSql<ComponentCount>(sql`
      select component, status, count(*) as nodes from component_status where fleet = ${arg('fleet')}
        and node_id in (select nodes.node_id from ${ofSite} where ${here} and left_at is null)
      group by component, status`),
    generations: compileSql<Generation>(sql`select kind, generation from desired where fleet = ${arg('fleet')}`),
    conflicts: compileSql<{ kind: 'plan' | 'profile'; open: number }>(
      sql`select kind, count(*) as open from documents where fleet = ${arg('fleet')} and conflict = 1 group by kind`,
    ),
    devices: compileSql<{ devices: number }>(
      sql`select coalesce(sum(json_array_length(devices)), 0) as devices from ${ofSite} where ${here} and ${alive}`,
    ),
    leases: compileSql<{ site: string; node_id: string; epoch: number; expires_in_ms: number }>(
      sql`select site, node_id, epoch, expires_at - ${now} as expires_in_ms from leases where fleet = ${arg('fleet')}`,
    ),
  };
}
