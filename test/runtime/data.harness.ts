import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import type { EnvironmentProfile } from '../../shared/contract/profile.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import type { Log } from '../../shared/ports/log.ts';
import type { ObjectStorage } from '../../shared/ports/object-storage.ts';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { memoryEventBus } from '../support/memory-event-bus.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { memoryVectorIndex } from '../support/memory-vector-index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import type { Harness } from './harness.ts';
import { startOnNode } from './node-harness.ts';

/** The node whose data API is asked. */
export const NODE = 'n1';

export interface DataPortsUnderTest {
  /** Lets `ms` milliseconds pass: moves a simulated clock, or really waits. */
  elapse(ms: number): Promise<void>;
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
  /** Closes the ports and removes what was made for them. */
  dispose(): Promise<void>;
}

export interface DataWorld extends DataPortsUnderTest {
  readonly harness: Harness;
  /** The token of a service of this node. */
  readonly token: string;
  /** Whether requests come from the machine of the node. */
  here: boolean;
  /** One call of a service. */
  fetch(request: string, init?: RequestInit & { readonly as?: string }): Promise<Response>;
  close(): Promise<void>;
}

export async function memoryPorts(): Promise<DataPortsUnderTest> {
  const clock = new SimulatedClock();
  const elapse = (ms: number) => clock.advance(ms);
  const ports = { elapse, storage: memoryObjectStorage(clock), bus: memoryEventBus(clock), vector: memoryVectorIndex() };
  return { ...ports, dispose: () => closeAll(ports) };
}

export async function embeddedPorts(): Promise<DataPortsUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-data-'));
  const clock = new SimulatedClock();
  const parts = { clock, random: seededRandom(), log: recordingLog() };
  const ports = {
    elapse: (ms: number) => clock.advance(ms),
    storage: await createFsStorage({ ...parts, root: join(folder, 'storage') }),
    bus: createLocalBus({ ...parts, path: join(folder, 'bus.sqlite') }),
    vector: createEmbeddedIndex({ ...parts, path: join(folder, 'vector.sqlite') }),
  };
  const dispose = async () => {
    await closeAll(ports);
    await rm(folder, { recursive: true });
  };
  return { ...ports, dispose };
}

async function closeAll({ storage, bus, vector }: Pick<DataPortsUnderTest, 'storage' | 'bus' | 'vector'>): Promise<void> {
  await Promise.all([storage.close(), bus.close(), vector.close()]);
}

const PROFILE: EnvironmentProfile = {
  storage: { buckets: [{ name: 'captures', tags: {}, lifecycle: [] }] },
  broker: {
    exchanges: [{ name: 'cameras', type: 'topic' }],
    queues: [{ name: 'frames', type: 'classic', arguments: {} }],
    bindings: [{ exchange: 'cameras', queue: 'frames', key: 'frame.#', arguments: {} }],
  },
  vector: { classes: [{ name: 'Frame', dimensions: 3, properties: [{ name: 'camera', type: 'text' }] }] },
};

/** A Supervisor of node `n1` with a bucket, an exchange with a queue, and a class. */
export async function startData(open: () => Promise<DataPortsUnderTest>, log: Log = recordingLog()): Promise<DataWorld> {
  const ports = await open();
  const { storage, bus, vector } = ports;
  for (const { name } of PROFILE.storage.buckets) await storage.ensureBucket(name);
  for (const one of PROFILE.broker.exchanges) await bus.ensureExchange(one);
  for (const one of PROFILE.broker.queues) await bus.ensureQueue(one);
  for (const one of PROFILE.broker.bindings) await bus.ensureBinding(one);
  for (const one of PROFILE.vector.classes) await vector.ensureClass(one);
  const state = { here: true };
  const harness = await startOnNode({
    log,
    data: { storage, bus, vector, isFromHere: () => state.here },
    self: {
      ...{ node_id: NODE, instance_id: 'boot-1', origins: () => [], provisional: () => false, confirmed: () => false },
      leadership: () => ({ leads: true, epoch_seen: 0, eligible: true }),
      hear: () => undefined,
    },
  });
  const token = await harness.keys.serviceToken(NODE, 'api');
  return Object.assign(state, ports, {
    harness,
    token,
    fetch: (request: string, { as = token, ...init }: RequestInit & { readonly as?: string } = {}) => {
      const [method = 'GET', path = '/'] = request.split(' ');
      const json = typeof init.body === 'string' && method === 'POST' ? { 'content-type': 'application/json' } : {};
      return harness.fetch(path, { ...init, method, headers: { authorization: `Bearer ${as}`, ...json, ...init.headers } });
    },
    close: async () => {
      await harness.close();
      await ports.dispose();
    },
  });
}
