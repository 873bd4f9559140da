import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { type Migration, readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { DatabaseError } from '../../shared/ports/database.ts';
import { databaseSuite } from '../conformance/database.suite.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bootplane-sqlite-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const newPath = () => join(folder, `${randomUUID()}.sqlite`);
const clock = new SimulatedClock();

for (const [name, path] of [
  ['better-sqlite3 on a file', newPath],
  ['better-sqlite3 in memory', () => ':memory:'],
] as const) {
  databaseSuite(name, async () => {
    const database = openSqlite({ path: path(), clock });
    return { database, drop: () => database.close() };
  });
}

const one = (sql: string) => [{ sql, params: [] }];

describe('SQLite on Node', () => {
  it('takes the time from the clock port', async () => {
    const simulated = new SimulatedClock(1_000_000);
    const database = openSqlite({ path: ':memory:', clock: simulated });
    const now = async () => (await database.batch(one(`select ${database.now} as now`)))[0]?.[0]?.now;
    expect(await now()).toBe(1_000_000);
    await simulated.advance(1234);
    expect(await now()).toBe(1_001_234);
    await database.close();
  });

  it('says that its clock was set back before anything else runs, in the same transaction, until that is on the disk', async () => {
    const path = newPath();
    const simulated = new SimulatedClock(1_000_000);
    const told: (number | undefined)[] = [];
    let fails = false;
    const open = () =>
      openSqlite({
        ...{ path, clock: simulated },
        set_back: (ms) => {
          told.push(ms);
          return fails ? one('insert into nowhere values (1)') : one(`insert into back values (${ms ?? 'null'})`);
        },
      });
    const before = openSqlite({ path, clock: simulated });
    await before.batch(one('create table back (ms)'));
    await before.close();
    const database = open();
    const backs = async () => (await database.batch(one('select ms from back')))[0]?.map(({ ms }) => ms);
    expect(await backs()).toEqual([null]);
    await simulated.advance(5000);
    simulated.jump(simulated.now() + 60_000);
    expect(await backs()).toEqual([null]);
    simulated.jump(simulated.now() - 30_000);
    fails = true;
    await expect(backs()).rejects.toThrow('no such table: nowhere');
    fails = false;
    simulated.jump(simulated.now() - 1000);
    expect(await backs()).toEqual([null, 31_000]);
    expect(await backs()).toEqual([null, 31_000]);
    expect(told).toEqual([undefined, 30_000, 31_000]);
    await database.close();
  });

  it('is durable: WAL, synchronous=FULL, and what was answered is there when the file is opened again', async () => {
    const path = newPath();
    const database = openSqlite({ path, clock });
    expect(await database.batch(one('pragma journal_mode'))).toEqual([[{ journal_mode: 'wal' }]]);
    expect(await database.batch(one('pragma synchronous'))).toEqual([[{ synchronous: 2 }]]);
    await database.batch([...one('create table t (x)'), ...one('insert into t values (7)')]);
    const other = new Sqlite(path);
    expect(other.prepare('select x from t').all()).toEqual([{ x: 7 }]);
    other.close();
    await database.close();
  });

  it('is busy, and says so, while another process writes', async () => {
    const path = newPath();
    const database = openSqlite({ path, clock, busy_timeout_ms: 1 });
    await database.batch(one('create table t (x)'));
    const other = new Sqlite(path);
    other.exec('begin immediate');
    const outcomes = await Promise.allSettled([
      database.batch(one('insert into t values (1)')),
      database.batch(one('insert into t values (2)')),
    ]);
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason: { kind: 'busy' } },
      { status: 'rejected', reason: { kind: 'busy' } },
    ]);
    expect(await database.batch(one('select count(*) as rows from t'))).toEqual([[{ rows: 0 }]]);
    other.exec('rollback');
    await database.batch(one('insert into t values (3)'));
    expect(await database.batch(one('select x from t'))).toEqual([[{ x: 3 }]]);
    other.close();
    await database.close();
  });

  it('fails all that share a transaction with a full disk, and goes on when there is room', async () => {
    const database = openSqlite({ path: newPath(), clock });
    await database.batch(one('create table t (x)'));
    await database.batch(one('pragma max_page_count = 20'));
    const big = { sql: 'insert into t values (zeroblob(?))', params: [1_000_000] };
    const outcomes = await Promise.allSettled([
      database.batch(one('insert into t values (1)')),
      database.batch([big]),
      database.batch([...one('insert into t values (2)'), big]),
    ]);
    expect(outcomes[1]).toMatchObject({ status: 'rejected', reason: { kind: 'full' } });
    expect(outcomes[2]).toMatchObject({ status: 'rejected', reason: { kind: 'full' } });
    const [rows] = await database.batch(one('select x from t'));
    // Whoever was told that it is written is written, and nobody else.
    expect(rows).toEqual(outcomes[0]?.status === 'fulfilled' ? [{ x: 1 }] : []);
    await database.batch(one('pragma max_page_count = 1000'));
    await database.batch([big]);
    await database.close();
  });

  it('answers everybody when even the rollback fails, and goes on when it works again', async () => {
    const database = openSqlite({ path: ':memory:', clock });
    await database.batch(one('create table t (x integer primary key, y references t (x) deferrable initially deferred)'));
    const exec = vi.spyOn(Sqlite.prototype, 'exec').mockImplementationOnce(() => {
      throw new Error('the disk is gone');
    });
    // The commit fails, and leaves the transaction open.
    const outcomes = await Promise.allSettled([
      database.batch(one('insert into t values (1, null)')),
      database.batch(one('insert into t values (2, 7)')),
    ]);
    exec.mockRestore();
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason: { kind: 'constraint' } },
      { status: 'rejected', reason: { kind: 'constraint' } },
    ]);
    await database.batch(one('insert into t values (3, null)'));
    expect(await database.batch(one('select x from t'))).toEqual([[{ x: 3 }]]);
    await database.close();
  });

  it('answers what was asked before it closes, and refuses what comes after', async () => {
    const database = openSqlite({ path: ':memory:', clock });
    const asked = database.batch(one('select 1 as one'));
    await database.close();
    expect(await asked).toEqual([[{ one: 1 }]]);
    await expect(database.batch(one('select 1'))).rejects.toMatchObject({ kind: 'failed', message: 'the database is closed' });
    await database.close();
  });

  it('says what is wrong with a file that is no database', () => {
    const path = newPath();
    writeFileSync(path, 'this is a letter to my aunt, not a database, and it is long enough to be read as a header'.repeat(20));
    expect(() => openSqlite({ path, clock })).toThrow(DatabaseError);
    expect(() => openSqlite({ path, clock })).toThrow(/SQLITE_NOTADB/);
  });
});

describe('migrations on Node', () => {
  const first: Migration = { name: '0001_first.sql', sql: 'create table a (x); insert into a values (1);' };
  const second: Migration = { name: '0002_second.sql', sql: 'alter table a add column y; update a set y = 2;' };
  const open = (path: string, migrations: Migration[]) => openSqlite({ path, clock, migrations });

  it("are applied once each, and kept in wrangler's own ledger", async () => {
    const path = newPath();
    await open(path, [first]).close();
    const database = open(path, [first, second]);
    expect(await database.batch(one('select * from a'))).toEqual([[{ x: 1, y: 2 }]]);
    const [ledger] = await database.batch(one('select id, name, applied_at from d1_migrations'));
    expect(ledger).toMatchObject([
      { id: 1, name: '0001_first.sql' },
      { id: 2, name: '0002_second.sql' },
    ]);
    expect(ledger?.[0]?.applied_at).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    await database.close();
  });

  it('leave nothing behind when one fails', async () => {
    const path = newPath();
    const broken: Migration = { name: '0002_second.sql', sql: 'create table b (x); insert into nowhere values (1);' };
    expect(() => open(path, [first, broken])).toThrow(DatabaseError);
    const database = open(path, [first, second]);
    expect(await database.batch(one("select name from sqlite_master where name = 'b'"))).toEqual([[]]);
    await database.close();
  });

  it('refuse a database of a newer version, and say what to do', async () => {
    const path = newPath();
    await open(path, [first, second]).close();
    expect(() => open(path, [first])).toThrow(/0002_second\.sql.*start that version/);
  });

  it('of this repository have numbered names in order', () => {
    const names = readMigrations(new URL('../../migrations', import.meta.url).pathname).map(({ name }) => name);
    expect(names[0]).toBe('0001_registry.sql');
    const numbers = names.map((name) => Number(/^(\d{4})_[a-z_]+\.sql$/.exec(name)?.[1]));
    expect(numbers.every(Number.isInteger)).toBe(true);
    // A number may have been left out; none comes twice, whatever was developed side by side.
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});
