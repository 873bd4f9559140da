import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../../ports/database.ts';
import type { Current } from '../current.ts';
import { heardAt } from './heard.ts';
import { nodes } from './schema.ts';
import { arg, compileSql, nowOf, repeatable } from './sql.ts';
import { livenessSql, marginMsOf, nodeTtlMsOf, silenceMsOf, type Timing } from './timing.ts';

export type NodeRow = typeof nodes.$inferSelect;

/** A node with what its liveness is told from, all milliseconds: the database's time, when it was heard, its silence, and the TTL that it is judged by. */
export type NodeView = NodeRow & {
  readonly now: number;
  readonly last_heard_at: number;
  readonly silent_ms: number;
  readonly ttl_ms: number;
};

/** The instance before is put out, unless it is the same, or the new one says that it followed it: a restart. */
const displaces = sql`nodes.instance_id is not null and nodes.instance_id is not excluded.instance_id
  and nodes.instance_id is not ${arg('previous_instance_id')}`;

/** A later leader of the node's site is known than the one that the token names. */
const stale = sql`exists (select 1 from leases where leases.fleet = nodes.fleet and leases.site = nodes.site
  and (leases.epoch > ${arg('token_epoch')} or (leases.epoch = ${arg('token_epoch')} and leases.node_id <> ${arg('token_node')})))`;

const current = sql`
  (select epoch || '/' || node_id from leases where leases.fleet = nodes.fleet and leases.site = nodes.site) as leader,
  (select generation from desired where desired.fleet = nodes.fleet and kind = 'plan') as plan,
  (select generation from desired where desired.fleet = nodes.fleet and kind = 'profile') as profile`;

export function compileNodeQueries(database: Database, timing: Timing) {
  return {
    ...compileWrites(database),
    ...compileHeartbeats(database, timing),
    ...compileBatches(database, timing),
    ...compileReads(database, timing),
  };
}

/** The row of the node that speaks, unless it left or another instance has its id. */
const speaks = sql`fleet = ${arg('fleet')} and node_id = ${arg('node_id')} and left_at is null
  and (instance_id is null or instance_id = coalesce(${arg('instance_id')}, instance_id))`;

/** True for a row that a heartbeat has to write: it says something new, or its share of the TTL is over. Figures alone are no news. */
function isDue(now: SQL<number>, timing: Timing, reported: (column: string) => SQL): SQL {
  const news = ['role', 'services_running', 'versions', 'ttl_seconds'].map(
    (column) => sql`nodes.${sql.raw(column)} is not ${reported(column)}`,
  );
  return sql`(${sql.join(news, sql` or `)} or nodes.uplink_epoch is not null or (nodes.metrics is null and ${reported('metrics')} is not null)
    or nodes.heard_at <= ${now} - ${marginMsOf(timing)} or nodes.heard_at > ${now})`;
}

function compileHeartbeats(database: Database, timing: Timing) {
  const now = nowOf(database);
  const update = sql`update nodes set heard_at = ${now}, role = ${arg('role')}, services_running = ${arg('services_running')},
    versions = ${arg('versions')}, metrics = ${arg('metrics')}, ttl_seconds = ${arg('ttl_seconds')}, uplink_epoch = null where ${speaks}`;
  const due = isDue(now, timing, arg);
  const answer = sql`select ${current} from nodes where ${speaks}`;
  return {
    heartbeat: repeatable(compileSql<Current>(sql`${update} returning ${current}`)),
    fencedHeartbeat: repeatable(compileSql<Current>(sql`${update} and not ${stale} returning ${current}`)),
    // Where a row has its price: what is written is one statement, what is answered another.
    heartbeatIfDue: repeatable(compileSql<never>(sql`${update} and ${due}`)),
    fencedHeartbeatIfDue: repeatable(compileSql<never>(sql`${update} and not ${stale} and ${due}`)),
    heard: compileSql<Current>(answer),
    fencedHeard: compileSql<Current>(sql`${answer} and not ${stale}`),
  };
}

function compileBatches(database: Database, timing: Timing) {
  const now = nowOf(database);
  // `reports` are lists of the seven values, JSON columns as text, which costs a third of reading objects.
  // The fleet comes with each report, materialized, so that the planner looks every node up by its whole
  // key. With a bare `nodes.fleet = ?` it walks all nodes of the fleet, and all reports for each of them.
  const reports = sql`with report as materialized (
    select ${arg('fleet')} as fleet, value ->> 0 as node_id, value ->> 1 as instance_id, value ->> 2 as role,
      value ->> 3 as services_running, value ->> 4 as versions, value ->> 5 as metrics, value ->> 6 as ttl_seconds
    from json_each(${arg('reports')}))`;
  const speak = sql`nodes.fleet = report.fleet and nodes.node_id = report.node_id and nodes.left_at is null
    and nodes.site = coalesce(${arg('site')}, nodes.site)
    and (nodes.instance_id is null or nodes.instance_id = coalesce(report.instance_id, nodes.instance_id))`;
  const update = sql`${reports} update nodes set heard_at = (select ${now}), role = report.role, services_running = report.services_running,
    versions = report.versions, metrics = report.metrics, ttl_seconds = report.ttl_seconds, uplink_epoch = null from report where ${speak}`;
  const due = isDue(sql`(select ${now})`, timing, (column) => sql.raw(`report.${column}`));
  return {
    heartbeats: repeatable(compileSql<{ node_id: string }>(sql`${update} returning node_id`)),
    heartbeatsIfDue: repeatable(compileSql<never>(sql`${update} and ${due}`)),
    allHeard: repeatable(compileSql<{ node_id: string }>(sql`${reports} select nodes.node_id from report cross join nodes where ${speak}`)),
  };
}

function compileWrites(database: Database) {
  const now = nowOf(database);
  return {
    register: compileSql<never>(sql`
      insert into nodes (fleet, node_id, site, instance_id, role, url, host, ip, capabilities, versions, devices, services_running, lead, registered_at, heard_at)
      values (${arg('fleet')}, ${arg('node_id')}, ${arg('site')}, ${arg('instance_id')}, 'worker', ${arg('url')}, ${arg('host')}, ${arg('ip')},
        ${arg('capabilities')}, ${arg('versions')}, ${arg('devices')}, coalesce(${arg('services_running')}, '[]'), ${arg('lead')}, ${now}, ${now})
      on conflict (fleet, node_id) do update set
        displaced_instance_id = case when ${displaces} then nodes.instance_id else nodes.displaced_instance_id end,
        displaced_at = case when ${displaces} then excluded.registered_at else nodes.displaced_at end,
        site = excluded.site, instance_id = excluded.instance_id, url = excluded.url, host = excluded.host, ip = excluded.ip,
        capabilities = excluded.capabilities, versions = excluded.versions, devices = excluded.devices, lead = excluded.lead,
        services_running = coalesce(${arg('services_running')}, nodes.services_running),
        registered_at = excluded.registered_at, heard_at = excluded.heard_at, left_at = null, uplink_epoch = null`),
    current: compileSql<Current>(sql`
      select (select epoch || '/' || node_id from leases where fleet = ${arg('fleet')} and site = ${arg('site')}) as leader,
        (select generation from desired where fleet = ${arg('fleet')} and kind = 'plan') as plan,
        (select generation from desired where fleet = ${arg('fleet')} and kind = 'profile') as profile`),
    leave: compileSql<{ site: string }>(sql`
      update nodes set left_at = ${now}, uplink_epoch = null where fleet = ${arg('fleet')} and node_id = ${arg('node_id')} and left_at is null returning site`),
  };
}

function compileReads(database: Database, timing: Timing) {
  const now = nowOf(database);
  const columns = sql`select *, ${now} as now, ${heardAt} as last_heard_at, ${silenceMsOf(now, timing)} as silent_ms, ${nodeTtlMsOf(timing)} as ttl_ms`;
  const view = sql`${columns} from nodes where nodes.fleet = ${arg('fleet')}`;
  const page = sql`and node_id > ${arg('after')} order by node_id limit ${arg('limit')}`;
  const viewOfSite = sql`${columns} from nodes indexed by nodes_by_site where nodes.fleet = ${arg('fleet')} and site = ${arg('site')}`;
  const isOf = sql`and ${livenessSql(now, timing)} in (select value from json_each(${arg('liveness')}))`;
  return {
    get: compileSql<NodeView>(sql`${view} and node_id = ${arg('node_id')}`, nodes),
    getMany: compileSql<NodeView>(sql`${view} and node_id in (select value from json_each(${arg('node_ids')}))`, nodes),
    list: compileSql<NodeView>(sql`${view} ${page}`, nodes),
    listSite: compileSql<NodeView>(sql`${viewOfSite} ${page}`, nodes),
    listLiveness: compileSql<NodeView>(sql`${view} ${isOf} ${page}`, nodes),
    listSiteLiveness: compileSql<NodeView>(sql`${viewOfSite} ${isOf} ${page}`, nodes),
    standing: compileSql<Pick<NodeRow, 'site' | 'capabilities'> & { leads: number }>(
      sql`select site, capabilities, exists (select 1 from leases where leases.fleet = nodes.fleet and leases.site = nodes.site
        and leases.node_id = nodes.node_id and expires_at > ${now}) as leads
      from nodes where fleet = ${arg('fleet')} and node_id = ${arg('node_id')} and left_at is null`,
      nodes,
    ),
  };
}
