import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FetchError, fetchArtifact } from '../../../runtime-node/artifacts/fetch.ts';
import { Room } from '../../../runtime-node/artifacts/room.ts';
import type { ProvedSource } from '../../../shared/discovery/types.ts';
import { sha256 } from '../../support/archives.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { absent, type Behave, head, honest, type SourceServer, startSource } from './source-server.ts';

const bytes = crypto.getRandomValues(new Uint8Array(60_000));
const wrong = crypto.getRandomValues(new Uint8Array(60_000));
const wanted = sha256(bytes);

let home: string;
let servers: SourceServer[];
/** What the disk says of itself; undefined: nothing. */
let disk: { free: number; size: number } | undefined;
beforeEach(async () => {
  disk = undefined;
  home = await mkdtemp(join(tmpdir(), 'fetch-'));
  servers = [];
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await rm(home, { recursive: true });
});

async function source(behave: Behave = honest, content = bytes): Promise<SourceServer> {
  const server = await startSource(content, behave);
  servers.push(server);
  return server;
}

interface Run {
  readonly done: Promise<unknown>;
  readonly notes: string[];
  readonly abort: AbortController;
  readonly path: string;
}

/** Time passes while the fetch is under way, faster than on a clock. */
function run(sources: readonly ProvedSource[] | (() => readonly ProvedSource[]), isThere = async () => false): Run {
  const clock = new SimulatedClock();
  const room = new Room(home, async () => disk);
  const [notes, abort, path] = [[] as string[], new AbortController(), join(home, 'partial')];
  const work = fetchArtifact(
    {
      clock,
      random: seededRandom(),
      sources: async function* () {
        yield* typeof sources === 'function' ? sources() : sources;
      },
    },
    {
      sha256: wanted,
      path,
      isThere,
      room,
      need: (total, here) => room.need(2 * total - here),
      note: (words) => notes.push(words),
      signal: abort.signal,
      accept: async (complete) => (sha256(await readFile(complete)) === wanted ? 'taken' : 'mismatch'),
    },
  );
  let over = false;
  const done = work.finally(() => {
    over = true;
  });
  done.catch(() => undefined);
  void (async () => {
    for (; !over; await pause(5)) await clock.advance(50);
  })();
  return { done, notes, abort, path };
}

/** How often each byte was sent, over all sources: true when none was twice. */
function noByteTwice(...all: readonly SourceServer[]): boolean {
  const times = new Uint8Array(bytes.length);
  for (const { start, length } of all.flatMap(({ given }) => given))
    for (let at = start; at < start + length; at += 1) times[at] = (times[at] ?? 0) + 1;
  return times.every((count) => count === 1);
}

/** Breaks the connection after so many bytes. Those that are sent before have arrived. */
const breaksAfter =
  (count: number): Behave =>
  async ({ bytes: all, start, response, write }) => {
    head({ bytes: all, start, response });
    await write(start, Math.min(all.length, start + count));
    setTimeout(() => response.destroy(), 50);
  };

describe('fetching an artifact', () => {
  test('comes whole from the first that has it', async () => {
    const [empty, full] = [await source(absent), await source()];
    const { done, path, notes } = run([empty, full]);
    await done;
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    expect(noByteTwice(full)).toBe(true);
    expect(notes.at(-1)).toBe('0.1 of 0.1 MB');
  });

  test('a connection that breaks goes on where it broke, at another source or the same, and no byte comes twice', async () => {
    const dying = await source(breaksAfter(20_000));
    const other = await source(breaksAfter(10_000));
    const { done, path } = run([dying, other]);
    await done;
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    expect(noByteTwice(dying, other)).toBe(true);
    expect(other.requests[0]?.headers).toMatchObject({ range: 'bytes=20000-', 'if-range': `"${wanted}"` });
  });

  test('what an earlier start left is not fetched again', async () => {
    await writeFile(join(home, 'partial'), bytes.subarray(0, 45_000));
    const server = await source();
    const { done, path } = run([server]);
    await done;
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    expect(server.given.reduce((sum, { length }) => sum + length, 0)).toBe(15_000);
  });

  test('one that was complete already is taken without a byte', async () => {
    await writeFile(join(home, 'partial'), bytes);
    const server = await source();
    await run([server]).done;
    expect(server.given).toEqual([]);
  });

  test('a leftover with wrong bytes is thrown away and everything fetched', async () => {
    await writeFile(join(home, 'partial'), wrong.subarray(0, 100));
    const { done, path } = run([await source()]);
    await done;
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
  });

  test('a source that lies is not believed and not asked again; an honest one is', async () => {
    const [liar, good] = [await source(honest, wrong), await source()];
    const { done, path } = run([liar, good]);
    await done;
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    expect(liar.requests).toHaveLength(1);
  });

  test('a source that promises more than an artifact may have is refused before a byte of it is kept', async () => {
    await writeFile(join(home, 'partial'), bytes.subarray(0, 10));
    const flood =
      (status: number, headers: Record<string, string>): Behave =>
      async ({ response, write }) => {
        response.writeHead(status, headers);
        await write(0, 60_000);
        response.end();
      };
    const [endless, long] = await Promise.all([
      source(flood(206, { 'content-range': 'bytes 10-999999999999/1000000000000' })),
      source(flood(200, { 'content-length': '1000000000000' })),
    ]);
    const { done, path, notes } = run([endless, long]);
    await expect(done).rejects.toThrow('1000000000000 bytes');
    expect((await stat(path)).size).toBe(10);
    expect(notes.join()).not.toContain('MB of');
  });

  test('a source that ignores the range: what is here already is skipped', async () => {
    await writeFile(join(home, 'partial'), bytes.subarray(0, 30_000));
    const ignores = await source((given) => honest({ ...given, start: 0 }));
    const { done, path } = run([ignores]);
    await done;
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
  });

  test.each<[string, Behave]>([
    [
      'says a longer length than it gives',
      async ({ bytes: all, response, write }) => {
        response.writeHead(200, { 'content-length': all.length });
        await write(0, 100);
        response.destroy();
      },
    ],
    [
      'gives another range',
      ({ bytes: all, response }) => void response.writeHead(206, { 'content-range': `bytes 5-9/${all.length}` }).end('12345'),
    ],
    ['redirects elsewhere', ({ response }) => void response.writeHead(302, { location: 'http://192.0.2.1/' }).end()],
    ['is broken inside', ({ response }) => void response.writeHead(500).end('oh')],
    ['ends the connection', ({ response }) => void response.destroy()],
    ['ends too early without a length', ({ response }) => void response.writeHead(200, { 'transfer-encoding': 'chunked' }).end('short')],
    ['never answers', () => undefined],
    [
      'stops in the middle and says nothing more',
      async ({ bytes: all, start, response, write }) => {
        head({ bytes: all, start, response });
        await write(start, start + 1000);
      },
    ],
    ['says that it has fewer bytes', ({ response }) => void response.writeHead(416, { 'content-range': 'bytes */3' }).end()],
  ])('a source that %s costs nothing but time', async (_, behave) => {
    const bad = await source(behave);
    const { done, path } = run([bad, await source()]);
    await done;
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
  });

  test('an artifact that is pushed only later is waited for', async () => {
    const server = await source(absent);
    const { done, path } = run([server]);
    await pause(100);
    server.behave = honest;
    await done;
    expect((await stat(path)).size).toBe(60_000);
  });

  test('one that comes another way meanwhile is not fetched', async () => {
    let there = false;
    const { done } = run([await source(absent)], async () => there);
    there = true;
    await done;
  });

  test('after a while without a byte it says who was asked and what came of it', async () => {
    const server = await source(absent);
    const { done } = run([server]);
    await expect(done).rejects.toThrow(FetchError);
    await expect(done).rejects.toThrow(`${server.url}: it does not have it`);
    await expect(run([]).done).rejects.toThrow('no node that has proved itself could be asked');
  });

  test('an abort ends it at once and keeps what has come', async () => {
    const slow = await source(async ({ bytes: all, start, response, write }) => {
      head({ bytes: all, start, response });
      await write(start, start + 5000);
    });
    const { done, abort, path, notes } = run([slow]);
    while (notes.length === 0) await pause(5);
    abort.abort(new Error('the node stops'));
    await expect(done).rejects.toThrow('the node stops');
    expect((await stat(path)).size).toBeGreaterThan(0);
  });
});

describe('a disk without room for it', () => {
  const MIB = 1024 ** 2;
  const full = { free: 16 * MIB + 2 * bytes.length - 1, size: 40 * MIB };

  test('is asked before a byte is written, what had come is given up, and the fetch says how much is free and goes on when there is room', async () => {
    const server = await source();
    const path = join(home, 'partial');
    await writeFile(path, bytes.subarray(0, 1));
    disk = { ...full, free: full.free - 1 };
    const { done, notes } = run([server]);
    while (notes.length === 0) await pause(5);
    expect(notes[0]).toMatch(
      /: it needs 0\.1 MB, and 16\.9 MB are free in .*, of which 16\.8 MB are left to the node; free some space there$/,
    );
    expect((await stat(path)).size).toBe(0);
    disk = { ...full, free: full.free + 1 };
    await done;
    expect(await readFile(path)).toEqual(Buffer.from(bytes));
  });

  test('ends what came without its size, and nothing of it stays', async () => {
    const server = await source(async ({ response, write }) => {
      response.writeHead(200);
      await write(0, bytes.length);
      response.end();
    });
    disk = { free: 16 * MIB + 1, size: 40 * MIB };
    const { done, path } = run([server]);
    await expect(done).rejects.toThrow(/it needs more than the 0\.0 MB that came/);
    expect((await stat(path)).size).toBe(0);
  });

  test('is no reason not to take it from another source that names its true size', async () => {
    const boaster = await source(async ({ response }) => void response.writeHead(200, { 'content-length': 500 * MIB }).write('x'));
    disk = { ...full, free: full.free + 1 };
    const { done } = run([boaster, await source()]);
    await done;
  });
});
