import { describe } from 'vitest';
import { objectStorageSuite } from '../conformance/object-storage.suite.ts';
import { CEPH, CONFIGURED, openS3, titled } from './object-storage.s3.support.ts';

for (const kind of [CEPH, CONFIGURED]) {
  describe.skipIf(kind.missing !== undefined)(titled(kind), () => {
    objectStorageSuite('s3', async () => {
      const store = await kind.start();
      const storage = openS3(store);
      return {
        storage,
        dispose: async () => {
          await storage.close();
          await store.stop();
        },
      };
    });
  });
}
