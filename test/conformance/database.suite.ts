import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Database, DatabaseError, type SqlValue } from '../../shared/ports/database.ts';

/** An empty database and how to leave it. */
export type OpenDatabase = () => Promise<{ database: Database; drop: () => Promise<void> }>;

/** What every adapter of the Database port does. */
export function databaseSuite(name: string, open: OpenDatabase): void {
  describe(`Database: ${name}`, () => {
    let database: Database;
    let drop: () => Promise<void>;
    beforeEach(async () => {
      ({ database, drop } = await open());
      await database.batch([statement('create table things (id text primary key, size real, note text, bytes blob) without rowid')]);
    });
    afterEach(async () => {
      await database.batch([statement('drop table if exists things')]);
      await drop();
    });
    const insert = (id: string, size = 0) => statement('insert into things (id, size) values (?, ?)', id, size);
    const ids = async () => (await database.batch([statement('select id from things order by id')]))[0]?.map(({ id }) => id);

    it('gives the rows of each statement, in order, keyed by column name', async () => {
      const results = await database.batch([
        insert('a', 1.5),
        statement('insert into things (id, size) values (?, ?) returning id, size * 2 as twice', 'b', 4),
        statement('select id, note from things order by id'),
        statement('select id from things where id = ?', 'zzz'),
      ]);
      expect(results).toEqual([
        [],
        [{ id: 'b', twice: 8 }],
        [
          { id: 'a', note: null },
          { id: 'b', note: null },
        ],
        [],
      ]);
    });

    it('keeps texts, numbers, nulls and bytes as they are', async () => {
      const bytes = Uint8Array.from([0, 255, 1]);
      await database.batch([statement('insert into things values (?, ?, ?, ?)', 'ü\u0000"\'🛰', 2 ** 53 - 1, null, bytes)]);
      const [rows] = await database.batch([statement('select * from things')]);
      const { bytes: read, ...row } = rows?.[0] ?? {};
      expect(row).toEqual({ id: 'ü\u0000"\'🛰', size: 2 ** 53 - 1, note: null });
      expect([...new Uint8Array(read as Uint8Array)]).toEqual([...bytes]);
    });

    it('undoes all of a batch when one statement fails', async () => {
      await database.batch([insert('a')]);
      await expect(database.batch([insert('b'), insert('a'), insert('c')])).rejects.toMatchObject({
        name: 'DatabaseError',
        kind: 'constraint',
      });
      expect(await ids()).toEqual(['a']);
    });

    it('undoes only the batch that fails among concurrent ones', async () => {
      const outcomes = await Promise.allSettled([
        database.batch([insert('a'), insert('b')]),
        database.batch([insert('c'), insert('a')]),
        database.batch([insert('d')]),
        database.batch([insert('a')]),
        database.batch([statement('select nothing from nowhere')]),
        database.batch([insert('e')]),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'rejected', 'fulfilled']);
      expect(await ids()).toEqual(['a', 'b', 'd', 'e']);
    });

    it('never shows a batch half done: concurrent increments all count', async () => {
      await database.batch([insert('counter')]);
      const increment = () =>
        database.batch([
          statement("insert into things (id, size) select 'copy', size from things where id = 'counter'"),
          statement("update things set size = (select size from things where id = 'copy') + 1 where id = 'counter'"),
          statement("delete from things where id = 'copy'"),
        ]);
      await Promise.all(Array.from({ length: 25 }, increment));
      expect(await database.batch([statement('select id, size from things')])).toEqual([[{ id: 'counter', size: 25 }]]);
    });

    it('names the kind of what went wrong', async () => {
      const failure = async (sql: string) => database.batch([statement(sql)]).catch((error: unknown) => error);
      expect(await failure('not sql')).toBeInstanceOf(DatabaseError);
      expect(await failure('not sql')).toMatchObject({ kind: 'failed' });
      await database.batch([insert('a')]);
      expect(await failure("insert into things (id) values ('a')")).toMatchObject({ kind: 'constraint' });
    });

    it('judges time by one clock, in milliseconds', async () => {
      const [rows] = await database.batch([statement(`select ${database.now} as now, typeof(${database.now}) as type`)]);
      expect(rows?.[0]?.type).toMatch(/integer|real/);
      expect(Number(rows?.[0]?.now)).toBeGreaterThan(Date.UTC(2025, 0, 1));
      expect(Number(rows?.[0]?.now)).toBeLessThan(Date.UTC(2100, 0, 1));
    });

    it('takes many rows in one parameter, and no statement at all', async () => {
      const names = JSON.stringify(Array.from({ length: 500 }, (_, index) => `n${index}`));
      await database.batch([statement('insert into things (id) select value from json_each(?)', names)]);
      expect(await ids()).toHaveLength(500);
      expect(await database.batch([])).toEqual([]);
    });
  });
}

function statement(sql: string, ...params: SqlValue[]) {
  return { sql, params };
}
