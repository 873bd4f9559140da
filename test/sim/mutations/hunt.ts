import { fileURLToPath } from 'node:url';
import { type Report, runCrew } from '../crew.ts';
import type { Mutation } from './list.ts';

const PRELOAD = fileURLToPath(new URL('mutate.ts', import.meta.url));

export interface Hunt {
  readonly seeds: number;
  readonly jobs: number;
}

/** Runs mutated nodes until a seed breaks the invariant that is there for that; undefined when none of the seeds does. */
export async function hunt(mutation: Mutation, { seeds, jobs }: Hunt): Promise<Report | undefined> {
  const orders = Array.from({ length: seeds }, (_, index) => ({ seed: index + 1, nodes: 4, seconds: 80 }));
  let caught: Report | undefined;
  await runCrew({
    orders,
    jobs,
    preload: [PRELOAD],
    env: { SIM_MUTATION: mutation.name },
    onReport(report) {
      if (report.broken?.startsWith(mutation.breaks) === true) caught ??= report;
      return caught === undefined;
    },
  });
  return caught;
}
