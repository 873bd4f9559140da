import { sql } from 'drizzle-orm';
import type { BootstrapEvent } from '../../contract/event.ts';
import type { FencingToken } from '../../contract/headers.ts';
import { toTimestamp } from '../../contract/ids.ts';
import type { ComponentStatus } from '../../contract/status.ts';
import type { Database } from '../../ports/database.ts';
import { component_status } from './schema.ts';
import { arg, compileSql, nowOf, repeatable } from './sql.ts';

export type StatusRow = typeof component_status.$inferSelect;

/** A report with the key under which it counts once. */
export interface Reported extends BootstrapEvent {
  readonly dedupe: string;
}

export type StatusStore = ReturnType<typeof createStatusStore>;

export function createStatusStore(database: Database) {
  const queries = compileQueries(database);
  return {
    /**
     * Writes reports of registered nodes into the event log, and those of whole components as their
     * status. Resolves with the keys that are new; a repeated report changes nothing.
     */
    async report(fleet: string, reports: readonly Reported[]): Promise<Set<string>> {
      const values = { fleet, reports: JSON.stringify(reports) };
      const [written] = await database.batch([queries.log.bind(values), queries.apply.bind(values)]);
      return new Set(queries.log.read(written).map(({ dedupe }) => dedupe));
    },
    /** The sites of the nodes, with whether each may report under `token`. Unregistered ones are missing. */
    async standings(fleet: string, node_ids: readonly string[], token: FencingToken | undefined) {
      const { epoch = null, node_id = null } = token ?? {};
      const [rows] = await database.batch([queries.standings.bind({ fleet, node_ids: JSON.stringify(node_ids), epoch, leader: node_id })]);
      return queries.standings.read(rows);
    },
    async ofNodes(fleet: string, node_ids: readonly string[]): Promise<StatusRow[]> {
      const [rows] = await database.batch([queries.ofNodes.bind({ fleet, node_ids: JSON.stringify(node_ids) })]);
      return queries.ofNodes.read(rows);
    },
  };
}

export function toComponentStatus(row: StatusRow): ComponentStatus {
  const { status, action, generation, hash, attempt, duration_ms, message, incompatible, at } = row;
  return {
    status,
    action,
    generation,
    hash,
    attempt,
    duration_ms,
    ...(message === null ? {} : { message }),
    incompatible,
    at: toTimestamp(at),
  };
}

/** Stands for the hash of a report that names none. */
const NO_HASH = '0'.repeat(64);

function compileQueries(database: Database) {
  const now = nowOf(database);
  const field = (name: string) => sql.raw(`report.value ->> '${name}'`);
  // `cross join` keeps the order as written: each report looks its node up, and not each node the reports.
  const given = sql`json_each(${arg('reports')}) as report`;
  return {
    log: repeatable(
      compileSql<{ dedupe: string }>(sql`
      insert into events (fleet, seq, type, site, node_id, at, dedupe, data)
      select nodes.fleet, (select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')}) + report.key + 1, 'overlay.bootstrap',
        nodes.site, nodes.node_id, ${now}, ${field('dedupe')}, json_remove(report.value, '$.node_id', '$.dedupe')
      from ${given} cross join nodes on nodes.fleet = ${arg('fleet')} and nodes.node_id = ${field('node_id')}
      where true on conflict do nothing returning dedupe`),
    ),
    // `events.seq` orders what the Supervisor took; a late repetition finds its first, older event.
    apply: repeatable(
      compileSql<never>(sql`
      insert into component_status (fleet, node_id, component, status, action, generation, hash, attempt, duration_ms, message, incompatible, at, seq)
      select events.fleet, events.node_id, ${field('component')}, ${field('status')}, ${field('action')}, coalesce(${field('generation')}, 0),
        coalesce(${field('hash')}, ${sql.raw(`'${NO_HASH}'`)}), coalesce(${field('attempt')}, 0), coalesce(${field('duration_ms')}, 0),
        ${field('message')}, coalesce(report.value -> 'incompatible', '[]'), events.at, events.seq
      from ${given} cross join events on events.fleet = ${arg('fleet')} and events.dedupe = ${field('dedupe')}
      where ${field('action')} = 'reconcile'
      on conflict (fleet, node_id, component) do update set
        status = excluded.status, action = excluded.action, generation = excluded.generation, hash = excluded.hash, attempt = excluded.attempt,
        duration_ms = excluded.duration_ms, message = excluded.message, incompatible = excluded.incompatible, at = excluded.at, seq = excluded.seq
      where excluded.seq > component_status.seq`),
    ),
    standings: compileSql<{ node_id: string; site: string; stale: number }>(sql`
      select node_id, site, exists (select 1 from leases where leases.fleet = nodes.fleet and leases.site = nodes.site
        and (leases.epoch > ${arg('epoch')} or (leases.epoch = ${arg('epoch')} and leases.node_id <> ${arg('leader')}))) as stale
      from nodes where fleet = ${arg('fleet')} and node_id in (select value from json_each(${arg('node_ids')}))`),
    ofNodes: compileSql<StatusRow>(
      sql`select * from component_status where fleet = ${arg('fleet')} and node_id in (select value from json_each(${arg('node_ids')}))`,
      component_status,
    ),
  };
}
