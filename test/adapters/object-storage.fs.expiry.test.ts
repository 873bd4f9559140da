import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { LogLine } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { bodyFiles, openFs, temporaryRoot } from './object-storage.fs.support.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

describe('lifecycle expiry on the file system', () => {
  const root = temporaryRoot();
  let clock: SimulatedClock;
  let lines: LogLine[];
  let storage: FsStorage;

  beforeEach(async () => {
    clock = new SimulatedClock();
    lines = [];
    storage = await openFs(root.path, { clock, lines });
    await storage.ensureBucket('bucket');
  });
  afterEach(() => storage.close());

  const put = (key: string) => storage.put('bucket', key, new TextEncoder().encode(key));
  const keys = async () => (await storage.list('bucket')).objects.map(({ key }) => key);
  const expireAfter = (prefix: string, expire_days: number, id = `${prefix}${expire_days}`) =>
    storage.ensureLifecycle('bucket', [{ id, prefix, expire_days }]);

  test('takes objects of the prefix when their days are over, and their bodies with them', async () => {
    await expireAfter('tmp/', 2);
    for (const key of ['tmp/a', 'tmp/b', 'keep', 'tmq']) await put(key);
    await clock.advance(2 * DAY_MS - 1);
    await put('tmp/new');
    expect(await storage.expire()).toBe(0);
    await clock.advance(1);
    expect(await storage.expire()).toBe(2);
    expect(await keys()).toEqual(['keep', 'tmp/new', 'tmq']);
    expect(await bodyFiles(root.path)).toHaveLength(3);
    expect(await storage.expire()).toBe(0);
  });

  test('an overwrite starts the age again', async () => {
    await expireAfter('', 1);
    await put('key');
    await clock.advance(DAY_MS - HOUR_MS);
    await put('key');
    await clock.advance(2 * HOUR_MS);
    expect(await storage.expire()).toBe(0);
    await clock.advance(DAY_MS);
    expect(await storage.expire()).toBe(1);
  });

  test('each rule counts for itself', async () => {
    await expireAfter('a/', 1);
    await expireAfter('', 3);
    for (const key of ['a/1', 'b/1']) await put(key);
    await clock.advance(DAY_MS);
    await storage.expire();
    expect(await keys()).toEqual(['b/1']);
    await clock.advance(2 * DAY_MS);
    await storage.expire();
    expect(await keys()).toEqual([]);
  });

  test('takes more than one transaction holds', async () => {
    await expireAfter('', 1);
    await Promise.all(Array.from({ length: 450 }, (_, index) => put(`key-${index}`)));
    await clock.advance(DAY_MS);
    expect(await storage.expire()).toBe(450);
    expect(await keys()).toEqual([]);
  });

  test('a versioned bucket gets a delete marker and keeps the version', async () => {
    await storage.ensureVersioning('bucket', true);
    await expireAfter('', 1);
    const { version_id } = await put('key');
    await clock.advance(DAY_MS);
    expect(await storage.expire()).toBe(1);
    expect(await keys()).toEqual([]);
    expect(await storage.listVersions('bucket')).toMatchObject([
      { delete_marker: true, latest: true },
      { version_id, delete_marker: false, latest: false },
    ]);
    await clock.advance(10 * DAY_MS);
    expect(await storage.expire()).toBe(0);
    expect(await storage.listVersions('bucket')).toHaveLength(2);
    expect((await storage.get('bucket', 'key', { version_id })).info.size).toBe(3);
  });

  test('a suspended bucket loses the unversioned object behind a marker', async () => {
    await storage.ensureVersioning('bucket', true);
    const kept = await put('key');
    await storage.ensureVersioning('bucket', false);
    await put('key');
    await expireAfter('', 1);
    await clock.advance(DAY_MS);
    expect(await storage.expire()).toBe(1);
    const versions = await storage.listVersions('bucket');
    expect(versions.map(({ version_id, delete_marker }) => [version_id, delete_marker])).toEqual([
      ['null', true],
      [kept.version_id, false],
    ]);
  });

  test('nothing expires after a jump forward that is not trusted, which is said once', async () => {
    await expireAfter('', 1);
    await put('key');
    clock.jump(clock.now() + 400 * DAY_MS, false);
    for (let time = 0; time < 3; time += 1) expect(await storage.expire()).toBe(0);
    expect(await keys()).toEqual(['key']);
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    clock.jump(Date.UTC(2026, 0, 1, 1), true);
    expect(await storage.expire()).toBe(0);
    expect(await keys()).toEqual(['key']);
  });

  test('what was written in 1970 begins to age when the clock is trusted', async () => {
    await expireAfter('', 1);
    clock.jump(0, false);
    await put('key');
    expect(await storage.expire()).toBe(0);
    clock.jump(Date.UTC(2026, 5, 1), true);
    expect(await storage.expire()).toBe(0);
    expect(await keys()).toEqual(['key']);
    await clock.advance(DAY_MS - 1);
    expect(await storage.expire()).toBe(0);
    await clock.advance(1);
    expect(await storage.expire()).toBe(1);
  });

  test('what was written under a clock far ahead expires in its days all the same', async () => {
    await expireAfter('', 1);
    clock.jump(Date.UTC(2080, 0, 1), false);
    await put('key');
    clock.jump(Date.UTC(2026, 5, 1), true);
    expect(await storage.expire()).toBe(0);
    await clock.advance(DAY_MS);
    expect(await storage.expire()).toBe(1);
  });

  test('a clock that loses trust in the middle stops the expiry there', async () => {
    await expireAfter('a', 1);
    await expireAfter('b', 1);
    for (const key of ['a', 'b']) await put(key);
    await clock.advance(DAY_MS);
    let asked = 0;
    const trusted = () => {
      asked += 1;
      return asked < 3;
    };
    const doubting: Clock = { now: () => clock.now(), monotonic: () => clock.monotonic(), sleep: (...one) => clock.sleep(...one), trusted };
    await storage.close();
    storage = await openFs(root.path, { clock: doubting, lines });
    expect(await storage.expire()).toBe(1);
    expect(await keys()).toEqual(['b']);
  });

  test('run expires from time to time until its signal aborts', async () => {
    await expireAfter('', 1);
    await put('key');
    const stop = new AbortController();
    const running = storage.run(stop.signal);
    // The sweep and the unlinks are real I/O, which the simulated clock does not wait for.
    const asleep = () => vi.waitUntil(() => clock.sleeping === 1, { timeout: 120_000 });
    await asleep();
    await clock.advance(DAY_MS - HOUR_MS);
    await asleep();
    expect(await keys()).toEqual(['key']);
    await clock.advance(2 * HOUR_MS);
    await asleep();
    expect(await keys()).toEqual([]);
    expect(lines).toContainEqual(
      expect.objectContaining({ message: 'storage expired objects', fields: { bucket: 'bucket', rule: '1', objects: 1 } }),
    );
    stop.abort();
    await running;
    expect(clock.sleeping).toBe(0);
  });

  test('run goes on after a failure and says what failed', async () => {
    await storage.close();
    const stop = new AbortController();
    const running = storage.run(stop.signal);
    await clock.advance(HOUR_MS);
    expect(lines.filter(({ message }) => message.includes('expiry failed')).length).toBeGreaterThan(1);
    stop.abort();
    await running;
  });
});
