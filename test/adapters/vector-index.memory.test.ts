import { vectorIndexSuite } from '../conformance/vector-index.suite.ts';
import { memoryVectorIndex } from '../support/memory-vector-index.ts';

for (const fixed_dimensions of [true, false]) {
  vectorIndexSuite(`memory, dimensions fixed ${fixed_dimensions ? 'by the class' : 'by the first object'}`, async () => {
    const index = memoryVectorIndex({ fixed_dimensions });
    return { index, dispose: () => index.close() };
  });
}
