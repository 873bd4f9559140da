import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createServiceArtifacts, type ServiceArtifacts } from '../../../runtime-node/artifacts/service-artifacts.ts';
import { PlannedService } from '../../../shared/contract/plan.ts';
import type { ProvedSource } from '../../../shared/discovery/types.ts';
import type { ArtifactStore } from '../../../shared/ports/artifact-store.ts';
import { ProcessError } from '../../../shared/ports/process-host.ts';
import { sha256, tgzOf } from '../../support/archives.ts';
import { memoryArtifactStore } from '../../support/memory-artifact-store.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { absent, type Behave, honest, type SourceServer, startSource } from './source-server.ts';

interface World {
  readonly artifacts: ServiceArtifacts;
  /** This node's own. */
  readonly store: ArtifactStore;
  sources: ProvedSource[];
  running: { name: string; version: string }[];
  planned: PlannedService[] | undefined;
  /** Another life of the same node: what is in memory is gone. */
  restart(stored_in?: string): ServiceArtifacts;
  /** What disks say of themselves, by a folder on them. */
  disks: Map<string, { free: number; size: number }>;
  log: ReturnType<typeof recordingLog>;
}

let home: string;
let servers: SourceServer[];
let world: World;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'service-artifacts-'));
  servers = [];
  const [store, files, clock, random, log] = [
    memoryArtifactStore(),
    memoryStateFiles(),
    new SimulatedClock(),
    seededRandom(),
    recordingLog(),
  ];
  const make = (stored_in?: string) =>
    createServiceArtifacts({
      openFolder: async () => home,
      store,
      ...(stored_in === undefined ? {} : { stored_in }),
      disk: async (folder) => world.disks.get(folder),
      files,
      clock,
      random,
      log,
      sources: async function* () {
        yield* world.sources;
      },
      running: async () => world.running,
      planned: () => world.planned,
    });
  world = { artifacts: make(), store, sources: [], running: [], planned: [], restart: make, disks: new Map(), log };
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await rm(home, { recursive: true });
});

const archive = (version: string) => tgzOf([{ name: 'version.txt', body: version }]);
const never = new AbortController().signal;

async function serve(bytes: Uint8Array, behave: Behave = honest): Promise<SourceServer> {
  const server = await startSource(bytes, behave);
  servers.push(server);
  return server;
}

function service(version: string, bytes: Uint8Array, path = 'site.tar.gz', name = 'site'): PlannedService {
  return PlannedService.parse({ name, version, command: ['./run'], artifact: { sha256: sha256(bytes), path } });
}

/** Gets a version from the network, as a node that runs it does. */
async function bring(version: string): Promise<{ bytes: Buffer; cwd: string; planned: PlannedService }> {
  const bytes = await archive(version);
  const planned = service(version, bytes);
  const server = await serve(bytes);
  world.sources = [server];
  world.planned = [planned];
  const { cwd = '' } = await world.artifacts.prepare(planned, never);
  world.running = [{ name: 'site', version }];
  world.sources = [];
  return { bytes, cwd, planned };
}

const folders = async () => (await readdir(home)).filter((name) => /^[0-9a-f]{64}$/.test(name));

describe('the artifact of a service', () => {
  test('is fetched once, unpacked, and given to others from the own store', async () => {
    const { bytes, cwd, planned } = await bring('1');
    expect(cwd).toBe(join(home, sha256(bytes)));
    expect(await readFile(join(cwd, 'version.txt'), 'utf8')).toBe('1');
    expect(await world.store.head(sha256(bytes))).toMatchObject({ size: bytes.length });
    expect(await world.artifacts.prepare(planned, never)).toEqual({ cwd });
    expect(await readdir(join(home, 'partial'))).toEqual([]);
  });

  test('that was pushed to this very node needs nobody', async () => {
    const bytes = await archive('1');
    await world.artifacts.store.put(sha256(bytes), new Blob([new Uint8Array(bytes)]).stream());
    expect(await world.artifacts.prepare(service('1', bytes), never)).toEqual({ cwd: join(home, sha256(bytes)) });
  });

  test('of several that wait for it comes once; who stops waiting does not end it for the others', async () => {
    const bytes = await archive('1');
    const server = await serve(bytes, async (given) => {
      await pause(100);
      await honest(given);
    });
    world.sources = [server];
    const leaving = new AbortController();
    const left = world.artifacts.prepare(service('1', bytes), leaving.signal);
    const others = [1, 2, 3].map((number) => world.artifacts.prepare(service('1', bytes, 'site.tar.gz', `site-${number}`), never));
    await pause(30);
    leaving.abort(new Error('not wanted any more'));
    await expect(left).rejects.toThrow('not wanted any more');
    for (const { cwd } of await Promise.all(others)) expect(cwd).toBe(join(home, sha256(bytes)));
    expect(server.requests).toHaveLength(1);
  });

  test('that two services know by two names comes once', async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(50_000));
    const server = await serve(bytes, async (given) => {
      await pause(50);
      await honest(given);
    });
    world.sources = [server];
    world.planned = [service('1', bytes, 'server', 'api'), service('1', bytes, 'worker', 'jobs')];
    const folders = await Promise.all(world.planned.map((planned) => world.artifacts.prepare(planned, never)));
    for (const [index, name] of ['server', 'worker'].entries()) {
      expect(new Uint8Array(await readFile(join(folders[index]?.cwd ?? '', name)))).toEqual(bytes);
    }
    expect(server.requests).toHaveLength(1);
  });

  test('is not fetched any more when nobody waits; the next one goes on from there', async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(50_000));
    const server = await serve(bytes, async ({ response, write }) => {
      response.writeHead(200, { 'content-length': 50_000 });
      await write(0, 20_000);
    });
    world.sources = [server];
    const leaving = new AbortController();
    const notes: string[] = [];
    const left = world.artifacts.prepare(service('1', bytes, 'tool'), leaving.signal, (words) => notes.push(words));
    left.catch(() => undefined);
    while (!notes.some((note) => note.startsWith('fetching its artifact: 0.0 of 0.1'))) await pause(5);
    await pause(50);
    leaving.abort(new Error('superseded'));
    await expect(left).rejects.toThrow('superseded');
    server.behave = honest;
    const { cwd = '' } = await world.artifacts.prepare(service('1', bytes, 'tool'), never);
    expect(new Uint8Array(await readFile(join(cwd, 'tool')))).toEqual(bytes);
    expect(server.requests[1]?.headers.range).toBe('bytes=20000-');
  });

  test('at most two are fetched at a time', async () => {
    let now = 0;
    let most = 0;
    const all = await Promise.all([1, 2, 3, 4, 5].map((number) => archive(String(number))));
    const gates = await Promise.all(
      all.map((bytes) =>
        serve(bytes, async (given) => {
          now += 1;
          most = Math.max(most, now);
          await pause(50);
          now -= 1;
          await honest(given);
        }),
      ),
    );
    const byHash = new Map(all.map((bytes, index) => [sha256(bytes), gates[index]]));
    world.sources = [
      {
        url: 'http://all.test',
        fetch: (request) => {
          const { pathname } = new URL(request.url);
          return fetch(new URL(pathname, byHash.get(pathname.slice(-64))?.url));
        },
      },
    ];
    world.planned = all.map((bytes, index) => service('1', bytes, 'site.tar.gz', `site-${index}`));
    await Promise.all(world.planned.map((planned) => world.artifacts.prepare(planned, never)));
    expect(most).toBe(2);
    expect(await folders()).toHaveLength(5);
  });

  test('that is no archive, or an unsafe one, is a failure that nobody repeats', async () => {
    const bytes = await tgzOf([{ name: '../evil', body: 'x' }]);
    world.sources = [await serve(bytes)];
    const failed = await world.artifacts.prepare(service('1', bytes), never).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ProcessError);
    expect(failed).toMatchObject({ kind: 'not_permitted', message: expect.stringContaining('"../evil"') });
    expect((await readdir(home)).filter((name) => name !== 'partial')).toEqual([]);
  });
});

describe('what is kept', () => {
  test('the last three versions: a roll back to one of them needs no network', async () => {
    const all = [await bring('1'), await bring('2'), await bring('3'), await bring('4')];
    const kept = all.slice(1);
    expect((await folders()).sort()).toEqual(kept.map(({ bytes }) => sha256(bytes)).sort());
    expect(await world.store.head(sha256(all[0]!.bytes))).toBeUndefined();
    expect(await world.store.head(sha256(all[1]!.bytes))).toBeDefined();
    for (const { planned, cwd } of kept) {
      world.planned = [planned];
      expect(await world.restart().prepare(planned, never)).toEqual({ cwd });
    }
  });

  test('what a person pushed is never dropped from the store, even when this node fetched it before', async () => {
    const first = await bring('1');
    await world.artifacts.store.put(sha256(first.bytes), new Blob([new Uint8Array(first.bytes)]).stream());
    for (const version of ['2', '3', '4']) await bring(version);
    expect(await folders()).not.toContain(sha256(first.bytes));
    expect(await world.store.head(sha256(first.bytes))).toBeDefined();
  });

  test('what a person pushes while this node fetches it is never dropped either', async () => {
    const bytes = await archive('1');
    const server = await serve(bytes, async (given) => {
      await world.artifacts.store.put(sha256(bytes), new Blob([new Uint8Array(bytes)]).stream());
      await honest(given);
    });
    world.sources = [server];
    world.planned = [service('1', bytes)];
    await world.artifacts.prepare(service('1', bytes), never);
    for (const version of ['2', '3', '4']) await bring(version);
    expect(await world.store.head(sha256(bytes))).toBeDefined();
  });

  test('what a person pushes just when it is dropped is there afterwards', async () => {
    const first = await bring('1');
    const { delete: drop } = world.store;
    let pushed: Promise<unknown> | undefined;
    Object.assign(world.store, {
      delete: async (hash: string) => {
        pushed ??= world.artifacts.store.put(sha256(first.bytes), new Blob([new Uint8Array(first.bytes)]).stream());
        await pause(20);
        await drop(hash);
      },
    });
    for (const version of ['2', '3', '4']) await bring(version);
    await pushed;
    expect(pushed).toBeDefined();
    expect(await world.store.head(sha256(first.bytes))).toBeDefined();
  });

  test('what the held plan names stays, however old, for whatever node it is', async () => {
    const old = await bring('1');
    for (const version of ['2', '3', '4', '5']) {
      const bytes = await archive(version);
      world.sources = [await serve(bytes)];
      world.planned = [service(version, bytes), { ...old.planned, name: 'other' }];
      world.running = [];
      await world.artifacts.prepare(service(version, bytes), never);
    }
    expect(await folders()).toContain(sha256(old.bytes));
  });

  test('a version that still runs is not removed', async () => {
    const old = await bring('1');
    for (const version of ['2', '3', '4', '5']) {
      const bytes = await archive(version);
      world.sources = [await serve(bytes)];
      world.planned = [service(version, bytes)];
      world.running = [{ name: 'site', version: '1' }];
      await world.artifacts.prepare(service(version, bytes), never);
    }
    expect(await folders()).toContain(sha256(old.bytes));
  });

  test('while no plan is held nothing is removed', async () => {
    const all = [await bring('1'), await bring('2'), await bring('3')];
    const bytes = await archive('4');
    world.sources = [await serve(bytes)];
    world.planned = undefined;
    await world.restart().prepare(service('4', bytes), never);
    expect(await folders()).toHaveLength(all.length + 1);
  });
});

describe('an artifact that is found damaged in the own store', () => {
  const damaged = async (bytes: Uint8Array, body: () => ReadableStream<Uint8Array> | undefined) => {
    await world.store.put(sha256(bytes), new Blob([new Uint8Array(bytes)]).stream());
    const { get } = world.store;
    let isWhole = false;
    Object.assign(world.store, {
      get: async (hash: string) => {
        if (isWhole) return get(hash);
        isWhole = true;
        await world.store.delete(hash);
        const found = body();
        return found && { info: { sha256: hash, size: bytes.length, stored_at: '' }, body: found };
      },
    });
  };

  test.each([
    ['at once', () => undefined],
    ['while it is read', () => new ReadableStream({ start: (controller) => controller.error(new Error('invalid block')) })],
  ])('%s is fetched from another node at once', async (_, body) => {
    const bytes = await archive('1');
    await damaged(bytes, body);
    world.sources = [await serve(bytes)];
    const { cwd = '' } = await world.artifacts.prepare(service('1', bytes), never);
    expect(await readFile(join(cwd, 'version.txt'), 'utf8')).toBe('1');
    expect(world.log.lines.map(({ message }) => message)).toContainEqual(expect.stringContaining('is fetched anew'));
  });
});

describe('a folder that was changed', () => {
  test('is set aside and made anew at the next start, from the own store', async () => {
    const { planned, cwd } = await bring('1');
    await writeFile(join(cwd, 'version.txt'), 'spoilt');
    world.running = [];
    await world.restart().prepare(planned, never);
    expect(await readFile(join(cwd, 'version.txt'), 'utf8')).toBe('1');
    expect(await readFile(join(`${cwd}.damaged`, 'version.txt'), 'utf8')).toBe('spoilt');
    expect(world.log.lines.map(({ message }) => message)).toContainEqual(expect.stringContaining('version.txt has 6 bytes, not 1'));
  });

  test('is made anew before a roll back to it, too, and not looked at when a service is started again after a crash', async () => {
    const [old, young] = [await bring('1'), await bring('2')];
    for (const { cwd } of [old, young]) await writeFile(join(cwd, 'version.txt'), 'spoilt');
    const told = () => world.log.lines.filter(({ message }) => message.includes('was changed and is unpacked anew'));
    world.running = [];
    await world.artifacts.prepare(young.planned, never);
    expect(told()).toEqual([]);
    world.planned = [old.planned];
    world.running = [{ name: 'site', version: '2' }];
    await world.artifacts.prepare(old.planned, never);
    expect(await readFile(join(old.cwd, 'version.txt'), 'utf8')).toBe('1');
    await world.artifacts.prepare(old.planned, never);
    expect(told()).toHaveLength(1);
  });

  test('is made anew when another version starts in the same one, once the version before has ended', async () => {
    const { planned, cwd } = await bring('1');
    await writeFile(join(cwd, 'version.txt'), 'changed by the service itself');
    const renamed = { ...planned, version: '1-again' };
    await world.artifacts.prepare(renamed, never);
    expect(await readFile(join(cwd, 'version.txt'), 'utf8')).toBe('changed by the service itself');
    world.running = [];
    await world.artifacts.prepare(renamed, never);
    expect(await readFile(join(cwd, 'version.txt'), 'utf8')).toBe('1');
  });

  test('is left alone while a service runs in it', async () => {
    const { planned, cwd } = await bring('1');
    await writeFile(join(cwd, 'version.txt'), 'changed by the service itself');
    expect(await world.restart().prepare(planned, never)).toEqual({ cwd });
    expect(await readFile(join(cwd, 'version.txt'), 'utf8')).toBe('changed by the service itself');
  });

  test('files that the service added do not matter', async () => {
    const { planned, cwd } = await bring('1');
    await writeFile(join(cwd, 'cache.db'), 'x');
    world.running = [];
    await world.restart().prepare(planned, never);
    expect(await readFile(join(cwd, 'cache.db'), 'utf8')).toBe('x');
  });
});

test('nobody who has it: says so, and names who was asked', async () => {
  const server = await serve(Buffer.from('x'), absent);
  world.sources = [server];
  const clock = new SimulatedClock();
  const artifacts = createServiceArtifacts({
    openFolder: async () => home,
    store: world.store,
    files: memoryStateFiles(),
    clock,
    random: seededRandom(),
    log: world.log,
    sources: async function* () {
      yield server;
    },
    running: async () => [],
    planned: () => [],
  });
  let over = false;
  const failed = artifacts
    .prepare(service('1', Buffer.from('y')), never)
    .catch((error: unknown) => error)
    .finally(() => {
      over = true;
    });
  for (; !over; await pause(5)) await clock.advance(1000);
  expect(await failed).toMatchObject({ kind: 'failed', message: expect.stringContaining(`${server.url}: it does not have it`) });
  expect(world.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
});

describe('a disk without room for an artifact', () => {
  const MIB = 1024 ** 2;
  const body = randomBytes(MIB);

  const bringWith = async (stored_in?: string) => {
    const server = await serve(body);
    world.sources = [server];
    world.planned = [service('1', body, 'tool')];
    const notes: string[] = [];
    const leaving = new AbortController();
    const work = world.restart(stored_in).prepare(service('1', body, 'tool'), leaving.signal, (words) => notes.push(words));
    const refused = (async () => {
      while (!notes.some((note) => note.includes('it needs'))) await pause(5);
      leaving.abort(new Error('refused'));
    })();
    await Promise.race([work.catch(() => undefined), refused]);
    return { notes: notes.filter((note) => note.includes('it needs')), server };
  };
  const roomFor = (bytes: number) => ({ free: 16 * MIB + bytes, size: 100 * MIB });

  test('that has its store, too, needs it twice', async () => {
    world.disks.set(home, roomFor(2 * MIB - 1));
    expect((await bringWith(home)).notes[0]).toMatch(/it needs 2\.1 MB \(twice its size until it is stored\), and 18\.9 MB are free/);
    world.disks.set(home, roomFor(2 * MIB));
    expect((await bringWith(home)).notes).toEqual([]);
  });

  test('that has no store needs it once', async () => {
    world.disks.set(home, roomFor(MIB - 1));
    expect((await bringWith()).notes[0]).toMatch(/it needs 1\.0 MB/);
    world.disks.set(home, roomFor(MIB));
    expect((await bringWith()).notes).toEqual([]);
  });

  test.runIf(existsSync('/dev/shm'))('of the store is asked before anything is fetched to another one', async () => {
    world.disks.set('/dev/shm', roomFor(MIB - 1));
    const { notes, server } = await bringWith('/dev/shm');
    expect(notes[0]).toContain('are free in /dev/shm');
    expect(await readFile(join(home, 'partial', sha256(body)))).toHaveLength(0);
    expect(server.requests.length).toBeGreaterThan(0);
  });
});
