import { documentHash } from '../../shared/contract/canonical.ts';
import type { BootstrapEvent } from '../../shared/contract/event.ts';
import { EnvironmentProfile } from '../../shared/contract/profile.ts';
import type { BusCapabilities, EventBus } from '../../shared/ports/event-bus.ts';
import type { ObjectStorage, StorageCapabilities } from '../../shared/ports/object-storage.ts';
import type { VectorCapabilities, VectorIndex } from '../../shared/ports/vector-index.ts';
import { createAttempts } from '../../shared/reconcile/attempts.ts';
import { createEnvironmentReconciler, type ReconcilerDeps } from '../../shared/reconcile/reconciler.ts';
import type { Desired } from '../../shared/reconcile/types.ts';
import { memoryEventBus } from './memory-event-bus.ts';
import { memoryObjectStorage } from './memory-object-storage.ts';
import { BUS_WRITES, type Fault, STORAGE_WRITES, spyOn, VECTOR_WRITES } from './memory-spy.ts';
import { memoryStateFiles } from './memory-state-files.ts';
import { memoryVectorIndex } from './memory-vector-index.ts';
import { recordingLog } from './recording-log.ts';
import { SimulatedClock } from './simulated-clock.ts';

/** A profile as an operator writes it. */
export type ProfileInput = Parameters<typeof EnvironmentProfile.parse>[0];

/** A profile with its defaults and what names it. */
export async function desiredProfile(input: ProfileInput, generation = 1): Promise<Desired<EnvironmentProfile>> {
  return { body: EnvironmentProfile.parse(input), generation, hash: await documentHash(input) };
}

export interface EnvironmentOptions {
  readonly storage?: Partial<StorageCapabilities>;
  readonly bus?: Partial<BusCapabilities>;
  readonly vector?: Partial<VectorCapabilities>;
}

/** The three backends of a node, which stay when a node is started anew. */
export function memoryBackends(options: EnvironmentOptions = {}) {
  const clock = new SimulatedClock();
  return {
    clock,
    files: memoryStateFiles(),
    storage: memoryObjectStorage(clock, options.storage),
    bus: memoryEventBus(clock, options.bus),
    vector: memoryVectorIndex(options.vector),
  };
}

export type Backends = ReturnType<typeof memoryBackends>;

/** A reconciler on these backends, as after the start of a node. Counts all writes and reads; faults may be put in between. */
export function startReconciler(
  backends: Backends,
  faults: { storage?: Fault; bus?: Fault; vector?: Fault } & Pick<ReconcilerDeps, 'call_limit_ms' | 'reconciledBy'> = {},
) {
  const storage = spyOn<ObjectStorage>(backends.storage, [...STORAGE_WRITES, 'readBuckets'], faults.storage);
  const bus = spyOn<EventBus>(backends.bus, [...BUS_WRITES, 'readTopology'], faults.bus);
  const vector = spyOn<VectorIndex>(backends.vector, [...VECTOR_WRITES, 'readClasses'], faults.vector);
  const events: BootstrapEvent[] = [];
  const log = recordingLog();
  const attempts = createAttempts({ files: backends.files, clock: backends.clock, log });
  const reconciler = createEnvironmentReconciler({
    node_id: 'node-1',
    storage: storage.port,
    bus: bus.port,
    vector: vector.port,
    clock: backends.clock,
    log,
    attempts,
    report: (event) => events.push(event),
    ...(faults.reconciledBy === undefined ? {} : { reconciledBy: faults.reconciledBy }),
    ...(faults.call_limit_ms === undefined ? {} : { call_limit_ms: faults.call_limit_ms }),
  });
  const calls = () => [...storage.calls, ...bus.calls, ...vector.calls];
  return { reconciler, events, log, calls, writes: () => calls().filter(({ method }) => !method.startsWith('read')) };
}
