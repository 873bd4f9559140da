import { describe } from 'vitest';
import { vectorIndexSuite } from '../conformance/vector-index.suite.ts';
import { dropClasses, openWeaviate, whyNoWeaviate } from '../support/weaviate.ts';

const why = whyNoWeaviate();

describe.skipIf(why !== undefined)(`a real Weaviate${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  vectorIndexSuite('Weaviate', async () => {
    const index = openWeaviate();
    const dispose = async () => {
      await index.close();
      await dropClasses('Suite');
    };
    return { index, dispose };
  });
});
