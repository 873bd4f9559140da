import { mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createArtifactStore } from '../../shared/supervisor/store/artifacts.ts';
import { type ArtifactStoreHarness, artifactStoreSuite } from '../conformance/artifact-store.suite.ts';
import { sha256 } from '../support/archives.ts';
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

test('an artifact that can not be read for now, as with too many open files, is not dropped', async () => {
  const root = await mkdtemp(join(tmpdir(), 'artifact-store-'));
  const log = recordingLog();
  const storage = await createFsStorage({ root, clock: new SimulatedClock(), random: seededRandom(), log });
  try {
    const store = createArtifactStore({ storage, log });
    const bytes = new TextEncoder().encode('an artifact');
    const hash = sha256(bytes);
    await store.put(hash, new Blob([bytes]).stream());
    const [path = ''] = await bodies(root);
    await rename(path, join(root, 'elsewhere'));
    await symlink(path, path);
    await expect(store.get(hash)).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining('ELOOP') });
    await rename(join(root, 'elsewhere'), path);
    expect(await new Response((await store.get(hash))?.body as BodyInit).text()).toBe('an artifact');
  } finally {
    await storage.close();
    await rm(root, { recursive: true });
  }
});
