import { objectStorageSuite } from '../../../conformance/object-storage.suite.ts';
import { startNode } from './storage.harness.ts';

objectStorageSuite('with an external that answers', async () => {
  const { port, stop } = await startNode();
  return { storage: port, dispose: stop };
});
