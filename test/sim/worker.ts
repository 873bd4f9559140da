import { installPlatform } from './platform.ts';
import { seal } from './sealed.ts';
import type { Keyless } from './world.ts';

/** Runs the seeds that its parent names, one after the other, and sends back what came of each. */
export interface Order {
  readonly seed: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly keyless?: Keyless;
}

installPlatform();
const { runSeed } = await import('./run-seed.ts');
// Nobody reads the stacks of errors that are part of a simulated life, and to take them costs a tenth of the time.
Error.stackTraceLimit = 0;
seal();
let current: Order | undefined;
process.on('message', async (order: Order) => {
  current = order;
  const { seed, ...options } = order;
  const { broken, transcript: _, ...result } = await runSeed(seed, options);
  process.send?.({ ...result, ...(broken === undefined ? {} : { broken: broken.message }) });
});
// On a real machine it would end the process of the node.
process.on('unhandledRejection', (error) => {
  const broken = `nothing crashes a node: nobody caught ${error instanceof Error ? error.message : String(error)}`;
  process.send?.({ seed: current?.seed ?? 0, digest: '', broken, faults: {}, covered: {}, events: 0 }, () => process.exit(1));
});
// Who stops a run at a terminal stops all of its processes; the first one says how far it came and ends these.
process.on('SIGINT', () => undefined);
process.send?.('ready');
