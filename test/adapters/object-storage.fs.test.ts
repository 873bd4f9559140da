import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { objectStorageSuite } from '../conformance/object-storage.suite.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

objectStorageSuite('fs', async () => {
  const root = await mkdtemp(join(tmpdir(), 'storage-fs-'));
  const storage = await createFsStorage({ root, clock: new SimulatedClock(), random: seededRandom(), log: recordingLog() });
  return {
    storage,
    dispose: async () => {
      await storage.close();
      await rm(root, { recursive: true });
    },
  };
});
