import { spawnSync } from 'node:child_process';
import type { Row } from './report.ts';

const SEEDS = 40;

/** Whole fleets of five nodes in the simulator, 120 simulated seconds each, on all cores. */
export async function benchSim(): Promise<Row[]> {
  const { stdout, status } = spawnSync(process.execPath, ['test/sim/main.ts', '--seeds', String(SEEDS)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the simulation failed:\n${stdout.slice(-4000)}`);
  const [, seeds = ''] = /([\d.]+) seeds per second/.exec(stdout) ?? [];
  const [, seconds = ''] = /(\d+) simulated seconds per second/.exec(stdout) ?? [];
  return [
    { what: `simulation of 5 nodes, ${SEEDS} seeds of 120 s: simulated seconds per real second`, figure: `${seconds} (${seeds} seeds/s)` },
  ];
}
