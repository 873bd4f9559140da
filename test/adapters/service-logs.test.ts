import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { followLog, tailLog } from '../../runtime-node/adapters/service-log-reader.ts';
import { createServiceLogs } from '../../runtime-node/adapters/service-logs.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

/** What a service does between the copy and the rest of a rotation. */
const copying = vi.hoisted(() => ({ after: (): void => undefined }));
vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof import('node:fs/promises')>();
  const copyFile: typeof real.copyFile = async (...files) => {
    await real.copyFile(...files);
    copying.after();
  };
  return { ...real, copyFile };
});

let folder: string;
let clock: SimulatedClock;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bootplane-logs-'));
  clock = new SimulatedClock();
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (changes: object = {}) => createServiceLogs({ folder, clock, log: recordingLog(), max_bytes: 100, keep: 3, ...changes });
const file = (suffix = '') => join(folder, `api.log${suffix}`);
const content = (suffix = '') => (existsSync(file(suffix)) ? readFileSync(file(suffix), 'utf8') : undefined);
const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `line ${from + index}`);
const text = (from: number, to: number) =>
  lines(from, to)
    .map((line) => `${line}\n`)
    .join('');

async function collect(source: AsyncIterable<string>): Promise<string[]> {
  const all = [];
  for await (const line of source) all.push(line);
  return all;
}

describe('rotation', () => {
  test('copies and truncates what is too large; the service goes on writing to the same file', async () => {
    const logs = open();
    const descriptor = logs.openForAppend('api');
    writeSync(descriptor, text(0, 20));
    expect(await logs.rotate()).toEqual(['api']);
    writeSync(descriptor, 'after\n');
    closeSync(descriptor);
    expect(content('.1')).toBe(text(0, 20));
    expect(content()).toBe('after\n');
    expect(await logs.rotate()).toEqual([]);
  });

  test('keeps so many files and no more', async () => {
    const logs = open({ keep: 2 });
    for (const word of ['a', 'b', 'c', 'd']) {
      writeFileSync(file(), word.repeat(101));
      await logs.rotate();
    }
    expect([content('.1'), content('.2'), content('.3')].map((one) => one?.[0])).toEqual(['d', 'c', undefined]);
  });

  test('runs on a timer until it is told to end', async () => {
    const logs = open({ check_ms: 1_000 });
    const ending = new AbortController();
    const running = logs.run(ending.signal);
    await clock.advance(10);
    writeFileSync(file(), 'x'.repeat(101));
    await clock.advance(1_500);
    for (let round = 0; round < 100 && content('.1') === undefined; round += 1) await clock.advance(1);
    expect(statSync(file()).size).toBe(0);
    ending.abort();
    await running;
  });

  test('a crash after the copy and before the truncation loses and doubles nothing', async () => {
    writeFileSync(file(), text(0, 30));
    writeFileSync(file('.rotating'), text(0, 20));
    open();
    expect(existsSync(file('.rotating'))).toBe(false);
    expect(await collect(tailLog(file(), { lines: 99 }))).toEqual(lines(0, 30));
  });

  test('a crash after the truncation keeps the copy', async () => {
    writeFileSync(file(), text(20, 22));
    writeFileSync(file('.rotating'), text(0, 20));
    writeFileSync(file('.1'), 'older\n');
    open();
    expect(await collect(tailLog(file(), { lines: 99 }))).toEqual(['older', ...lines(0, 22)]);
  });

  test('what a crash left and nobody can read is told and set aside: neither the start nor the readers wait for it', async () => {
    const log = recordingLog();
    // A folder in the place of the copy stands for a file that can't be read: root could read any.
    mkdirSync(file('.rotating'));
    writeFileSync(file(), text(0, 20));
    writeFileSync(join(folder, 'web.log.rotating'), 'whole\n');
    const logs = open({ log });
    expect(log.lines).toMatchObject([{ level: 'error', message: expect.stringContaining('api.log.rotating') }]);
    expect([existsSync(file('.rotating')), existsSync(file('.rotating.unreadable'))]).toEqual([false, true]);
    expect(readFileSync(join(folder, 'web.log.1'), 'utf8')).toBe('whole\n');
    expect(await logs.rotate()).toEqual(['api']);
    expect(content('.1')).toBe(text(0, 20));
  });

  test('a folder that is gone is told, not thrown', async () => {
    const log = recordingLog();
    const logs = open({ log, folder: join(folder, 'gone') });
    rmSync(join(folder, 'gone'), { recursive: true });
    expect(await logs.rotate()).toEqual([]);
    expect(log.lines[0]).toMatchObject({ level: 'error', message: expect.stringContaining('gone') });
  });

  test('a service that writes faster than can be copied does not hold up the node, and what is lost is told', async () => {
    const log = recordingLog();
    const logs = open({ log });
    const MIB = 1024 * 1024;
    writeFileSync(file(), 'x'.repeat(101));
    copying.after = () => appendFileSync(file(), 'y'.repeat(20 * MIB));
    await logs.rotate();
    copying.after = () => undefined;
    expect(statSync(file('.1')).size).toBe(101 + 8 * MIB);
    expect(statSync(file()).size).toBe(0);
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { dropped_bytes: 12 * MIB } }]);
  });

  test('when no copy can be made the bound still holds, and the loss is told', async () => {
    const log = recordingLog();
    const logs = open({ log });
    writeFileSync(file(), 'x'.repeat(101));
    // A folder in the place of the copy stands for a disk that refuses it.
    mkdirSync(file('.rotating'));
    await logs.rotate();
    expect(statSync(file()).size).toBe(0);
    expect(log.lines[0]).toMatchObject({ level: 'error', message: expect.stringContaining('101 bytes') });
  });
});

describe('tail', () => {
  test('gives nothing for a service that never wrote', async () => {
    expect(await collect(tailLog(file()))).toEqual([]);
  });

  test('reaches back into rotated files, also in the middle of a line and a character', async () => {
    const bytes = Buffer.from('one\ntwö\nthree\nfour');
    writeFileSync(file('.2'), bytes.subarray(0, 7));
    writeFileSync(file('.1'), bytes.subarray(7, 12));
    writeFileSync(file(), bytes.subarray(12));
    for (const [count, expected] of [
      [1, ['four']],
      [3, ['twö', 'three', 'four']],
      [9, ['one', 'twö', 'three', 'four']],
    ] as const) {
      expect(await collect(tailLog(file(), { lines: count }))).toEqual(expected);
    }
  });

  test('gives the last lines, however the bytes lie in the files', async () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 40 }).map((one) => one.replaceAll(/[\r\n]/g, ' '));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 20 }), fc.nat(25), fc.nat(400), fc.boolean(), async (all, count, cut, ended) => {
        const bytes = Buffer.from(all.join('\n') + (ended && all.length > 0 ? '\n' : ''));
        writeFileSync(file('.1'), bytes.subarray(0, cut));
        writeFileSync(file(), bytes.subarray(cut));
        const given = ended || all.at(-1) !== '' ? all : all.slice(0, -1);
        expect(await collect(tailLog(file(), { lines: count }))).toEqual(count === 0 ? [] : given.slice(-count));
      }),
      { numRuns: 150 },
    );
  });

  test('reads a large file from its end', async () => {
    writeFileSync(file(), text(0, 50_000));
    expect(await collect(tailLog(file(), { lines: 12_000 }))).toEqual(lines(38_000, 50_000));
  });
});

describe('follow', () => {
  async function following(use: (follow: { seen: string[]; pass: (until: number) => Promise<void> }) => Promise<void>, options = {}) {
    const ending = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const line of followLog(file(), { clock, signal: ending.signal, ...options })) seen.push(line);
    })();
    const pass = async (until: number) => {
      // Simulated time for the waits, real turns for the disk.
      for (let round = 0; round < 2_000 && seen.length < until; round += 1) {
        await clock.advance(100);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await clock.advance(1_000);
    };
    await pass(0);
    await use({ seen, pass });
    ending.abort();
    await reading;
  }

  test('begins with the last lines and goes on with the new ones, whole lines only', async () => {
    writeFileSync(file(), text(0, 5));
    await following(
      async ({ seen, pass }) => {
        appendFileSync(file(), 'line 5\nli');
        await pass(3);
        expect(seen).toEqual(lines(3, 6));
        appendFileSync(file(), 'ne 6\n');
        await pass(4);
        expect(seen).toEqual(lines(3, 7));
      },
      { lines: 2 },
    );
  });

  test('waits for a service that has not written yet', async () => {
    await following(async ({ seen, pass }) => {
      appendFileSync(file(), text(0, 1));
      await pass(1);
      expect(seen).toEqual(['line 0']);
    });
  });

  test('loses and doubles nothing over rotations, also several between two looks', async () => {
    const logs = open({ keep: 5 });
    await following(async ({ seen, pass }) => {
      appendFileSync(file(), text(0, 30));
      await pass(30);
      appendFileSync(file(), text(30, 40));
      await logs.rotate();
      appendFileSync(file(), text(40, 80));
      await pass(80);
      expect(seen).toEqual(lines(0, 80));
      for (let at = 80; at < 140; at += 20) {
        appendFileSync(file(), text(at, at + 20));
        await logs.rotate();
      }
      appendFileSync(file(), text(140, 150));
      await pass(150);
      expect(seen).toEqual(lines(0, 150));
    });
  });

  test('loses and doubles nothing when it reads while the file is rotated', async () => {
    const logs = open({ keep: 100, max_bytes: 1 });
    const ending = new AbortController();
    const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
    const seen: string[] = [];
    const reading = (async () => {
      for await (const line of followLog(file(), { clock: Object.assign(new SimulatedClock(), { sleep: turn }), signal: ending.signal }))
        seen.push(line);
    })();
    await turn();
    for (let at = 0; at < 900; at += 10) {
      appendFileSync(file(), text(at, at + 5));
      if (at % 30 === 0) await turn();
      const rotated = logs.rotate();
      if (at % 20 === 0) await turn();
      await rotated;
      appendFileSync(file(), text(at + 5, at + 10));
    }
    for (let round = 0; round < 2_000 && seen.length < 900; round += 1) await new Promise((resolve) => setTimeout(resolve, 2));
    ending.abort();
    await reading;
    expect(seen).toEqual(lines(0, 900));
  });

  test('reads a large rotated file in pieces', async () => {
    const logs = open();
    await following(async ({ seen, pass }) => {
      appendFileSync(file(), text(0, 50_000));
      await logs.rotate();
      const allocated = vi.spyOn(Buffer, 'alloc');
      await pass(50_000);
      const largest = Math.max(...allocated.mock.calls.map(([size]) => size));
      allocated.mockRestore();
      expect(seen).toEqual(lines(0, 50_000));
      expect(largest).toBeLessThanOrEqual(64 * 1024);
    });
  });

  test('waits while a rotation is under way', async () => {
    await following(async ({ seen, pass }) => {
      writeFileSync(file('.rotating'), '');
      appendFileSync(file(), text(0, 1));
      await pass(0);
      expect(seen).toEqual([]);
      rmSync(file('.rotating'));
      await pass(1);
      expect(seen).toEqual(['line 0']);
    });
  });

  test('begins anew when somebody truncates the file', async () => {
    writeFileSync(file(), text(0, 5));
    await following(async ({ seen, pass }) => {
      writeFileSync(file(), '');
      await pass(0);
      appendFileSync(file(), 'new\n');
      await pass(1);
      expect(seen).toEqual(['new']);
    });
  });

  test('gives an unfinished last line when it ends', async () => {
    const ending = new AbortController();
    writeFileSync(file(), 'no newline');
    const reading = collect(followLog(file(), { clock, signal: ending.signal, lines: 1 }));
    await clock.advance(1_000);
    ending.abort();
    expect(await reading).toEqual(['no newline']);
  });
});
