import { objectStorageSuite } from '../conformance/object-storage.suite.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

objectStorageSuite('memory', async () => ({ storage: memoryObjectStorage(new SimulatedClock()), dispose: async () => {} }));

objectStorageSuite('memory that can do nothing but keep objects', async () => ({
  storage: memoryObjectStorage(new SimulatedClock(), { versioning: false, lifecycle: false, tags: false }),
  dispose: async () => {},
}));
