import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { type Report, runCrew } from './crew.ts';
import { FAULT_NAMES } from './faults.ts';

/** `npm run sim` runs as many as one likes; these run with every test. */
const SEEDS = Number(process.env.SIM_SEEDS ?? 200);
const LIMIT_MS = 600_000;

describe('a site that a seed does its worst to', () => {
  it(`breaks no invariant and comes together again (${SEEDS} seeds)`, { timeout: LIMIT_MS }, async () => {
    const orders = Array.from({ length: SEEDS }, (_, index) => ({ seed: index + 1, nodes: 4, seconds: 60 }));
    const reports: Report[] = [];
    await runCrew({ orders, jobs: Math.min(4, availableParallelism()), onReport: (report) => reports.push(report) > 0 });
    const broken = reports.flatMap((one) =>
      one.broken === undefined
        ? []
        : [`seed ${one.seed}: ${one.broken}; see npm run sim -- --seed ${one.seed} --nodes 4 --seconds 60 --log`],
    );
    expect(broken).toEqual([]);
    expect(reports.length).toBe(SEEDS);
    const injected = new Set(reports.flatMap(({ faults }) => Object.keys(faults)));
    expect([...injected].toSorted()).toEqual([...FAULT_NAMES].toSorted());
  });
});
