import { afterAll, beforeAll, describe } from 'vitest';
import { classCases } from './vector-index.classes.ts';
import { type VectorHarness, vectorSuite } from './vector-index.context.ts';
import { objectCases } from './vector-index.objects.ts';
import { removalCases } from './vector-index.removals.ts';
import { searchCases } from './vector-index.search.ts';

export type { VectorHarness };

/**
 * The promises of shared/ports/vector-index.ts. Runs unchanged against each backend: every test uses
 * classes of its own, and what a backend cannot do (`capabilities`) is tested as it is then.
 */
export function vectorIndexSuite(name: string, makeHarness: () => Promise<VectorHarness>): void {
  let harness: VectorHarness;
  const suite = vectorSuite(() => harness);

  describe(`vector index: ${name}`, () => {
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.dispose());

    classCases(suite);
    objectCases(suite);
    searchCases(suite);
    removalCases(suite);
  });
}
