import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import type { ObjectStorage } from '../../shared/ports/object-storage.ts';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { createAttempts } from '../../shared/reconcile/attempts.ts';
import { createEnvironmentReconciler } from '../../shared/reconcile/reconciler.ts';
import { desiredProfile } from '../support/memory-environment.ts';
import { BUS_WRITES, STORAGE_WRITES, spyOn, VECTOR_WRITES } from '../support/memory-spy.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const FULL = {
  storage: {
    buckets: [
      { name: 'captures', versioning: true, tags: { team: 'vision' }, lifecycle: [{ id: 'raw', prefix: 'raw/', expire_days: 30 }] },
      { name: 'models' },
    ],
  },
  broker: {
    exchanges: [
      { name: 'overlay', type: 'topic' },
      { name: 'overlay.dead', type: 'fanout' },
      { name: 'by-kind', type: 'headers' },
    ],
    queues: [{ name: 'frames', ttl_ms: 60_000, dlx: 'overlay.dead', arguments: { 'x-max-length': 1000 } }, { name: 'dead' }],
    bindings: [
      { exchange: 'overlay', queue: 'frames', key: 'frame.#' },
      { exchange: 'overlay.dead', queue: 'dead' },
      { exchange: 'by-kind', queue: 'frames', arguments: { 'x-match': 'any', kind: 'jpeg', size: 3 } },
    ],
  },
  vector: {
    classes: [
      {
        name: 'Frame',
        dimensions: 3,
        properties: [
          { name: 'Camera', type: 'text' },
          { name: 'tags', type: 'text[]' },
        ],
      },
      { name: 'Sound', properties: [] },
    ],
  },
};

/** Opens the embedded defaults on a folder, as after the start of a node, and counts what is written. */
async function open(folder: string) {
  const [clock, log, random] = [new SimulatedClock(), recordingLog(), seededRandom()];
  const storage = await createFsStorage({ root: join(folder, 'storage'), clock, random, log });
  const bus = createLocalBus({ path: join(folder, 'bus.sqlite'), clock, random, log });
  const vector = createEmbeddedIndex({ path: join(folder, 'vector.sqlite'), log });
  const spies = [
    spyOn<ObjectStorage>(bound(storage), STORAGE_WRITES),
    spyOn<EventBus>(bound(bus), BUS_WRITES),
    spyOn<VectorIndex>(bound(vector), VECTOR_WRITES),
  ] as const;
  const reconciler = createEnvironmentReconciler({
    node_id: 'node-1',
    storage: spies[0].port,
    bus: spies[1].port,
    vector: spies[2].port,
    clock,
    log,
    attempts: createAttempts({ files: memoryStateFiles(), clock, log }),
    report: () => {},
  });
  const close = async () => {
    for (const port of [vector, bus, storage]) await port.close();
  };
  return { reconciler, storage, bus, vector, close, writes: () => spies.flatMap(({ calls }) => calls) };
}

/** A copy whose methods belong to the original, whether it is an object or an instance. */
function bound<Port extends object>(port: Port): Port {
  return new Proxy(port, {
    ownKeys: (target) => [...new Set([...Reflect.ownKeys(target), ...Reflect.ownKeys(Object.getPrototypeOf(target) ?? {})])],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    get: (target, name) => {
      const value = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('reconcile on the embedded defaults', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-reconcile-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('applies a whole profile, and again writes nothing, after a restart too', async () => {
    const first = await open(folder);
    const components = await first.reconciler.apply(await desiredProfile(FULL));
    expect(Object.values(components).map(({ status, message }) => message ?? status)).toEqual(['applied', 'applied', 'applied']);
    const written = first.writes().length;
    expect((await first.reconciler.apply(await desiredProfile(FULL))).vector?.status).toBe('unchanged');
    expect(first.writes()).toHaveLength(written);
    await first.close();

    const second = await open(folder);
    const again = await second.reconciler.apply(await desiredProfile(FULL));
    // Confirms belong to a process: each start turns them on.
    expect(
      second
        .writes()
        .map(({ method }) => method)
        .filter((method) => method !== 'ensureConfirms'),
    ).toEqual([]);
    expect([again.storage?.status, again.vector?.status]).toEqual(['unchanged', 'unchanged']);
    await second.close();
  });

  test('longer lives are updated; shorter ones, other types and what is left out change nothing', async () => {
    const { reconciler, storage, bus, vector, writes, close } = await open(folder);
    await reconciler.apply(await desiredProfile(FULL));
    const before = writes().length;
    const changed = {
      storage: { buckets: [{ name: 'captures', versioning: false, lifecycle: [{ id: 'raw', prefix: '', expire_days: 1 }] }] },
      broker: { exchanges: [{ name: 'overlay', type: 'direct' }], queues: [{ name: 'frames', ttl_ms: 10 }] },
      vector: { classes: [{ name: 'Frame', dimensions: 4, properties: [{ name: 'camera', type: 'int' }] }] },
    };
    const components = await reconciler.apply(await desiredProfile(changed, 2));
    expect(writes()).toHaveLength(before);
    expect(Object.values(components).map(({ incompatible }) => incompatible.length)).toEqual([2, 3, 2]);
    expect(await storage.readBuckets(['captures'])).toMatchObject([{ versioning: 'enabled', lifecycle: [{ expire_days: 30 }] }]);

    const longer = { ...FULL.broker.queues[0], ttl_ms: 120_000 };
    await reconciler.apply(await desiredProfile({ broker: { queues: [longer] } }, 3));
    const { queues } = await bus.readTopology({ exchanges: [], queues: ['frames'], bindings: [] });
    expect(queues[0]?.ttl_ms).toBe(bus.capabilities.alter_ttl ? 120_000 : 60_000);
    expect((await vector.readClasses(['Frame']))[0]?.properties).toContainEqual({ name: 'camera', type: 'text' });
    await close();
  });
});
