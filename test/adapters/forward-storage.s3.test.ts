import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { createSqliteBacklog } from '../../runtime-node/adapters/backlog/index.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createForwardStorage } from '../../shared/reconcile/fall-forward/storage.ts';
import { objectStorageSuite } from '../conformance/object-storage.suite.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import { CEPH, CONFIGURED, openS3, titled } from './object-storage.s3.support.ts';

for (const kind of [CEPH, CONFIGURED]) {
  describe.skipIf(kind.missing !== undefined)(`with an embedded default beside it: ${titled(kind)}`, () => {
    objectStorageSuite('s3', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'bootplane-forward-'));
      const store = await kind.start();
      const parts = { clock: systemClock, random: seededRandom(), log: recordingLog() };
      const fallback = await createFsStorage({ root: join(folder, 'storage'), ...parts });
      const backlog = createSqliteBacklog({ path: join(folder, 'backlog.sqlite'), ...parts });
      const forward = createForwardStorage({ external: openS3(store), fallback, backlog, ...parts });
      const ended = new AbortController();
      const running = forward.run(ended.signal);
      return {
        storage: forward.port,
        dispose: async () => {
          ended.abort();
          await running;
          await forward.port.close();
          await backlog.close();
          await store.stop();
          await rm(folder, { recursive: true });
        },
      };
    });
  });
}
