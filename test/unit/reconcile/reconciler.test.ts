import { beforeEach, describe, expect, test } from 'vitest';
import { idempotencyKey } from '../../../shared/contract/canonical.ts';
import { BootstrapEvent } from '../../../shared/contract/event.ts';
import { ComponentStatus } from '../../../shared/contract/status.ts';
import { BusError } from '../../../shared/ports/event-bus.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { ATTEMPTS_FILE } from '../../../shared/reconcile/attempts.ts';
import { type Backends, desiredProfile, memoryBackends, startReconciler } from '../../support/memory-environment.ts';

const PROFILE = {
  storage: {
    buckets: [
      { name: 'captures', versioning: true, tags: { team: 'vision' }, lifecycle: [{ id: 'raw', prefix: 'raw/', expire_days: 30 }] },
    ],
  },
  broker: {
    exchanges: [{ name: 'overlay', type: 'topic' }],
    queues: [{ name: 'frames', ttl_ms: 60_000 }],
    bindings: [{ exchange: 'overlay', queue: 'frames', key: 'frame.#' }],
  },
  vector: { classes: [{ name: 'Frame', dimensions: 3, properties: [{ name: 'camera', type: 'text' }] }] },
};

let backends: Backends;
beforeEach(() => {
  backends = memoryBackends();
});

const reconciles = (events: readonly BootstrapEvent[]) => events.filter(({ action }) => action === 'reconcile');
const standings = (events: readonly BootstrapEvent[]) => reconciles(events).map(({ component, status }) => `${component} ${status}`);

describe('apply', () => {
  test('brings an empty environment to the profile, in the order of the specification', async () => {
    const { reconciler, writes } = startReconciler(backends);
    const components = await reconciler.apply(await desiredProfile(PROFILE));
    expect(writes().map(({ method }) => method)).toEqual([
      'ensureBucket',
      'ensureVersioning',
      'ensureLifecycle',
      'ensureTags',
      'ensureExchange',
      'ensureQueue',
      'ensureBinding',
      'ensureConfirms',
      'ensureClass',
    ]);
    expect(Object.values(components).map(({ status }) => status)).toEqual(['applied', 'applied', 'applied']);
    expect(await backends.storage.readBuckets(['captures'])).toEqual([
      { name: 'captures', versioning: 'enabled', lifecycle: [{ id: 'raw', prefix: 'raw/', expire_days: 30 }], tags: { team: 'vision' } },
    ]);
    expect(backends.bus.everything()).toMatchObject({
      exchanges: [{ name: 'overlay' }],
      queues: [{ ttl_ms: 60_000 }],
      bindings: [{ key: 'frame.#' }],
      confirms: true,
    });
    expect(await backends.vector.readClasses(['Frame'])).toEqual([
      { name: 'Frame', dimensions: 3, properties: [{ name: 'camera', type: 'text' }] },
    ]);
  });

  test('reports each action and then the component, all with what names the run', async () => {
    const { reconciler, events } = startReconciler(backends);
    const desired = await desiredProfile(PROFILE, 7);
    await reconciler.apply(desired);
    expect(events.map(({ component, action, status }) => `${component}: ${action}: ${status}`)).toEqual([
      'storage: ensure-bucket bucket captures: applied',
      'storage: enable-versioning versioning of bucket captures: applied',
      'storage: add-lifecycle-rules lifecycle of bucket captures: applied',
      'storage: update-tags tags of bucket captures: applied',
      'storage: reconcile: applied',
      'broker: ensure-exchange exchange overlay: applied',
      'broker: ensure-queue queue frames: applied',
      'broker: ensure-binding binding overlay to frames "frame.#": applied',
      'broker: enable-confirms publisher confirms: applied',
      'broker: reconcile: applied',
      'vector: ensure-class class Frame: applied',
      'vector: reconcile: applied',
    ]);
    for (const event of events) {
      expect(BootstrapEvent.safeParse(event).success).toBe(true);
      const idempotency_key = await idempotencyKey('node-1', event.component, 7, desired.hash);
      expect(event).toMatchObject({ node_id: 'node-1', generation: 7, hash: desired.hash, idempotency_key, attempt: 1 });
    }
    expect(new Set(events.map(({ idempotency_key, attempt, action }) => `${idempotency_key} ${attempt} ${action}`)).size).toBe(
      events.length,
    );
  });

  test('logs component, action, attempt, idempotency key, generation and duration', async () => {
    const { reconciler, log } = startReconciler(backends);
    await reconciler.apply(await desiredProfile(PROFILE));
    expect(log.lines).toHaveLength(12);
    for (const { fields } of log.lines) {
      expect(fields).toMatchObject({
        component: expect.any(String),
        action: expect.any(String),
        attempt: 1,
        generation: 1,
        duration_ms: 0,
      });
      expect(fields.idempotency_key).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  test('statuses are those of the contract, and measured', async () => {
    const slow = () => backends.clock.advance(40);
    const { ensureBucket } = backends.storage;
    const storage = { ...backends.storage, ensureBucket: async (name: string) => slow().then(() => ensureBucket(name)) };
    const { reconciler, events } = startReconciler({ ...backends, storage });
    const components = await reconciler.apply(await desiredProfile(PROFILE));
    for (const status of Object.values(components)) expect(ComponentStatus.safeParse(status).success).toBe(true);
    expect(components.storage).toMatchObject({ action: 'reconcile', duration_ms: 40, attempt: 1, at: '2026-01-01T00:00:00.040Z' });
    expect(events.filter(({ component }) => component === 'storage').map(({ duration_ms }) => duration_ms)).toEqual([40, 0, 0, 0, 40]);
    expect(reconciler.status()).toEqual(components);
  });

  test('the second time writes nothing, is told once, and takes no further number', async () => {
    const { reconciler, events, writes } = startReconciler(backends);
    const desired = await desiredProfile(PROFILE);
    await reconciler.apply(desired);
    const [written, told] = [writes().length, events.length];
    await reconciler.apply(desired);
    expect(standings(events.slice(told))).toEqual(['storage unchanged', 'broker unchanged', 'vector unchanged']);
    const numbers = backends.files.texts.get(ATTEMPTS_FILE);
    await backends.clock.advance(1000);
    for (let time = 0; time < 3; time += 1) await reconciler.apply(desired);
    expect(events).toHaveLength(told + 3);
    expect(backends.files.texts.get(ATTEMPTS_FILE)).toBe(numbers);
    expect(writes()).toHaveLength(written);
    expect(reconciler.status().storage).toMatchObject({ status: 'unchanged', attempt: 2, at: '2026-01-01T00:00:01.000Z' });
  });

  test('a new generation of the same content is told, and writes nothing', async () => {
    const { reconciler, events, writes } = startReconciler(backends);
    await reconciler.apply(await desiredProfile(PROFILE, 1));
    const [written, told] = [writes().length, events.length];
    await reconciler.apply(await desiredProfile(PROFILE, 2));
    expect(reconciles(events.slice(told)).map(({ generation, status, attempt }) => [generation, status, attempt])).toEqual(
      Array(3).fill([2, 'unchanged', 1]),
    );
    expect(writes()).toHaveLength(written);
  });

  test.each([{}, { storage: { buckets: [] }, broker: {}, vector: { classes: [] } }])(
    'an empty profile touches nothing, not even to read: %j',
    async (empty) => {
      const before = startReconciler(backends);
      await before.reconciler.apply(await desiredProfile(PROFILE));
      const state = JSON.stringify([
        await backends.storage.readBuckets(['captures']),
        backends.bus.everything(),
        await backends.vector.readClasses(['Frame']),
      ]);
      const { reconciler, events, calls } = startReconciler(backends);
      const components = await reconciler.apply(await desiredProfile(empty, 2));
      expect(calls()).toEqual([]);
      expect(standings(events)).toEqual(['storage unchanged', 'broker unchanged', 'vector unchanged']);
      expect(components.storage?.incompatible).toEqual([]);
      expect(
        JSON.stringify([
          await backends.storage.readBuckets(['captures']),
          backends.bus.everything(),
          await backends.vector.readClasses(['Frame']),
        ]),
      ).toBe(state);
    },
  );

  test('one read for each component, however many resources', async () => {
    const buckets = Array.from({ length: 50 }, (_, index) => ({ name: `bucket-${index}` }));
    const { reconciler, calls } = startReconciler(backends);
    await reconciler.apply(await desiredProfile({ ...PROFILE, storage: { buckets } }));
    expect(
      calls()
        .filter(({ method }) => method.startsWith('read'))
        .map(({ method }) => method),
    ).toEqual(['readBuckets', 'readTopology', 'readClasses']);
  });
});

describe('what must not run by itself', () => {
  test('is named in status and events; the rest is applied', async () => {
    await backends.storage.ensureBucket('captures');
    await backends.storage.ensureVersioning('captures', true);
    await backends.bus.ensureExchange({ name: 'overlay', type: 'direct' });
    const { reconciler, events } = startReconciler(backends);
    const buckets = [{ name: 'captures', versioning: false, tags: { a: 'b' } }];
    const components = await reconciler.apply(await desiredProfile({ ...PROFILE, storage: { buckets } }));
    expect(components.storage).toMatchObject({ status: 'applied', incompatible: [{ subject: 'versioning of bucket captures' }] });
    expect(components.storage?.message).toMatch(/^1 skipped: versioning of bucket captures: suspending versioning makes/);
    expect(components.broker).toMatchObject({ status: 'applied', incompatible: [{ subject: 'exchange overlay' }] });
    expect(reconciles(events)[0]?.incompatible).toEqual(components.storage?.incompatible);
    expect((await backends.storage.readBuckets(['captures']))[0]).toMatchObject({ versioning: 'enabled', tags: { a: 'b' } });
  });

  test('leaves a component unchanged when there is nothing else to do, and is told once', async () => {
    const { reconciler, events, writes } = startReconciler(backends);
    await reconciler.apply(await desiredProfile(PROFILE, 1));
    const written = writes().length;
    const desired = await desiredProfile({ ...PROFILE, vector: { classes: [{ name: 'Frame', dimensions: 4 }] } }, 2);
    const told = events.length;
    for (let time = 0; time < 3; time += 1) await reconciler.apply(desired);
    expect(reconciler.status().vector).toMatchObject({ status: 'unchanged', incompatible: [{ subject: 'class Frame' }] });
    expect(standings(events.slice(told))).toEqual(['storage unchanged', 'broker unchanged', 'vector unchanged']);
    expect(writes()).toHaveLength(written);
  });
});

describe('failures', () => {
  const away = new StorageError('backend_away', 'no route to the store');

  test.each(['storage', 'bus', 'vector'] as const)('%s that cannot be read leaves the others applied', async (port) => {
    const { reconciler, writes } = startReconciler(backends, { [port]: () => away });
    const components = await reconciler.apply(await desiredProfile(PROFILE));
    const component = port === 'bus' ? 'broker' : port;
    const { [component]: failed, ...others } = components;
    expect(failed).toMatchObject({ status: 'failed', incompatible: [] });
    expect(failed?.message).toContain('could not be read: no route to the store (backend_away)');
    expect(Object.values(others).map(({ status }) => status)).toEqual(['applied', 'applied']);
    expect(writes().length).toBeGreaterThan(0);
  });

  test('an outage is told once, its end too', async () => {
    let gone = true;
    const { reconciler, events } = startReconciler(backends, { storage: () => (gone ? away : undefined) });
    const desired = await desiredProfile(PROFILE);
    for (let time = 0; time < 3; time += 1) await reconciler.apply(desired);
    gone = false;
    await reconciler.apply(desired);
    expect(
      reconciles(events)
        .filter(({ component }) => component === 'storage')
        .map(({ status, attempt }) => [status, attempt]),
    ).toEqual([
      ['failed', 1],
      ['applied', 2],
    ]);
  });

  test('a failed action is named, what needs it is not tried, and the next run makes good', async () => {
    let full = true;
    const fault = ({ method }: { method: string }) =>
      full && method === 'ensureQueue' ? new BusError('full', 'the disk is full') : undefined;
    const { reconciler, events, writes } = startReconciler(backends, { bus: fault });
    const desired = await desiredProfile(PROFILE);
    const { broker } = await reconciler.apply(desired);
    expect(broker).toMatchObject({ status: 'failed' });
    expect(broker?.message).toBe(
      '1 of 4 failed: ensure-queue queue frames: the disk is full (full). 1 not tried because of that: ensure-binding binding overlay to frames "frame.#"',
    );
    expect(events.find(({ action }) => action === 'ensure-queue queue frames')).toMatchObject({
      status: 'failed',
      message: 'the disk is full (full)',
    });
    expect(events.some(({ action }) => action.startsWith('ensure-binding'))).toBe(false);
    expect(writes().map(({ method }) => method)).toContain('ensureConfirms');
    full = false;
    expect((await reconciler.apply(desired)).broker).toMatchObject({ status: 'applied', attempt: 2 });
    expect(backends.bus.everything().bindings).toHaveLength(1);
  });

  test('an action that fails in the same way each time is counted, and told at the 1st, 10th and 100th time and at each 60th', async () => {
    let fault: BusError | undefined = new BusError('unauthorized', 'access refused');
    const { reconciler, events, log } = startReconciler(backends, { bus: ({ method }) => (method === 'ensureQueue' ? fault : undefined) });
    const desired = await desiredProfile(PROFILE);
    for (let time = 1; time <= 120; time += 1) {
      await reconciler.apply(desired);
      await backends.clock.advance(60_000);
    }
    const ofBroker = (action: string) => events.filter((event) => event.component === 'broker' && event.action === action);
    expect(ofBroker('ensure-queue queue frames').map(({ message }) => message)).toEqual([
      'access refused (unauthorized)',
      expect.stringMatching(/^access refused \(unauthorized\) \(10 times since 20.*Z\)$/),
      expect.stringMatching(/^access refused \(unauthorized\) \(60 times since 20.*Z\)$/),
      expect.stringMatching(/^access refused \(unauthorized\) \(100 times since 20.*Z\)$/),
      expect.stringMatching(/^access refused \(unauthorized\) \(120 times since 20.*Z\)$/),
    ]);
    // The first run turned confirms on and made the exchange, so what stands is told once more after the second.
    expect(ofBroker('reconcile').length).toBeLessThan(8);
    expect(log.lines.filter(({ level }) => level === 'warn').length).toBeLessThan(16);
    expect(reconciler.status().broker).toMatchObject({ status: 'failed', message: expect.stringMatching(/ \(1\d\d times since 20.*Z\)$/) });
    fault = new BusError('full', 'the disk is full');
    await reconciler.apply(desired);
    expect(ofBroker('ensure-queue queue frames').at(-1)).toMatchObject({ message: 'the disk is full (full)' });
    fault = undefined;
    expect((await reconciler.apply(desired)).broker).toMatchObject({ status: 'applied' });
    expect(ofBroker('reconcile').at(-1)).toMatchObject({ status: 'applied' });
    fault = new BusError('unauthorized', 'access refused');
    backends.bus.dropQueue('frames');
    await reconciler.apply(desired);
    expect(ofBroker('ensure-queue queue frames').at(-1)).toMatchObject({ message: 'access refused (unauthorized)' });
  });

  test('a state that can not be read is told once, and its status counts how often', async () => {
    const { reconciler, events } = startReconciler(backends, { storage: () => away });
    const desired = await desiredProfile(PROFILE);
    for (let time = 0; time < 10; time += 1) await reconciler.apply(desired);
    expect(reconciles(events).filter(({ component }) => component === 'storage')).toHaveLength(1);
    expect(reconciler.status().storage?.message).toMatch(/ \(10 times since 20.*Z\)$/);
  });

  test('lifecycle rules are not added while versioning, which should keep what expires, could not be enabled', async () => {
    const fault = ({ method }: { method: string }) => (method === 'ensureVersioning' ? new StorageError('failed', 'no') : undefined);
    const { reconciler, writes } = startReconciler(backends, { storage: fault });
    await reconciler.apply(await desiredProfile({ storage: PROFILE.storage }));
    expect(writes().map(({ method }) => method)).toEqual(['ensureBucket', 'ensureVersioning', 'ensureTags']);
  });

  test('a backend that hangs fails its component after the limit, and the next goes on', async () => {
    const { reconciler } = startReconciler(backends, { storage: () => 'never', call_limit_ms: 5000 });
    const applying = reconciler.apply(await desiredProfile(PROFILE));
    await backends.clock.advance(5000);
    const components = await applying;
    expect(components.storage).toMatchObject({ status: 'failed', duration_ms: 5000 });
    expect(components.broker?.status).toBe('applied');
  });

  test('a disk that keeps no attempt does not keep the environment from being put right', async () => {
    const files = { ...backends.files, write: async () => Promise.reject(new Error('the disk is full')) };
    const { reconciler, events, log } = startReconciler({ ...backends, files });
    const components = await reconciler.apply(await desiredProfile(PROFILE));
    expect(Object.values(components).map(({ status }) => status)).toEqual(['applied', 'applied', 'applied']);
    expect(events[0]?.attempt).toBe(backends.clock.now());
    expect(log.lines[0]).toMatchObject({ level: 'warn', fields: { error: 'the disk is full' } });
  });
});

describe('drift', () => {
  test('what was changed by hand is first reported, then restored, under a number of its own', async () => {
    const { reconciler, events } = startReconciler(backends);
    const desired = await desiredProfile(PROFILE);
    await reconciler.apply(desired);
    await reconciler.apply(desired);
    const told = events.length;
    backends.bus.dropQueue('frames');
    const { broker } = await reconciler.apply(desired);
    expect(events.slice(told).map(({ action, status, attempt }) => [action, status, attempt])).toEqual([
      ['drift', 'pending', 3],
      ['ensure-queue queue frames', 'applied', 3],
      ['ensure-binding binding overlay to frames "frame.#"', 'applied', 3],
      ['reconcile', 'applied', 3],
    ]);
    expect(events[told]?.message).toBe(
      'changed since it was applied, now restored by: ensure-queue queue frames; ensure-binding binding overlay to frames "frame.#"',
    );
    expect(broker).toMatchObject({ status: 'applied', message: 'restored 2 that had changed' });
    expect(backends.bus.everything().queues).toHaveLength(1);
  });

  test('that comes back each time is told each time, under a number of its own', async () => {
    const { reconciler, events } = startReconciler(backends);
    const desired = await desiredProfile({ storage: PROFILE.storage });
    await reconciler.apply(desired);
    const told = events.length;
    for (let time = 0; time < 3; time += 1) {
      backends.storage.dropBucket('captures');
      await reconciler.apply(desired);
    }
    const wholes = events.slice(told).filter(({ action }) => action === 'reconcile' || action === 'drift');
    expect(wholes.map(({ action, attempt }) => `${action} ${attempt}`)).toEqual(
      [2, 3, 4].flatMap((at) => [`drift ${at}`, `reconcile ${at}`]),
    );
    expect(reconciler.status().storage?.attempt).toBe(4);
  });

  test('shows while it lasts', async () => {
    let during: unknown;
    const { reconciler } = startReconciler(backends, {
      storage: ({ method }) => {
        if (method === 'ensureBucket') during = reconciler.status().storage;
        return undefined;
      },
    });
    const desired = await desiredProfile(PROFILE);
    await reconciler.apply(desired);
    expect(during).toBeUndefined();
    backends.storage.dropBucket('captures');
    await reconciler.apply(desired);
    expect(during).toMatchObject({ status: 'pending', action: 'drift' });
  });

  test('is seen in each component, also when the outage of a backend came in between', async () => {
    let gone = false;
    const { reconciler, events } = startReconciler(backends, { vector: () => (gone ? new Error('away') : undefined) });
    const desired = await desiredProfile(PROFILE);
    await reconciler.apply(desired);
    gone = true;
    await reconciler.apply(desired);
    gone = false;
    backends.vector.dropClass('Frame');
    backends.storage.dropBucket('captures');
    await reconciler.apply(desired);
    expect(events.filter(({ action }) => action === 'drift').map(({ component }) => component)).toEqual(['storage', 'vector']);
  });

  test('is not what only has to be found out', async () => {
    const { readTopology } = backends.bus;
    let forgets = false;
    const bus: Backends['bus'] = {
      ...backends.bus,
      async readTopology(wanted) {
        const all = await readTopology(wanted);
        if (!forgets) return all;
        const exchanges = all.exchanges.map((item) => ({ ...item, unread: 'no one tells' }));
        const queues = all.queues.map((item) => ({ ...item, unread: 'no one tells' }));
        return { ...all, exchanges, queues, bindings: [], bindings_unread: 'no one lists them' };
      },
    };
    const { reconciler, events, writes } = startReconciler({ ...backends, bus });
    const desired = await desiredProfile({ broker: PROFILE.broker });
    await reconciler.apply(desired);
    forgets = true;
    const told = events.length;
    const { broker } = await reconciler.apply(desired);
    expect(
      writes()
        .slice(-3)
        .map(({ method }) => method),
    ).toEqual(['ensureExchange', 'ensureQueue', 'ensureBinding']);
    expect(events.slice(told).map(({ action }) => action)).not.toContain('drift');
    expect(broker?.message).toBeUndefined();

    backends.bus.dropQueue('frames');
    const again = events.length;
    const restored = await reconciler.apply(desired);
    expect(events[again]).toMatchObject({
      action: 'drift',
      message: expect.stringMatching(/: ensure-queue queue frames; ensure-binding [^;]*$/),
    });
    expect(restored.broker?.message).toBe('restored 2 that had changed');
  });

  test('neither a new generation nor the rest of a failed apply is drift', async () => {
    let broken = true;
    const { reconciler, events } = startReconciler(backends, {
      vector: ({ method }) => (broken && method === 'ensureClass' ? new Error('no') : undefined),
    });
    await reconciler.apply(await desiredProfile(PROFILE, 1));
    broken = false;
    await reconciler.apply(await desiredProfile(PROFILE, 1));
    await reconciler.apply(await desiredProfile({ ...PROFILE, storage: { buckets: [{ name: 'more' }] } }, 2));
    expect(events.filter(({ action }) => action === 'drift')).toEqual([]);
  });
});

describe('diff', () => {
  test('says what apply would do and writes nothing', async () => {
    await backends.bus.ensureExchange({ name: 'overlay', type: 'direct' });
    const { reconciler, writes, events } = startReconciler(backends);
    const diffs = await reconciler.diff(await desiredProfile(PROFILE));
    expect(diffs.map(({ component, backend, actions }) => [component, backend, actions.length])).toEqual([
      ['storage', 'memory', 4],
      ['broker', 'local', 4],
      ['vector', 'embedded', 1],
    ]);
    expect(diffs[0]?.actions[0]).toStrictEqual({
      kind: 'ensure-bucket',
      safety: 'add',
      subject: 'bucket captures',
      after: { name: 'captures' },
    });
    expect(diffs[1]?.actions[0]).toMatchObject({ kind: 'exchange-type-differs', safety: 'incompatible', before: { type: 'direct' } });
    expect(writes()).toEqual([]);
    expect(events).toEqual([]);
    expect(backends.files.texts.size).toBe(0);
    expect(reconciler.status()).toEqual({});
  });

  test('names a component that cannot be read, and shows the others', async () => {
    const { reconciler } = startReconciler(backends, { bus: () => new BusError('unauthorized', 'wrong password') });
    const diffs = await reconciler.diff(await desiredProfile(PROFILE));
    expect(diffs.map(({ failed, actions }) => [failed, actions.length])).toEqual([
      [undefined, 4],
      ['wrong password (unauthorized)', 0],
      [undefined, 1],
    ]);
  });
});

test('applies are serialised, and of those that wait the newest runs', async () => {
  let under_way = 0;
  let most = 0;
  const { ensureBucket } = backends.storage;
  const storage = {
    ...backends.storage,
    ensureBucket: async (name: string) => {
      under_way += 1;
      most = Math.max(most, under_way);
      await new Promise((resolve) => setImmediate(resolve));
      await ensureBucket(name);
      under_way -= 1;
    },
  };
  const { reconciler } = startReconciler({ ...backends, storage });
  const profiles = ['one', 'two', 'three'].map((name, index) => desiredProfile({ storage: { buckets: [{ name }] } }, index + 1));
  const applying = (await Promise.all(profiles)).map((profile) => reconciler.apply(profile));
  const results = await Promise.all(applying);
  expect(results.map(({ storage: status }) => status?.generation)).toEqual([1, 3, 3]);
  expect(most).toBe(1);
  expect((await backends.storage.readBuckets(['one', 'two', 'three'])).map(({ name }) => name)).toEqual(['one', 'three']);
});

describe('a backend that another node reconciles', () => {
  test('is neither read nor written, and who does it is told once', async () => {
    backends = memoryBackends({ storage: { shared: true }, vector: { shared: true } });
    const { reconciler, events, calls } = startReconciler(backends, {
      reconciledBy: (component, identity) => (component === 'storage' && identity === backends.storage.backend.identity ? 'n1' : undefined),
    });
    const desired = await desiredProfile(PROFILE);
    await reconciler.apply(desired);
    const components = await reconciler.apply(desired);
    expect(components.storage).toMatchObject({ status: 'skipped', message: 'n1 leads the site and reconciles this memory for it' });
    expect(components.vector?.status).toBe('unchanged');
    expect(calls().filter(({ method }) => method === 'readBuckets' || method === 'ensureBucket')).toEqual([]);
    expect(standings(events)).toEqual(['storage skipped', 'broker applied', 'vector applied', 'broker unchanged', 'vector unchanged']);
    expect((await reconciler.diff(desired))[0]).toEqual({ component: 'storage', backend: 'memory', actions: [], reconciled_by: 'n1' });
  });

  test('is applied at once where that node is the leader no more, and what it lacks is no drift', async () => {
    backends = memoryBackends({ storage: { shared: true } });
    let leader: string | undefined = 'n1';
    const { reconciler, events } = startReconciler(backends, { reconciledBy: () => leader });
    const desired = await desiredProfile(PROFILE);
    await reconciler.apply(desired);
    leader = undefined;
    await reconciler.apply(desired);
    expect(standings(events.filter(({ component }) => component === 'storage'))).toEqual(['storage skipped', 'storage applied']);
    expect(events.map(({ action }) => action)).not.toContain('drift');
    expect(await backends.storage.readBuckets(['captures'])).toHaveLength(1);
  });

  test('that this node alone has is reconciled by itself, whoever leads', async () => {
    const { reconciler } = startReconciler(backends, { reconciledBy: () => 'n1' });
    const components = await reconciler.apply(await desiredProfile(PROFILE));
    expect(Object.values(components).map(({ status }) => status)).toEqual(['applied', 'applied', 'applied']);
  });
});
