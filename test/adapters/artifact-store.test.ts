import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createArtifactStore } from '../../shared/supervisor/store/artifacts.ts';
import { type ArtifactStoreHarness, artifactStoreSuite } from '../conformance/artifact-store.suite.ts';
import { memoryArtifactStore } from '../support/memory-artifact-store.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const max_bytes = 2000;

artifactStoreSuite('memory', async () => ({ store: memoryArtifactStore(max_bytes), max_bytes, dispose: async () => {} }));

artifactStoreSuite('over object storage in memory', async () => {
  const storage = memoryObjectStorage(new SimulatedClock());
  return { store: createArtifactStore({ storage, log: recordingLog(), max_bytes }), max_bytes, dispose: async () => {} };
});

artifactStoreSuite('over object storage on the file system', async (): Promise<ArtifactStoreHarness> => {
  const root = await mkdtemp(join(tmpdir(), 'artifact-store-'));
  const storage = await createFsStorage({ root, clock: new SimulatedClock(), random: seededRandom(), log: recordingLog() });
  const store = createArtifactStore({ storage, log: recordingLog(), max_bytes });
  return {
    store,
    max_bytes,
    async damage(sha256) {
      const found = await store.get(sha256);
      if (found === undefined) throw new Error('there is nothing to damage');
      const wanted = Buffer.from(await new Response(found.body as BodyInit).arrayBuffer());
      for (const path of await bodies(root)) {
        const bytes = await readFile(path);
        if (!bytes.equals(wanted)) continue;
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        await writeFile(path, bytes);
      }
    },
    async dispose() {
      await storage.close();
      await rm(root, { recursive: true });
    },
  };
});

async function bodies(root: string): Promise<string[]> {
  const found = await readdir(join(root, 'bodies'), { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
