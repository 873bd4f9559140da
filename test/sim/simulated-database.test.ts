import { describe, expect, it } from 'vitest';
import { DatabaseFile, databaseOn } from './simulated-database.ts';

const insert = (seq: number) => ({
  sql: "insert into events (fleet, seq, type, site, at, dedupe, data) values ('f', ?, 't', 's', 0, ?, '{}')",
  params: [seq, `d${seq}`],
});

describe('a simulated disk', () => {
  it('keeps what was committed when its process dies, and nothing of a batch that failed', async () => {
    const file = DatabaseFile.migrated();
    const database = databaseOn(file, () => undefined);
    await database.batch([insert(1)]);
    await expect(database.batch([insert(2), insert(1)])).rejects.toMatchObject({ kind: 'constraint' });
    expect(file.read('select seq from events')).toEqual([{ seq: 1 }]);
  });

  it('writes nothing for a process that died while the disk was slow', async () => {
    const file = DatabaseFile.migrated();
    void databaseOn(file, () => new Promise(() => undefined)).batch([insert(1)]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(file.read('select seq from events')).toEqual([]);
  });

  it('is copied as it is', async () => {
    const file = DatabaseFile.migrated();
    await databaseOn(file, () => undefined).batch([insert(7)]);
    const copy = file.copy();
    await databaseOn(file, () => undefined).batch([insert(8)]);
    expect(copy.read('select seq from events')).toEqual([{ seq: 7 }]);
  });

  it('gives what is there now, also to a question that was asked before', async () => {
    const file = DatabaseFile.migrated();
    const database = databaseOn(file, () => undefined);
    const read = { sql: 'select seq from events where fleet = ? order by seq', params: ['f'] };
    const now = async () => (await database.batch([read]))[0];
    expect(await now()).toEqual([]);
    await database.batch([insert(1)]);
    expect(await now()).toEqual([{ seq: 1 }]);
    expect(await now()).toEqual([{ seq: 1 }]);
    // What a transaction has read of its own writes is gone with them.
    await expect(database.batch([insert(2), read, insert(1)])).rejects.toMatchObject({ kind: 'constraint' });
    expect(await now()).toEqual([{ seq: 1 }]);
    expect(await database.batch([insert(3), read])).toEqual([[], [{ seq: 1 }, { seq: 3 }]]);
    expect(file.read("select seq from events where fleet = 'f' order by seq")).toEqual([{ seq: 1 }, { seq: 3 }]);
  });

  it('asks the clock of its machine each time', async () => {
    const file = DatabaseFile.migrated();
    const time = { now: 5.5 };
    file.useClock({ now: () => time.now, monotonic: () => 0 });
    const ask = () => file.transact([{ sql: 'select bootplane_now() as now', params: [] }]);
    expect(ask()).toEqual([[{ now: 5 }]]);
    time.now = 7;
    expect(ask()).toEqual([[{ now: 7 }]]);
  });

  it('is empty and has its own time when it is new, whatever was closed before, and answers no more once it is closed', async () => {
    const before = DatabaseFile.migrated();
    before.useClock({ now: () => 1000, monotonic: () => 0 });
    await databaseOn(before, () => undefined).batch([insert(1)]);
    const read = 'select count(*) as events from events';
    expect(before.read(read)).toEqual([{ events: 1 }]);
    before.close();
    before.close();
    expect(() => before.read(read)).toThrow('the database is closed');
    const [one, other] = [DatabaseFile.migrated(), DatabaseFile.migrated()];
    await databaseOn(one, () => undefined).batch([insert(2)]);
    expect([one.read(read), other.read(read)]).toEqual([[{ events: 1 }], [{ events: 0 }]]);
    expect(other.transact([{ sql: 'select bootplane_now() as now', params: [] }])).toEqual([[{ now: 0 }]]);
  });
});
