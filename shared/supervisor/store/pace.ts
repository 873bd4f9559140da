import { sql } from 'drizzle-orm';
import type { Database } from '../../ports/database.ts';
import { pace } from './schema.ts';
import { compileSql, nowOf } from './sql.ts';

/** All fleets of the database: they share what it may write. No name of a fleet. */
const ALL_FLEETS = sql.raw("'*'");

/** The last count, with its age by the database's clock, milliseconds. */
export type PaceRow = typeof pace.$inferSelect & { readonly age_ms: number };

export interface WriterCount {
  readonly writers: number;
  /** Rows that were read to count them. */
  readonly rows: number;
}

export type PaceStore = ReturnType<typeof createPaceStore>;

/** How many write to the whole database at each interval, and the TTL that they need. */
export function createPaceStore(database: Database) {
  const now = nowOf(database);
  const queries = {
    get: compileSql<PaceRow>(sql`select *, ${now} - counted_at as age_ms from pace where fleet = ${ALL_FLEETS}`, pace),
    // A node that its site's leader speaks for writes nothing: the lease counts for it.
    // The one read of all rows: there is no index on when a node was heard, since each heartbeat would write it.
    nodes: compileSql<WriterCount>(sql`
      select count(*) as rows, coalesce(sum(left_at is null and uplink_epoch is null
        and heard_at > ${now} - ${sql.placeholder('window_ms')}), 0) as writers from nodes`),
    leases: compileSql<WriterCount>(sql`select count(*) as rows, coalesce(sum(expires_at > ${now}), 0) as writers from leases`),
    save: compileSql<never>(sql`
      insert into pace (fleet, stretch_seconds, writers, counted_rows, counted_at)
      values (${ALL_FLEETS}, ${sql.placeholder('stretch_seconds')}, ${sql.placeholder('writers')}, ${sql.placeholder('rows')}, ${now})
      on conflict (fleet) do update set stretch_seconds = excluded.stretch_seconds, writers = excluded.writers,
        counted_rows = excluded.counted_rows, counted_at = excluded.counted_at`),
  };
  return {
    async get(): Promise<PaceRow | undefined> {
      const [rows] = await database.batch([queries.get.bind({})]);
      return queries.get.read(rows)[0];
    },
    /** Leases that have not lapsed, and nodes that were heard within `window_ms`, of all fleets. */
    async count(window_ms: number): Promise<WriterCount> {
      const [nodes, leases] = await database.batch([queries.nodes.bind({ window_ms }), queries.leases.bind({})]);
      const counts = [...queries.nodes.read(nodes), ...queries.leases.read(leases)];
      return counts.reduce((sum, one) => ({ writers: sum.writers + one.writers, rows: sum.rows + one.rows }), { writers: 0, rows: 0 });
    },
    async save(stretch_seconds: number, { writers, rows }: WriterCount): Promise<void> {
      await database.batch([queries.save.bind({ stretch_seconds, writers, rows })]);
    },
  };
}
