import { objectStorageSuite } from '../conformance/object-storage.suite.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

objectStorageSuite('memory', async () => ({ storage: memoryObjectStorage(new SimulatedClock()), dispose: async () => {} }));

const nothing = { versioning: false, lifecycle: false, tags: false, nested_keys: false, records_maker: false };
objectStorageSuite(
  'memory that can do nothing but keep objects',
  async () => ({ storage: memoryObjectStorage(new SimulatedClock(), nothing), dispose: async () => {} }),
  nothing,
);
