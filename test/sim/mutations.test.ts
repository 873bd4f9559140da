import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { hunt } from './mutations/hunt.ts';
import { MUTATIONS } from './mutations/list.ts';

/** A limit for what hangs: most are caught by one of the first seeds. */
const LIMIT_MS = 600_000;
const SEEDS = 60;

describe('each invariant bites: some seed catches', () => {
  it.each(MUTATIONS.map((mutation) => [mutation.name, mutation] as const))('%s', { timeout: LIMIT_MS }, async (_name, mutation) => {
    const caught = await hunt(mutation, { seeds: SEEDS, jobs: Math.min(4, availableParallelism()) });
    expect(caught?.broken).toMatch(new RegExp(`^${mutation.breaks}: `));
  });
});
