import { sql } from 'drizzle-orm';
import type { Database } from '../../ports/database.ts';
import { placements } from './desired-schema.ts';
import type { HeadRow } from './documents.ts';
import { heldEmergency } from './emergencies.ts';
import { nodes } from './schema.ts';
import { arg, compileSql, nowOf, repeatable, ttlMsOf } from './sql.ts';
import { nodeTtlMsOf, silenceMsOf, type Timing } from './timing.ts';

type PlacementColumns = typeof placements.$inferSelect;
export type NewPlacement = Omit<PlacementColumns, 'computed_at' | 'revision'>;
/** A site's placement with its age by the database's clock. */
export type PlacementRow = PlacementColumns & { readonly age_ms: number };

/** The node that asks. */
export type AskingNode = Pick<
  typeof nodes.$inferSelect,
  'node_id' | 'instance_id' | 'site' | 'capabilities' | 'services_running' | 'url' | 'lead'
> & {
  /** The TTL of its fleet, seconds. */
  readonly ttl_seconds: number;
};

/** A lease that has not lapsed. */
export interface LiveLease {
  readonly node_id: string;
  readonly url: string;
  readonly epoch: number;
  readonly renewals: number;
  /** The first epoch of those that it has led one after the other. */
  readonly since_epoch: number;
}

/** A current version. `emergency`: the number of an emergency version of the site; null for one of the fleet. */
export type DesiredRow = Omit<HeadRow, 'fleet'> & { readonly emergency: number | null };

/** What a plan answer is made from, read at one moment by primary keys alone. */
export interface PlanState {
  readonly node: AskingNode | undefined;
  readonly lease: LiveLease | undefined;
  /** What the fleet has published, and what holds for the node's site instead. */
  readonly heads: readonly DesiredRow[];
  readonly placement: PlacementRow | undefined;
}

/** A node of the site as placement sees it. */
export type MemberRow = Pick<typeof nodes.$inferSelect, 'node_id' | 'capabilities' | 'url' | 'services_running' | 'left_at' | 'lead'> & {
  /** For how long nothing was heard of it, and the TTL that it is judged by, milliseconds. */
  readonly age_ms: number;
  readonly ttl_ms: number;
};

export type PlacementStore = ReturnType<typeof createPlacementStore>;

export function createPlacementStore(database: Database, timing: Timing) {
  const queries = compileQueries(database, timing);
  return {
    async state(fleet: string, node_id: string): Promise<PlanState> {
      const key = { fleet, node_id };
      const [node, lease, heads, placement] = await database.batch([
        queries.node.bind(key),
        queries.lease.bind(key),
        queries.heads.bind(key),
        queries.placement.bind(key),
      ]);
      return {
        node: queries.node.read(node)[0],
        lease: queries.lease.read(lease)[0],
        heads: queries.heads.read(heads),
        placement: queries.placement.read(placement)[0],
      };
    },
    /** Every node of a site that has not been dropped from the registry. */
    async members(fleet: string, site: string): Promise<MemberRow[]> {
      const [rows] = await database.batch([queries.members.bind({ fleet, site })]);
      return queries.members.read(rows);
    },
    /** Two that compute at the same moment write one after the other; the later one stands until the next TTL. */
    async save(row: NewPlacement): Promise<void> {
      const { placed, proxies, successors, ...columns } = row;
      const lists = { placed: JSON.stringify(placed), proxies: JSON.stringify(proxies), successors: JSON.stringify(successors) };
      await database.batch([queries.save.bind({ ...columns, ...lists })]);
    },
  };
}

function compileQueries(database: Database, timing: Timing) {
  const now = nowOf(database);
  const itself = sql`fleet = ${arg('fleet')} and node_id = ${arg('node_id')}`;
  const itsSite = sql`(select site from nodes where ${itself})`;
  const emergencyOf = (kind: HeadRow['kind']) =>
    heldEmergency(sql`newest.kind, newest.generation, newest.hash, null, newest.n`, {
      ...{ fleet: arg('fleet'), site: itsSite, kind: sql.raw(`'${kind}'`) },
    });
  const ofItsSite = sql`fleet = ${arg('fleet')} and site = (select site from nodes where ${itself})`;
  return {
    node: compileSql<AskingNode>(
      sql`select node_id, instance_id, site, capabilities, services_running, url, lead, ${ttlMsOf(timing.ttl_seconds)} / 1000.0 as ttl_seconds
      from nodes where ${itself}`,
      nodes,
    ),
    lease: compileSql<LiveLease>(
      sql`select leases.node_id, url, epoch, renewals, since_epoch from leases where ${ofItsSite} and expires_at > ${now}`,
    ),
    heads: compileSql<DesiredRow>(sql`
      select kind, generation, hash, ttl_seconds, null as emergency from desired where fleet = ${arg('fleet')}
      union all ${emergencyOf('plan')} union all ${emergencyOf('profile')}`),
    placement: compileSql<PlacementRow>(sql`select *, ${now} - computed_at as age_ms from placements where ${ofItsSite}`, placements),
    members: compileSql<MemberRow>(
      sql`select node_id, capabilities, url, services_running, left_at, lead, ${silenceMsOf(now, timing)} as age_ms, ${nodeTtlMsOf(timing)} as ttl_ms
        from nodes indexed by nodes_by_site where fleet = ${arg('fleet')} and site = ${arg('site')}`,
      nodes,
    ),
    save: repeatable(
      compileSql<never>(sql`
      insert into placements (fleet, site, plan_hash, epoch, leader_node_id, takeover, computed_at, placed, proxies, successors)
      values (${arg('fleet')}, ${arg('site')}, ${arg('plan_hash')}, ${arg('epoch')}, ${arg('leader_node_id')}, ${arg('takeover')}, ${now},
        ${arg('placed')}, ${arg('proxies')}, ${arg('successors')})
      on conflict (fleet, site) do update set plan_hash = excluded.plan_hash, epoch = excluded.epoch,
        revision = placements.revision + (placements.placed <> excluded.placed), leader_node_id = excluded.leader_node_id, takeover = excluded.takeover, computed_at = excluded.computed_at,
        placed = excluded.placed, proxies = excluded.proxies, successors = excluded.successors`),
    ),
  };
}
