import { sql } from 'drizzle-orm';
import type { Database } from '../../ports/database.ts';
import { fleets } from './identity-schema.ts';
import { arg, compileSql, nowOf } from './sql.ts';

export type FleetRow = typeof fleets.$inferSelect;

export interface FleetView extends FleetRow {
  /** What is left of the overlap with the fleet key of before, milliseconds; null when there is none. */
  readonly overlap_ms: number | null;
}

export interface Replacement {
  readonly fleet: string;
  /** The sealed key that is replaced: with another one there, nothing happens. */
  readonly replaces: string;
  readonly sealed_key: string;
  readonly key_id: string;
  readonly retired_document_keys: readonly string[];
  readonly overlap_ms: number;
  /** Also while an overlap is under way. */
  readonly force: boolean;
}

export type FleetStore = ReturnType<typeof createFleetStore>;

export function createFleetStore(database: Database) {
  const queries = compileQueries(database);
  return {
    async get(fleet: string): Promise<FleetView | undefined> {
      const [rows] = await database.batch([queries.get.bind({ fleet })]);
      return queries.get.read(rows)[0];
    },
    async list(after: string, limit: number): Promise<FleetView[]> {
      const [rows] = await database.batch([queries.list.bind({ after, limit })]);
      return queries.list.read(rows);
    },
    /** False when there is a fleet of this name, open or closed. */
    async insert(fleet: string, sealed_key: string, key_id: string): Promise<boolean> {
      const [rows] = await database.batch([queries.insert.bind({ fleet, sealed_key, key_id })]);
      return rows?.length === 1;
    },
    async close(fleet: string): Promise<void> {
      await database.batch([queries.close.bind({ fleet })]);
    },
    /** One compare-and-swap; false when the key is another by now, or an overlap is under way. */
    async replace({ retired_document_keys, force, ...change }: Replacement): Promise<boolean> {
      const values = { ...change, retired_document_keys: JSON.stringify(retired_document_keys), force: force ? 1 : 0 };
      const [rows] = await database.batch([queries.replace.bind(values)]);
      return rows?.length === 1;
    },
    /** The same keys, sealed under another secret. */
    async reseal(before: FleetRow, sealed_key: string, previous_sealed_key: string | null): Promise<void> {
      const { fleet, sealed_key: replaces } = before;
      await database.batch([queries.reseal.bind({ fleet, replaces, sealed_key, previous_sealed_key })]);
    },
  };
}

function compileQueries(database: Database) {
  const now = nowOf(database);
  const left = sql`case when previous_until > ${now} then previous_until - ${now} end`;
  const view = sql`select *, ${left} as overlap_ms from fleets`;
  return {
    get: compileSql<FleetView>(sql`${view} where fleet = ${arg('fleet')}`, fleets),
    list: compileSql<FleetView>(sql`${view} where fleet > ${arg('after')} order by fleet limit ${arg('limit')}`, fleets),
    insert: compileSql<{ fleet: string }>(sql`
      insert into fleets (fleet, sealed_key, key_id, retired_document_keys, created_at)
      values (${arg('fleet')}, ${arg('sealed_key')}, ${arg('key_id')}, '[]', ${now})
      on conflict do nothing returning fleet`),
    close: compileSql<never>(sql`update fleets set closed_at = ${now} where fleet = ${arg('fleet')} and closed_at is null`),
    replace: compileSql<{ fleet: string }>(sql`
      update fleets set previous_sealed_key = sealed_key, previous_until = ${now} + ${arg('overlap_ms')}, sealed_key = ${arg('sealed_key')},
        key_id = ${arg('key_id')}, retired_document_keys = ${arg('retired_document_keys')}, rotated_at = ${now}
      where fleet = ${arg('fleet')} and sealed_key = ${arg('replaces')} and closed_at is null
        and (${arg('force')} = 1 or previous_until is null or previous_until <= ${now})
      returning fleet`),
    reseal: compileSql<never>(sql`
      update fleets set sealed_key = ${arg('sealed_key')}, previous_sealed_key = ${arg('previous_sealed_key')}
      where fleet = ${arg('fleet')} and sealed_key = ${arg('replaces')}`),
  };
}
