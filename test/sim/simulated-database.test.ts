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
});
