import { type SQL, sql } from 'drizzle-orm';
import type { Retention } from '../../decide/retention.ts';
import type { Database } from '../../ports/database.ts';
import { heardAt } from './heard.ts';
import { arg, compileSql, nowOf, type Prepared, repeatable } from './sql.ts';

/** A node that is to be dropped, as it was when it was chosen. */
export interface GoneNode {
  readonly fleet: string;
  readonly node_id: string;
  readonly site: string;
  readonly heard_at: number;
  readonly reason: 'lost' | 'left';
}

export type SweepStore = ReturnType<typeof createSweepStore>;

/** Events of one fleet, and of all of them, that go in one run at most: what is left, the next run finds. */
export const TRIMMED_OF_A_FLEET = 10_000;
export const TRIMMED_AT_ONCE = 50_000;
/** Nodes that are dropped in one run at most. */
export const DROPPED_AT_ONCE = 500;
/** Events that are looked at in one run to see how many of them are too old. */
const LOOKED_AT = 10_000;

/** Housekeeping over all fleets of a database, in a few statements however many those are. */
export function createSweepStore(database: Database, retention: Retention) {
  const { lost_ms, left_ms, events: kept } = retention;
  const queries = compileQueries(database, retention);
  return {
    /** Drops the oldest events of each fleet: those beyond the number that is kept, and those that are too old. */
    async trimEvents(): Promise<void> {
      await database.batch([queries.trim.bind({ kept, most: TRIMMED_AT_ONCE })]);
    },
    /** Nodes that have been gone for longer than they are kept. Reads each node once: the registry has no index on what a heartbeat changes. */
    async goneNodes(): Promise<GoneNode[]> {
      const [rows] = await database.batch([queries.gone.bind({ lost_ms, left_ms, most: DROPPED_AT_ONCE })]);
      return queries.gone.read(rows);
    },
    /**
     * Drops nodes with their status, and writes an event for each. One that was heard since it was chosen stays. Resolves
     * with those that are gone now.
     */
    async dropNodes(nodes: readonly GoneNode[]): Promise<GoneNode[]> {
      const values = { nodes: JSON.stringify(nodes.map(({ fleet, node_id, heard_at }) => [fleet, node_id, heard_at])) };
      const [told] = await database.batch([queries.tell.bind(values), queries.dropStatus.bind(values), queries.dropNodes.bind(values)]);
      const dropped = new Set(queries.tell.read(told).map(({ fleet, node_id }) => JSON.stringify([fleet, node_id])));
      return nodes.filter(({ fleet, node_id }) => dropped.has(JSON.stringify([fleet, node_id])));
    },
  };
}

/**
 * The cursor up to which the events of the fleet `fleet` are older than `age_ms`: the log is in the order of time, so only
 * its head is looked at, and nothing of it when the first one is young enough. 0 when none is too old. It may be that of
 * the newest event, which has to stay: the next cursor is counted from it.
 */
export function oldUpTo(fleet: SQL, now: SQL<number>, age_ms: number): SQL {
  const cutoff = sql`${now} - ${sql.raw(String(age_ms))}`;
  const head = sql`(select seq, at from events where events.fleet = ${fleet} order by seq limit ${sql.raw(String(LOOKED_AT))})`;
  return sql`(case when (select at from events where events.fleet = ${fleet} order by seq limit 1) < ${cutoff}
    then coalesce((select min(seq) - 1 from ${head} where at >= ${cutoff}), (select max(seq) from ${head})) else 0 end)`;
}

function compileQueries(database: Database, { events_ms }: Retention) {
  const now = nowOf(database);
  return { trim: compileTrim(now, events_ms), ...compileDrops(now) };
}

function compileTrim(now: SQL<number>, events_ms: number): Prepared<never> {
  const ofThis = sql`events where events.fleet = fleets.name`;
  // The names come one after the other, each by one look into the primary key, and not by reading every event.
  return repeatable(
    compileSql<never>(sql`
      with recursive fleets (name) as (
        select min(fleet) from events
        union all select (select min(fleet) from events where events.fleet > fleets.name) from fleets where fleets.name is not null
      ), bounds as materialized (
        select name, min(
          max((select max(seq) from ${ofThis}) - ${arg('kept')}, ${oldUpTo(sql`fleets.name`, now, events_ms)}),
          (select max(seq) from ${ofThis}) - 1, (select min(seq) from ${ofThis}) + ${sql.raw(String(TRIMMED_OF_A_FLEET - 1))}) as up_to
        from fleets where name is not null
      )
      delete from events where (fleet, seq) in (
        select events.fleet, events.seq from bounds cross join events on events.fleet = bounds.name and events.seq <= bounds.up_to
        limit ${arg('most')})`),
  );
}

function compileDrops(now: SQL<number>) {
  const chosen = sql`with chosen as materialized (
    select value ->> 0 as fleet, value ->> 1 as node_id, value ->> 2 as heard_at from json_each(${arg('nodes')}))`;
  // `cross join` keeps the order as written: each one chosen looks its node up.
  const found = sql`chosen cross join nodes
    on nodes.fleet = chosen.fleet and nodes.node_id = chosen.node_id and ${heardAt} = chosen.heard_at`;
  const key = sql`(fleet, node_id) in (select nodes.fleet, nodes.node_id from ${found})`;
  return {
    gone: compileSql<GoneNode>(sql`
      select fleet, node_id, site, ${heardAt} as heard_at, iif(left_at is null, 'lost', 'left') as reason from nodes
      where left_at < ${now} - ${arg('left_ms')} or (left_at is null and nodes.heard_at < ${now} - ${arg('lost_ms')} and ${heardAt} < ${now} - ${arg('lost_ms')})
      limit ${arg('most')}`),
    tell: compileSql<{ fleet: string; node_id: string }>(sql`
      ${chosen} insert into events (fleet, seq, type, site, node_id, at, dedupe, data)
      select nodes.fleet, (select coalesce(max(seq), 0) from events where events.fleet = nodes.fleet)
          + row_number() over (partition by nodes.fleet order by nodes.node_id),
        'overlay.leave', nodes.site, nodes.node_id, ${now}, 'drop/' || nodes.node_id || '/' || chosen.heard_at,
        json_object('reason', iif(left_at is null, 'lost', 'left'), 'dropped', json('true'),
          'last_heard_at', strftime('%Y-%m-%dT%H:%M:%fZ', chosen.heard_at / 1000.0, 'unixepoch'))
      from ${found} where true on conflict do nothing returning fleet, node_id`),
    dropStatus: compileSql<never>(sql`${chosen} delete from component_status where ${key}`),
    dropNodes: compileSql<never>(sql`${chosen} delete from nodes where ${key}`),
  };
}
