import { vectorIndexSuite } from '../../../conformance/vector-index.suite.ts';
import { vectorWorld } from '../../../support/vector-world.ts';

vectorIndexSuite('an external that is present, with an embedded default beside it', async () => {
  const world = await vectorWorld();
  const node = world.start();
  await world.settle(node);
  return { index: node.port, dispose: async () => node.crash() };
});
