import { existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { dropOldCopies, listCopies, moveAside } from '../../runtime-node/adapters/set-aside.ts';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import { createDamages, type Damages } from '../../runtime-node/damages.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { SPOILS, type Spoil } from '../support/spoil.ts';

let folder: string;
let damages: Damages;
let log: ReturnType<typeof recordingLog>;
const clock = new SimulatedClock();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bootplane-damage-'));
  log = recordingLog();
  damages = createDamages({ clock, log });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Opened {
  /** Writes something that can be found again. */
  fill(): Promise<void>;
  isFilled(): Promise<boolean>;
  close(): Promise<void>;
}

/** Each port of a node that keeps a database: what it is opened with, and the file that is spoiled. */
const KEEPERS: Readonly<Record<string, { file: string; open(): Promise<Opened> }>> = {
  'the database of the Supervisor': {
    file: 'supervisor.sqlite',
    async open() {
      const path = join(folder, 'supervisor.sqlite');
      const migrations = [{ name: '0001.sql', sql: 'create table facts (text text)' }];
      const database = openSqlite({ path, clock, migrations, set_aside: damages.setAside });
      const count = async () => (await database.batch([{ sql: 'select count(*) as n from facts', params: [] }]))[0]?.[0]?.n;
      return {
        fill: async () => {
          const add = { sql: 'insert into facts values (?)', params: ['x'.repeat(100)] };
          await database.batch(Array.from({ length: 200 }, () => add));
        },
        isFilled: async () => (await count()) === 200,
        close: () => database.close(),
      };
    },
  },
  'the bus': {
    file: 'bus.sqlite',
    async open() {
      const bus = createLocalBus({ path: join(folder, 'bus.sqlite'), clock, random: seededRandom(), log, set_aside: damages.setDataAside });
      const queue = (name: string) => ({ name, type: 'classic' as const, durable: true, arguments: {} });
      return {
        fill: async () => {
          for (let turn = 0; turn < 100; turn += 1) await bus.ensureQueue(queue(`queue-${'x'.repeat(100)}-${turn}`));
        },
        isFilled: async () => {
          const names = Array.from({ length: 100 }, (_, turn) => `queue-${'x'.repeat(100)}-${turn}`);
          return (await bus.readTopology({ exchanges: [], queues: names, bindings: [] })).queues.length === 100;
        },
        close: () => bus.close(),
      };
    },
  },
  'the vector index': {
    file: 'vector.sqlite',
    async open() {
      const index = createEmbeddedIndex({ path: join(folder, 'vector.sqlite'), log, set_aside: damages.setDataAside });
      const names = Array.from({ length: 100 }, (_, turn) => `Class${'x'.repeat(50)}${turn}`);
      return {
        fill: async () => {
          for (const name of names) await index.ensureClass({ name, properties: [] });
        },
        isFilled: async () => (await index.readClasses(names)).length === 100,
        close: () => index.close(),
      };
    },
  },
  'the storage': {
    file: 'storage/catalog.sqlite',
    async open() {
      const root = join(folder, 'storage');
      const storage = await createFsStorage({ root, clock, random: seededRandom(), log, set_aside: damages.setDataAside });
      const names = Array.from({ length: 100 }, (_, turn) => `bucket-${'x'.repeat(40)}-${turn}`);
      return {
        fill: async () => {
          for (const name of names) await storage.ensureBucket(name);
          await storage.put(names[0] ?? '', 'key', new Uint8Array(10));
        },
        isFilled: async () => (await storage.readBuckets(names)).length === 100,
        close: () => storage.close(),
      };
    },
  },
};

describe.each(Object.keys(KEEPERS))('%s', (name) => {
  const { file, open } = KEEPERS[name] ?? expect.fail();
  const top = file.split('/')[0] ?? file;

  it.each(Object.keys(SPOILS) as Spoil[])('that %s is set aside and made anew', async (spoil) => {
    const first = await open();
    await first.fill();
    await first.close();
    SPOILS[spoil](join(folder, file));
    const second = await open();
    expect(damages.list).toMatchObject([{ file: top, kept_as: expect.stringMatching(`^${top.replace('.', '\\.')}\\.corrupt-`) }]);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(existsSync(join(folder, damages.list[0]?.kept_as ?? ''))).toBe(true);
    expect(await second.isFilled()).toBe(false);
    await second.fill();
    await second.close();
    const third = await open();
    expect(await third.isFilled()).toBe(true);
    expect(damages.list).toHaveLength(1);
    await third.close();
  });

  it('that is whole is opened as it is, after a crash as well', async () => {
    const first = await open();
    await first.fill();
    await first.close();
    const second = await open();
    expect(await second.isFilled()).toBe(true);
    expect(damages.list).toEqual([]);
    await second.close();
  });

  it('whose write-ahead log is something else keeps what was written before it', async () => {
    const first = await open();
    await first.fill();
    await first.close();
    writeFileSync(join(folder, `${file}-wal`), 'garbage, '.repeat(2000));
    const second = await open();
    expect(await second.isFilled()).toBe(true);
    await second.close();
  });

  it('without set_aside is not touched', async () => {
    writeFileSync(join(folder, 'other.sqlite'), 'garbage, '.repeat(2000));
    expect(() => openSqlite({ path: join(folder, 'other.sqlite'), clock })).toThrow(/SQLITE_NOTADB/);
    expect(readdirSync(folder)).toEqual(['other.sqlite']);
  });
});

it('a database that is damaged while it is in use answers that once, and an empty one takes its place', async () => {
  const path = join(folder, 'supervisor.sqlite');
  const migrations = [{ name: '0001.sql', sql: 'create table facts (id integer primary key, text text)' }];
  const database = openSqlite({ path, clock, migrations, set_aside: damages.setAside });
  const add = (count: number) => {
    const sql = `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count}) insert into facts (text) select hex(randomblob(500)) from n`;
    return database.batch([{ sql, params: [] }]);
  };
  const read = () => database.batch([{ sql: 'select max(text) as text, count(*) as n from facts', params: [] }]);
  await add(5000);
  await database.batch([{ sql: 'pragma wal_checkpoint(truncate)', params: [] }]).catch(() => undefined);
  const other = new Sqlite(path);
  other.pragma('wal_checkpoint(truncate)');
  other.close();
  truncateSync(path, 4096 * 3);
  await expect(read()).rejects.toMatchObject({ kind: 'corrupt' });
  expect(damages.list).toMatchObject([{ file: 'supervisor.sqlite' }]);
  expect((await read())[0]).toMatchObject([{ n: 0 }]);
  await add(1);
  expect((await read())[0]).toMatchObject([{ n: 1 }]);
  await database.close();
});

it('keeps the first and the newest copies, and no more', () => {
  const path = join(folder, 'plan.json');
  for (let turn = 0; turn < 6; turn += 1) {
    writeFileSync(path, `${turn}`);
    moveAside(path, Date.UTC(2026, 0, 1 + turn));
    dropOldCopies(path);
  }
  expect(listCopies(folder).map((name) => name.slice(0, 28))).toEqual([
    'plan.json.corrupt-2026-01-01',
    'plan.json.corrupt-2026-01-05',
    'plan.json.corrupt-2026-01-06',
  ]);
});
