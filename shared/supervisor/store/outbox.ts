import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../../ports/database.ts';
import { arg, compileSql, nowOf } from './sql.ts';
import { oldUpTo } from './sweep.ts';

export interface OutboxLimits {
  /** How many events are kept, whether published or not. */
  readonly kept: number;
  /** An event that is older goes, if it was published, milliseconds. */
  readonly kept_ms: number;
  /** How many are kept while they wait to be published; `kept` at least. */
  readonly waiting: number;
}

export type OutboxStore = ReturnType<typeof createOutboxStore>;

/** The event log as an outbox: what of it was published, and what of it may go. */
export function createOutboxStore(database: Database, { kept, kept_ms, waiting }: OutboxLimits) {
  const queries = compileQueries(nowOf(database), kept_ms);
  return {
    /** The cursor of the newest event that was published; 0 when none was. */
    async published(fleet: string): Promise<number> {
      const [rows] = await database.batch([queries.published.bind({ fleet })]);
      return queries.published.read(rows)[0]?.published ?? 0;
    },
    /** Everything up to `seq` was published. Never goes back. */
    async advance(fleet: string, seq: number): Promise<void> {
      await database.batch([queries.advance.bind({ fleet, seq })]);
    },
    /**
     * Drops the oldest events beyond the number that is kept, and those that are too old, but those that wait only beyond
     * their number. Resolves with how many were dropped that had never been published.
     */
    async trim(fleet: string): Promise<number> {
      const values = { fleet, kept, waiting: Math.max(kept, waiting) };
      const [rows] = await database.batch([queries.unpublished.bind(values), queries.trim.bind(values)]);
      return queries.unpublished.read(rows)[0]?.dropped ?? 0;
    },
  };
}

function compileQueries(now: SQL<number>, kept_ms: number) {
  const old = oldUpTo(arg('fleet'), now, kept_ms);
  const newest = sql`(select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')})`;
  const published = sql`(select coalesce(max(published), 0) from outbox where fleet = ${arg('fleet')})`;
  return {
    published: compileSql<{ published: number }>(sql`select ${published} as published`),
    advance: compileSql<never>(sql`
      insert into outbox (fleet, published) values (${arg('fleet')}, ${arg('seq')})
      on conflict (fleet) do update set published = excluded.published where excluded.published > outbox.published`),
    unpublished: compileSql<{ dropped: number }>(sql`
      select count(*) as dropped from events
      where fleet = ${arg('fleet')} and seq > ${published} and seq <= ${newest} - ${arg('waiting')}`),
    trim: compileSql<never>(sql`
      delete from events
      where fleet = ${arg('fleet')} and seq <= max(${newest} - ${arg('waiting')}, min(max(${newest} - ${arg('kept')}, ${old}), ${newest} - 1, ${published}))`),
  };
}
