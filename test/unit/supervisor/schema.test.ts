import { getTableColumns, getTableName, is } from 'drizzle-orm';
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core';
import { afterAll, describe, expect, it } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import type { Row } from '../../../shared/ports/database.ts';
import * as desiredSchema from '../../../shared/supervisor/store/desired-schema.ts';
import * as identitySchema from '../../../shared/supervisor/store/identity-schema.ts';
import * as schema from '../../../shared/supervisor/store/schema.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const database = openSqlite({ path: ':memory:', clock: new SimulatedClock(), migrations });
const read = async (sql: string): Promise<Row[]> => (await database.batch([{ sql, params: [] }]))[0] ?? [];
afterAll(() => database.close());

const tables = [...Object.values(schema), ...Object.values(desiredSchema), ...Object.values(identitySchema)].filter((one) =>
  is(one, SQLiteTable),
);

describe('the drizzle schema', () => {
  it('has every table of the migrations', async () => {
    const names = (await read("select name from sqlite_master where type = 'table'")).map(({ name }) => String(name));
    const ours = names.filter((name) => name !== 'd1_migrations' && !name.startsWith('sqlite_'));
    expect(tables.map(getTableName).sort()).toEqual(ours.sort());
  });

  it.each(tables.map((table) => [getTableName(table), table] as const))(
    '%s has the columns and the key that the migrations make',
    async (name, table) => {
      const made = await read(`pragma table_info(${name})`);
      const columns = Object.entries(getTableColumns(table)).map(([property, column]) => {
        expect(property).toBe(column.name);
        return { name: column.name, type: column.getSQLType().toUpperCase(), notnull: column.notNull ? 1 : 0 };
      });
      expect(columns).toEqual(made.map((one) => ({ name: one.name, type: one.type, notnull: one.notnull })));
      const key = made.filter(({ pk }) => Number(pk) > 0).sort((a, b) => Number(a.pk) - Number(b.pk));
      expect(getTableConfig(table).primaryKeys[0]?.columns.map((column) => column.name)).toEqual(key.map((one) => one.name));
      expect(key[0]?.name).toBe('fleet');
      const [{ sql } = { sql: '' }] = await read(`select sql from sqlite_master where name = '${name}'`);
      expect(String(sql)).toMatch(/without rowid$/);
    },
  );

  it('has an index on no column that a heartbeat changes', async () => {
    const indexes = await read("select sql from sqlite_master where type = 'index' and tbl_name = 'nodes' and sql is not null");
    expect(indexes.map(({ sql }) => sql)).toEqual(['CREATE INDEX nodes_by_site on nodes (fleet, site, node_id)']);
  });
});
