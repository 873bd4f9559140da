import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createAloneNotes } from '../../runtime-node/alone-notes.ts';
import { backlogHealth } from '../../runtime-node/backlog-health.ts';
import { createNodeForwards, type NodeForwards } from '../../runtime-node/fall-forward.ts';
import { forwardReporter } from '../../runtime-node/forward-report.ts';
import { type HealthParts, nodeHealth } from '../../runtime-node/node-health.ts';
import { createPresenceWatch } from '../../runtime-node/presence-watch.ts';
import type { BacklogStatus } from '../../shared/contract/backlog.ts';
import type { BootstrapEvent } from '../../shared/contract/event.ts';
import { type ObjectStorage, StorageError } from '../../shared/ports/object-storage.ts';
import type { Forwards } from '../../shared/reconcile/fall-forward/types.ts';
import { ARTIFACT_BUCKET } from '../../shared/supervisor/store/artifacts.ts';
import { call } from '../runtime/harness.ts';
import { startOnNode } from '../runtime/node-harness.ts';
import { createMemoryBacklog } from '../support/memory-backlog.ts';
import { desiredProfile } from '../support/memory-environment.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { STORAGE_WRITES, spyOn } from '../support/memory-spy.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { memoryVectorIndex } from '../support/memory-vector-index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const CALLS = [...STORAGE_WRITES, 'readBuckets', 'put', 'get', 'head', 'list'] as const;
const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = async (storage: ObjectStorage, key: string) => new Response((await storage.get('captures', key)).body).text();

let clock: SimulatedClock;
let here: ObjectStorage;
let there: ObjectStorage;
let files: ReturnType<typeof memoryStateFiles>;
let backlog: ReturnType<typeof createMemoryBacklog>;
let isAway: boolean;

beforeEach(async () => {
  clock = new SimulatedClock();
  here = memoryObjectStorage(clock);
  there = memoryObjectStorage(clock);
  files = memoryStateFiles();
  backlog = createMemoryBacklog(clock);
  isAway = false;
  await here.ensureBucket('captures');
  await here.put('captures', 'from before', bytes('before'));
});

/** What the node has after a start, until `end`. */
function start({ isNew = false } = {}) {
  const log = recordingLog();
  const line = () => (isAway ? new StorageError('backend_away', 'nothing listens there') : undefined);
  const external = spyOn<ObjectStorage>(there, [...CALLS], line).port;
  const alone = createAloneNotes({ files, log });
  const forwards = createNodeForwards({
    ...{ machine: { clock, random: seededRandom(), log }, backlog, alone },
    storage: { external, fallback: here, isNew },
  });
  const ending = new AbortController();
  const running = forwards.run(ending.signal);
  const end = async () => {
    ending.abort();
    await clock.advance(2000);
    await running;
  };
  const storage = forwards.forwards.storage?.port as ObjectStorage;
  return { forwards, storage, alone, end, log };
}

const known = async (forwards: NodeForwards) =>
  forwards.prepared((await desiredProfile({ storage: { buckets: [{ name: 'captures' }] } })).body);

describe('a node that gets an external for the first time', () => {
  beforeEach(() => there.ensureBucket('captures'));

  it('never says that what it held before is not there, and lets it go over', async () => {
    const { forwards, storage, end } = start();
    await expect(storage.get('captures', 'from before')).rejects.toMatchObject({ kind: 'backend_away' });
    await known(forwards);
    await clock.advance(3000);
    expect(await textOf(storage, 'from before')).toBe('before');
    expect(await textOf(there, 'from before')).toBe('before');
    expect(forwards.forwards.storage?.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 1 });
    await end();
  });

  it('uses the external without a profile after a while, and enters what it held when there is one', async () => {
    const { forwards, storage, end } = start();
    await clock.advance(12_000);
    await storage.put('captures', 'new', bytes('new'));
    expect(await textOf(there, 'new')).toBe('new');
    await known(forwards);
    await clock.advance(3000);
    expect(await textOf(there, 'from before')).toBe('before');
    await end();
  });

  it('waits for nothing where its embedded default is new', async () => {
    const { storage, end } = start({ isNew: true });
    await clock.advance(1000);
    await storage.put('captures', 'new', bytes('new'));
    expect(await textOf(there, 'new')).toBe('new');
    await end();
  });

  it('reads each vector as soon as it is entered, also where entering all of them takes long', async () => {
    const [own, theirs] = [memoryVectorIndex(), memoryVectorIndex()];
    for (const index of [own, theirs]) await index.ensureClass({ name: 'Frame', dimensions: 1, properties: [] });
    const id = (number: number) => `0000000${number}`.slice(-4);
    await own.upsert(
      'Frame',
      Array.from({ length: 600 }, (_, number) => ({ id: id(number), vector: [1], meta: {} })),
    );
    const [next, never] = [Promise.withResolvers<void>(), new Promise<never>(() => undefined)];
    const list: typeof own.list = async (name, options = {}) => {
      if (options.after === id(255)) await next.promise;
      if (options.after === id(511)) await never;
      return own.list(name, options);
    };
    const log = recordingLog();
    const machine = { clock, random: seededRandom(), log };
    const vector = { external: theirs, fallback: { ...own, list }, isNew: false };
    const forwards = createNodeForwards({ machine, backlog, alone: createAloneNotes({ files, log }), vector });
    const ending = new AbortController();
    const running = forwards.run(ending.signal);
    forwards.prepared((await desiredProfile({ vector: { classes: [{ name: 'Frame', dimensions: 1, properties: [] }] } })).body);
    await clock.advance(30_000);
    expect(forwards.forwards.vector?.status()).toMatchObject({ presence: 'present', forwarded: 256 });
    next.resolve();
    await clock.advance(1000);
    expect(await forwards.forwards.vector?.port.get('Frame', id(300))).toMatchObject({ id: id(300) });
    expect(forwards.forwards.vector?.status()).toMatchObject({ forwarded: 512 });
    ending.abort();
    await clock.advance(2000);
    await running;
  });

  it('takes artifacts along, whose bucket no profile names', async () => {
    await here.ensureBucket(ARTIFACT_BUCKET);
    await here.put(ARTIFACT_BUCKET, 'sha', bytes('artifact'));
    const { forwards, end } = start();
    await known(forwards);
    await clock.advance(20_000);
    expect((await there.list(ARTIFACT_BUCKET)).objects.map(({ key }) => key)).toEqual(['sha']);
    await end();
  });
});

describe('a node that has had its external before', () => {
  it('enters nothing again, but for what it wrote when it had none', async () => {
    await there.ensureBucket('captures');
    const first = start();
    await known(first.forwards);
    await clock.advance(3000);
    await first.end();
    await there.delete('captures', 'from before');
    await here.put('captures', 'unseen', bytes('unseen'));
    const second = start();
    await known(second.forwards);
    await clock.advance(3000);
    expect((await there.list('captures')).objects).toEqual([]);
    await second.end();
    await createAloneNotes({ files, log: recordingLog() }).add(['storage', 'vector']);
    const third = start();
    await known(third.forwards);
    await clock.advance(3000);
    // What was deleted there since it had gone over does not come back.
    expect((await there.list('captures')).objects.map(({ key }) => key)).toEqual(['unseen']);
    expect([await third.alone.has('storage'), await third.alone.has('vector')]).toEqual([false, true]);
    await third.end();
  });
});

describe('a bucket that the profile names later', () => {
  const naming = async (forwards: NodeForwards, ...names: string[]) =>
    forwards.prepared((await desiredProfile({ storage: { buckets: names.map((name) => ({ name })) } })).body);

  it('goes over with what the embedded default held of it, at once or after a start', async () => {
    for (const bucket of ['captures', 'later', 'latest']) await there.ensureBucket(bucket);
    for (const bucket of ['later', 'latest']) {
      await here.ensureBucket(bucket);
      await here.put(bucket, 'kept', bytes('kept'));
    }
    const first = start();
    await naming(first.forwards, 'captures');
    await clock.advance(3000);
    expect((await there.list('later')).objects).toEqual([]);
    await naming(first.forwards, 'captures', 'later');
    await clock.advance(3000);
    expect((await there.list('later')).objects.map(({ key }) => key)).toEqual(['kept']);
    await first.end();
    // What went over is not looked through again: what somebody deleted there stays deleted.
    await there.delete('later', 'kept');
    await here.put('later', 'unseen', bytes('unseen'));
    const second = start();
    await naming(second.forwards, 'captures', 'later', 'latest');
    await clock.advance(3000);
    expect((await there.list('latest')).objects.map(({ key }) => key)).toEqual(['kept']);
    expect((await there.list('later')).objects).toEqual([]);
    await second.end();
  });
});

describe('who follows the externals', () => {
  it('hears when one goes away and answers, and is told that', async () => {
    await there.ensureBucket('captures');
    isAway = true;
    const { forwards, end } = start({ isNew: true });
    const turns: boolean[] = [];
    const events: BootstrapEvent[] = [];
    forwards.onPresence((_, answers) => turns.push(answers));
    forwards.onEvent(forwardReporter('node-1', forwards.forwards, (event) => events.push(event)));
    await clock.advance(1000);
    isAway = false;
    await clock.advance(20_000);
    isAway = true;
    await forwards.forwards.storage?.port.head('captures', 'k').catch(() => undefined);
    expect(turns).toEqual([true, false]);
    expect(events.map(({ action, status }) => `${action} ${status}`)).toEqual([
      'fall-forward pending',
      'fall-forward applied',
      'fall-forward pending',
    ]);
    await end();
  });

  it('is not told more than some conflicts one by one', () => {
    const status: BacklogStatus = { presence: 'away', waiting: 0, forwarded: 0, conflicts: 0 };
    const watch = createPresenceWatch(() => ({ storage: { status: () => status } }) as unknown as Forwards);
    let told = 0;
    watch.onEvent(() => {
      told += 1;
    });
    for (let number = 0; number < 100; number += 1) watch.tell('storage', { kind: 'conflict', message: `${number}` });
    expect(told).toBe(20);
    watch.tell('storage', { kind: 'moved', message: 'still away' });
    expect(told).toBe(20);
  });
});

describe('a node whose external hangs', () => {
  it('stops all the same', async () => {
    const hanging = spyOn<ObjectStorage>(there, ['readBuckets'], () => 'never').port;
    const machine = { clock, random: seededRandom(), log: recordingLog() };
    const alone = createAloneNotes({ files, log: machine.log });
    const forwards = createNodeForwards({ machine, backlog, alone, storage: { external: hanging, fallback: here, isNew: true } });
    const ending = new AbortController();
    const running = forwards.run(ending.signal);
    await clock.advance(100);
    ending.abort();
    await clock.advance(1000);
    await running;
  });
});

describe('a node whose external got another address before all had gone over', () => {
  it('says what waits for the old one', async () => {
    const old = { component: 'storage', identity: 'http://192.0.2.9:9000' } as const;
    await backlog.add([{ ...old, place: 'captures', key: 'a', hash: '11', size: 1 }]);
    const { forwards, log, end } = start();
    await clock.advance(0);
    expect(forwards.stranded).toEqual([
      'storage: 1 object waits on this node for http://192.0.2.9:9000, and memory at memory is configured: configure that address again until all has gone over, or let it go to the one of now with `bootplane backlog move`',
    ]);
    expect(log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual(forwards.stranded);
    await end();
  });

  it('lets it go to the one of now, when a person says so', async () => {
    await there.ensureBucket('captures');
    const old = { component: 'storage', identity: 'http://192.0.2.9:9000' } as const;
    const { sha256 = '', size } = await here.put('captures', 'a', bytes('a'));
    await backlog.add([{ ...old, place: 'captures', key: 'a', hash: sha256, size }]);
    const { forwards, end } = start({ isNew: true });
    await clock.advance(1000);
    expect(await forwards.forwards.storage?.others.list()).toEqual([{ identity: old.identity, waiting: 1 }]);
    expect(await forwards.forwards.storage?.others.move(old.identity)).toBe(1);
    await forwards.lookForStranded();
    expect(forwards.stranded).toEqual([]);
    await clock.advance(3000);
    expect(await textOf(there, 'a')).toBe('a');
    expect(forwards.forwards.storage?.status()).toMatchObject({ waiting: 0, forwarded: 1 });
    await end();
  });

  it('says nothing of what has gone over, or waits for the one of now', async () => {
    isAway = true;
    const { forwards, storage, end } = start({ isNew: true });
    await clock.advance(3000);
    await storage.put('captures', 'a', bytes('a'));
    await end();
    expect(forwards.stranded).toEqual([]);
    const again = start();
    await clock.advance(0);
    expect(again.forwards.stranded).toEqual([]);
    await again.end();
  });
});

describe('health', () => {
  const of = (status: Partial<BacklogStatus>) => {
    const external = { backend: { kind: 's3', identity: 'http://192.0.2.9:9000' } };
    const forward = { external, status: () => ({ presence: 'present', waiting: 0, forwarded: 0, conflicts: 0, ...status }) };
    return backlogHealth({ storage: forward } as unknown as Forwards);
  };

  it.each([
    [{}, []],
    [{ presence: 'forwarding' }, []],
    [
      { presence: 'away', reason: 'connection refused', waiting: 12 },
      ['storage: s3 at http://192.0.2.9:9000 is away (connection refused): 12 objects wait on this node'],
    ],
    [
      { presence: 'away', reason: 'late', waiting: 1 },
      ['storage: s3 at http://192.0.2.9:9000 is away (late): 1 object waits on this node'],
    ],
    [{ presence: 'forwarding', waiting: 2 }, ['storage: 2 objects still go to s3 at http://192.0.2.9:9000']],
    [
      { presence: 'forwarding', waiting: 2, reason: 'wrong keys' },
      ['storage: 2 objects still go to s3 at http://192.0.2.9:9000, which answers with an error: wrong keys'],
    ],
    [{ presence: 'forwarding', reason: 'wrong keys' }, ['storage: s3 at http://192.0.2.9:9000 answers with an error: wrong keys']],
    [
      { conflicts: 1 },
      [
        'storage: 1 object did not go to s3 at http://192.0.2.9:9000, which holds something else in that place or refuses it: `bootplane backlog` shows and ends it',
      ],
    ],
  ] as const)('of %j waits for %j', (status, lines) => {
    expect(of(status).waiting_for).toEqual(lines);
    expect(of(status).backlog.storage).toMatchObject(status);
  });
});

describe('the health of a node', () => {
  it('is degraded by what waits for an external that is configured no more', () => {
    const backend = { backend: { kind: 'memory', identity: 'memory' } };
    const parts = {
      state: { phase: 'steady', waiting_for: [] },
      environment: { status: () => ({}) },
      services: { status: () => undefined, reports: () => [] },
      ...{ storage: backend, bus: backend, vector: backend, set_aside: [] },
    } as unknown as HealthParts;
    expect(nodeHealth(parts)).toMatchObject({ status: 'ok' });
    expect(nodeHealth({ ...parts, stranded: ['storage: 1 object waits'] })).toMatchObject({
      status: 'degraded',
      waiting_for: ['storage: 1 object waits'],
    });
  });
});

describe('metrics', () => {
  it('count what waits, by component', async () => {
    const status: BacklogStatus = { presence: 'away', reason: 'gone', waiting: 12, forwarded: 3, conflicts: 1 };
    const harness = await startOnNode({ health: async () => ({ status: 'degraded', backlog: { storage: status } }) });
    onTestFinished(() => harness.close());
    const { body } = await call(harness, 'GET /metrics');
    for (const line of [
      'bootplane_external_present{component="storage"} 0',
      'bootplane_backlog{component="storage",state="waiting"} 12',
      'bootplane_backlog{component="storage",state="forwarded"} 3',
      'bootplane_backlog{component="storage",state="conflict"} 1',
    ])
      expect(body).toContain(`${line}\n`);
  });
});
