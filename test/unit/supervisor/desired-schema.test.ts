import { getTableConfig, type SQLiteTable } from 'drizzle-orm/sqlite-core';
import { afterAll, describe, expect, test } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../../runtime-node/adapters/sqlite-migrations.ts';
import { documents, placements } from '../../../shared/supervisor/store/desired-schema.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const migrations = readMigrations(new URL('../../../migrations', import.meta.url).pathname);
const database = openSqlite({ path: ':memory:', clock: new SimulatedClock(), migrations });
afterAll(() => database.close());

interface Column {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
}

const byName = (a: Column, b: Column) => (a.name < b.name ? -1 : 1);

async function inDatabase(table: string): Promise<{ columns: Column[]; key: string[] }> {
  const [rows = []] = await database.batch([
    { sql: `select name, lower(type) as type, "notnull", pk from pragma_table_info(?)`, params: [table] },
  ]);
  const columns = rows.map((row) => ({ name: String(row.name), type: String(row.type), required: row.notnull === 1 }));
  const keyed = rows.filter(({ pk }) => Number(pk) > 0).sort((a, b) => Number(a.pk) - Number(b.pk));
  return { columns: columns.sort(byName), key: keyed.map(({ name }) => String(name)) };
}

function inCode(table: SQLiteTable): { columns: Column[]; key: string[] } {
  const { columns, primaryKeys } = getTableConfig(table);
  const listed = columns.map((column) => ({ name: column.name, type: column.getSQLType(), required: column.notNull }));
  return { columns: listed.sort(byName), key: primaryKeys.flatMap((key) => key.columns.map(({ name }) => name)) };
}

describe('the tables that the code names are those of the migration', () => {
  test.each([documents, placements].map((table) => [getTableConfig(table).name, table] as const))('%s', async (name, table) => {
    const actual = await inDatabase(name);
    expect(actual.columns.length).toBeGreaterThan(0);
    expect(inCode(table)).toEqual(actual);
  });
});
