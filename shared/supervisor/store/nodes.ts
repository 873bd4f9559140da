import type { FencingToken } from '../../contract/headers.ts';
import type { HeartbeatRequest, Liveness, RegisterRequest } from '../../contract/node.ts';
import type { Database, Statement } from '../../ports/database.ts';
import type { Current } from '../current.ts';
import { compileNodeQueries, type NodeView } from './nodes-sql.ts';
import { LEADS } from './schema.ts';
import type { Prepared } from './sql.ts';
import type { Timing } from './timing.ts';

export type { NodeRow, NodeView } from './nodes-sql.ts';

/** Why a heartbeat was not written. `displaced`: from an instance that was put out just now and may not know it yet. */
export type Refusal = 'unknown_node' | 'duplicate_node' | 'stale_epoch' | 'displaced';

export interface NodePage {
  readonly fleet: string;
  readonly site?: string | undefined;
  /** A node id; the page starts behind it. */
  readonly after?: string | undefined;
  readonly limit: number;
  /** Only nodes of which one of these is true. */
  readonly liveness?: readonly Liveness[] | undefined;
}

export interface Heartbeats {
  readonly heard: ReadonlySet<string>;
  readonly current: Current;
}

/** What decides whether a node may report for others. */
export interface Standing {
  readonly site: string;
  readonly capabilities: readonly string[];
  readonly leads: number;
}

export type NodeStore = ReturnType<typeof createNodeStore>;

export function createNodeStore(database: Database, timing: Timing) {
  const queries = compileNodeQueries(database, timing);
  const writesAll = (timing.unwritten_share ?? 0) === 0;
  const plain = writesAll ? both(queries.heartbeat) : { write: queries.heartbeatIfDue, answer: queries.heard };
  const fenced = writesAll ? both(queries.fencedHeartbeat) : { write: queries.fencedHeartbeatIfDue, answer: queries.fencedHeard };
  const all = async (statement: Statement) => queries.get.read((await database.batch([statement]))[0]);
  return {
    /** The statement that writes a registration and takes the id over. */
    register: (fleet: string, body: RegisterRequest): Statement => queries.register.bind({ fleet, ...registration(body) }),
    /**
     * One write, or none where what is known need not be written again; undefined when it was refused. `refusalOf` tells why.
     */
    async heartbeat(fleet: string, body: HeartbeatRequest, token: FencingToken | undefined): Promise<Current | undefined> {
      const report = reported(fleet, body);
      const given = token === undefined ? report : { ...report, token_epoch: token.epoch, token_node: token.node_id };
      const { write, answer } = token === undefined ? plain : fenced;
      const results = await database.batch(write === answer ? [write.bind(given)] : [write.bind(given), answer.bind(given)]);
      return answer.read(results.at(-1))[0];
    },
    /** Many heartbeats in one write, only of nodes of `site` when it is given: the ids that were heard, and what is current for that site. */
    async heartbeats(fleet: string, site: string | undefined, bodies: readonly HeartbeatRequest[]): Promise<Heartbeats> {
      const given = { fleet, site: site ?? null, reports: JSON.stringify(bodies.map(toReport)) };
      const answer = writesAll ? queries.heartbeats : queries.allHeard;
      const [rows, current] = await database.batch([
        answer.bind(given),
        queries.current.bind({ fleet, site: site ?? null }),
        ...(writesAll ? [] : [queries.heartbeatsIfDue.bind(given)]),
      ]);
      const heard = new Set(answer.read(rows).map(({ node_id }) => node_id));
      return { heard, current: queries.current.read(current)[0] ?? { leader: null, plan: null, profile: null } };
    },
    get: async (fleet: string, node_id: string): Promise<NodeView | undefined> => (await all(queries.get.bind({ fleet, node_id })))[0],
    getMany: (fleet: string, node_ids: readonly string[]): Promise<NodeView[]> =>
      all(queries.getMany.bind({ fleet, node_ids: JSON.stringify(node_ids) })),
    list({ fleet, site, after = '', limit, liveness }: NodePage): Promise<NodeView[]> {
      const [ofFleet, ofSite] =
        liveness === undefined ? [queries.list, queries.listSite] : [queries.listLiveness, queries.listSiteLiveness];
      const values = { fleet, after, limit, ...(liveness === undefined ? {} : { liveness: JSON.stringify(liveness) }) };
      return all(site === undefined ? ofFleet.bind(values) : ofSite.bind({ ...values, site }));
    },
    async standing(fleet: string, node_id: string): Promise<Standing | undefined> {
      const [rows] = await database.batch([queries.standing.bind({ fleet, node_id })]);
      return queries.standing.read(rows)[0];
    },
    leave: (fleet: string, node_id: string): Statement => queries.leave.bind({ fleet, node_id }),
  };
}

/** A write that answers itself. */
function both(query: Prepared<Current>): { write: Prepared<Current>; answer: Prepared<Current> } {
  return { write: query, answer: query };
}

/**
 * Why a heartbeat by `instance_id` was refused, by what the registry holds. An instance that still
 * speaks a TTL after another took its id over, while that other one is heard, is a clone.
 */
export function refusalOf(node: NodeView | undefined, instance_id: string | undefined): Refusal {
  if (node === undefined || node.left_at !== null) return 'unknown_node';
  if (instance_id === undefined || node.instance_id === null || node.instance_id === instance_id) return 'stale_epoch';
  if (!wasDisplaced(node, instance_id)) return 'unknown_node';
  return isClone(node, instance_id) ? 'duplicate_node' : 'displaced';
}

/** True for an instance that was put out a TTL ago or longer by one that is still heard. */
export function isClone(node: NodeView, instance_id: string | undefined): boolean {
  return wasDisplaced(node, instance_id) && node.now - (node.displaced_at ?? node.now) >= node.ttl_ms;
}

function wasDisplaced(node: NodeView, instance_id: string | undefined): boolean {
  const isHolderHeard = node.left_at === null && node.silent_ms < node.ttl_ms;
  return instance_id !== undefined && node.displaced_instance_id === instance_id && isHolderHeard;
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
    services_running: body.services_running === undefined ? null : JSON.stringify(body.services_running),
    lead: body.lead === false ? LEADS.never : body.leads_last === true ? LEADS.last : LEADS.may,
  };
}

/** In the order in which `heartbeats` reads them. */
function toReport(body: HeartbeatRequest): (string | number | null)[] {
  const { node_id, instance_id, role, services_running, versions, metrics, ttl_seconds } = reported('', body);
  return [node_id, instance_id, role, services_running, versions, metrics, ttl_seconds];
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
    ttl_seconds: body.ttl_seconds ?? null,
  };
}
