import { sql } from 'drizzle-orm';
import type { FencingToken } from '../../contract/headers.ts';
import type { HeartbeatRequest, RegisterRequest } from '../../contract/node.ts';
import type { Database, Statement } from '../../ports/database.ts';
import { nodes } from './schema.ts';
import { arg, compileSql, nowOf } from './sql.ts';

export type NodeRow = typeof nodes.$inferSelect;

/** What the answer to a heartbeat says of the fleet; null while there is none. */
export interface Current {
  readonly leader: string | null;
  readonly plan: number | null;
  readonly profile: number | null;
}

/** Why a heartbeat was not written. `ignored`: an instance that was just displaced, on its way out. */
export type Refusal = 'unknown_node' | 'duplicate_node' | 'stale_epoch' | 'ignored';

export type NodeStore = ReturnType<typeof createNodeStore>;

export function createNodeStore(database: Database, ttl_seconds: number) {
  const queries = compileQueries(database, ttl_seconds);
  return {
    /** The statements that write a node; see `takeover` for what becomes of the instance before. */
    register: (fleet: string, body: RegisterRequest): Statement => queries.register.bind({ fleet, ...registration(body) }),
    /** One write; undefined when it was refused: `refusal` says why. */
    async heartbeat(fleet: string, body: HeartbeatRequest, token: FencingToken | undefined): Promise<Current | undefined> {
      const report = reported(fleet, body);
      const statement =
        token === undefined
          ? queries.heartbeat.bind(report)
          : queries.fencedHeartbeat.bind({ ...report, token_epoch: token.epoch, token_node: token.node_id });
      const [rows] = await database.batch([statement]);
      return queries.heartbeat.read(rows)[0];
    },
    async get(fleet: string, node_id: string): Promise<NodeRow | undefined> {
      const [rows] = await database.batch([queries.get.bind({ fleet, node_id })]);
      return queries.get.read(rows)[0];
    },
  };
}

function registration(body: RegisterRequest) {
  return {
    node_id: body.node_id,
    site: body.site ?? 'default',
    instance_id: body.instance_id ?? null,
    previous_instance_id: body.previous_instance_id ?? null,
    url: body.url ?? null,
    host: body.host,
    ip: body.ip,
    capabilities: JSON.stringify(body.capabilities),
    versions: JSON.stringify(body.versions),
    devices: JSON.stringify(body.devices ?? []),
  };
}

function reported(fleet: string, body: HeartbeatRequest) {
  return {
    fleet,
    node_id: body.node_id,
    instance_id: body.instance_id ?? null,
    role: body.role,
    services_running: JSON.stringify(body.services_running),
    versions: JSON.stringify(body.versions),
    metrics: body.metrics === undefined ? null : JSON.stringify(body.metrics),
  };
}

/**
 * The instance that is put out by a registration: the one before, unless it is the same, or the new one
 * says that it followed it (a restart on the same machine).
 */
const displaces = sql`nodes.instance_id is not null and nodes.instance_id is not excluded.instance_id
  and nodes.instance_id is not ${arg('previous_instance_id')}`;

/** Another leader is known for the node's site than the one it believes in, and not an earlier one. */
const stale = sql`exists (select 1 from leases where leases.fleet = nodes.fleet and leases.site = nodes.site
  and (leases.epoch > ${arg('token_epoch')} or (leases.epoch = ${arg('token_epoch')} and leases.node_id <> ${arg('token_node')})))`;

const current = sql`
  (select epoch || '/' || node_id from leases where leases.fleet = nodes.fleet and leases.site = nodes.site) as leader,
  (select generation from desired where desired.fleet = nodes.fleet and kind = 'plan') as plan,
  (select generation from desired where desired.fleet = nodes.fleet and kind = 'profile') as profile`;

function compileQueries(database: Database, _ttl_seconds: number) {
  const now = nowOf(database);
  const heartbeat = sql`update nodes set heard_at = ${now}, left_at = null, role = ${arg('role')},
    services_running = ${arg('services_running')}, versions = ${arg('versions')}, metrics = ${arg('metrics')}
    where fleet = ${arg('fleet')} and node_id = ${arg('node_id')}
    and (instance_id is null or instance_id = coalesce(${arg('instance_id')}, instance_id))`;
  return {
    register: compileSql<never>(sql`
      insert into nodes (fleet, node_id, site, instance_id, role, url, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
      values (${arg('fleet')}, ${arg('node_id')}, ${arg('site')}, ${arg('instance_id')}, 'worker', ${arg('url')}, ${arg('host')}, ${arg('ip')},
        ${arg('capabilities')}, ${arg('versions')}, ${arg('devices')}, '[]', ${now}, ${now})
      on conflict (fleet, node_id) do update set
        displaced_instance_id = case when ${displaces} then nodes.instance_id else nodes.displaced_instance_id end,
        displaced_at = case when ${displaces} then excluded.registered_at else nodes.displaced_at end,
        site = excluded.site, instance_id = excluded.instance_id, url = excluded.url, host = excluded.host, ip = excluded.ip,
        capabilities = excluded.capabilities, versions = excluded.versions, devices = excluded.devices,
        registered_at = excluded.registered_at, heard_at = excluded.heard_at, left_at = null`),
    heartbeat: compileSql<Current>(sql`${heartbeat} returning ${current}`),
    fencedHeartbeat: compileSql<Current>(sql`${heartbeat} and not ${stale} returning ${current}`),
    get: compileSql<NodeRow>(sql`select * from nodes where fleet = ${arg('fleet')} and node_id = ${arg('node_id')}`, nodes),
  };
}
