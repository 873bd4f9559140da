import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import { vectorIndexSuite } from '../conformance/vector-index.suite.ts';
import { recordingLog } from '../support/recording-log.ts';

vectorIndexSuite('embedded, in memory', async () => {
  const index = createEmbeddedIndex({ log: recordingLog() });
  return { index, dispose: () => index.close() };
});

vectorIndexSuite('embedded, in a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-vectors-'));
  const index = createEmbeddedIndex({ path: join(folder, 'vectors.db'), log: recordingLog() });
  const dispose = async () => {
    await index.close();
    await rm(folder, { recursive: true });
  };
  return { index, dispose };
});
