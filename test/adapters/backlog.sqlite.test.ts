import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSqliteBacklog } from '../../runtime-node/adapters/backlog/index.ts';
import { createDamages } from '../../runtime-node/damages.ts';
import type { NewEntry } from '../../shared/ports/backlog.ts';
import { backlogSuite } from '../conformance/backlog.suite.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { SPOILS, type Spoil } from '../support/spoil.ts';

const HERE = { component: 'storage', identity: 'https://one.example' } as const;
const clock = new SimulatedClock();
const entries = (count: number): NewEntry[] =>
  Array.from({ length: count }, (_, index) => ({ ...HERE, place: 'bucket', key: `key-${index}`, hash: 'aa'.repeat(32), size: index }));

backlogSuite('SQLite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-backlog-'));
  const backlog = createSqliteBacklog({ path: join(folder, 'backlog.sqlite'), clock, log: recordingLog() });
  return {
    backlog,
    dispose: async () => {
      await backlog.close();
      await rm(folder, { recursive: true });
    },
  };
});

describe('the file of the backlog', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-backlog-'));
    path = join(folder, 'backlog.sqlite');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('keeps order, ends and counts over a restart, for the owner alone', async () => {
    const first = createSqliteBacklog({ path, clock, log: recordingLog() });
    await first.add(entries(300));
    const before = await first.next(HERE, 1000);
    await first.settle(HERE, [{ number: before[0]?.number ?? 0, state: 'conflict', detail: 'taken' }]);
    await first.complete(HERE);
    await first.close();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const second = createSqliteBacklog({ path, clock, log: recordingLog() });
    expect(await second.next(HERE, 1000)).toEqual(before.slice(1));
    expect(await second.counts(HERE)).toEqual({ waiting: 299, forwarded: 0, conflicts: 1 });
    expect(await second.isComplete(HERE)).toBe(true);
    await second.close();
  });

  it('gives no number twice, also when the newest was replaced before a restart', async () => {
    const first = createSqliteBacklog({ path, clock, log: recordingLog() });
    await first.add(entries(2));
    const last = (await first.next(HERE, 2))[1]?.number ?? 0;
    await first.close();
    const second = createSqliteBacklog({ path, clock, log: recordingLog() });
    await second.add(entries(2));
    expect((await second.next(HERE, 2))[0]?.number).toBeGreaterThan(last);
    await second.close();
  });

  it('adds a batch whole or not at all', async () => {
    const backlog = createSqliteBacklog({ path, clock, log: recordingLog() });
    const bad = { ...HERE, place: 'bucket', key: 'bad', hash: 'aa', size: Number.NaN };
    await expect(backlog.add([...entries(255), bad])).rejects.toThrow();
    expect(await backlog.counts(HERE)).toMatchObject({ waiting: 0 });
    await backlog.add(entries(256));
    expect(await backlog.counts(HERE)).toMatchObject({ waiting: 256 });
    await backlog.close();
  });

  it('is used by one at a time, and says so', async () => {
    const backlog = createSqliteBacklog({ path, clock, log: recordingLog() });
    expect(() => createSqliteBacklog({ path, clock, log: recordingLog() })).toThrow(/used by another process/);
    await backlog.close();
    await expect(backlog.add(entries(1))).rejects.toThrow(/closed/);
    await expect(backlog.next(HERE, 1)).rejects.toThrow(/closed/);
  });

  it.each(Object.keys(SPOILS) as Spoil[])('that %s is set aside, told, and is complete for nobody', async (spoil) => {
    const log = recordingLog();
    const damages = createDamages({ clock, log });
    const open = () => createSqliteBacklog({ path, clock, log, set_aside: damages.setDataAside });
    const first = open();
    await first.add(entries(2000));
    await first.complete(HERE);
    await first.close();
    SPOILS[spoil](path);
    const second = open();
    expect(damages.list).toMatchObject([{ file: 'backlog.sqlite', kept_as: expect.stringMatching(/^backlog\.sqlite\.corrupt-/) }]);
    expect(log.lines.filter(({ level }) => level === 'warn')).toMatchObject([{ message: expect.stringContaining('is lost') }]);
    expect(await second.isComplete(HERE)).toBe(false);
    expect(await second.counts(HERE)).toEqual({ waiting: 0, forwarded: 0, conflicts: 0 });
    await second.add(entries(1));
    await second.close();
  });

  it('is complete for nobody when its write-ahead log was lost', async () => {
    const log = recordingLog();
    const open = () => createSqliteBacklog({ path, clock, log, set_aside: createDamages({ clock, log }).setDataAside });
    const first = open();
    await first.add(entries(10));
    await first.complete(HERE);
    await first.close();
    await writeFile(`${path}-wal`, 'garbage, '.repeat(2000));
    const second = open();
    expect(await second.counts(HERE)).toMatchObject({ waiting: 10 });
    expect(await second.isComplete(HERE)).toBe(false);
    await second.close();
  });

  it('that is damaged is not touched without set_aside', async () => {
    const first = createSqliteBacklog({ path, clock, log: recordingLog() });
    await first.add(entries(2000));
    await first.close();
    SPOILS['holds garbage'](path);
    expect(() => createSqliteBacklog({ path, clock, log: recordingLog() })).toThrow(/damaged or is no database/);
  });
});
