import { seal } from './sealed.ts';
import { installSyncCrypto } from './sync-crypto.ts';

/** Runs the seeds that its parent names, one after the other, and sends back what came of each. */
export interface Order {
  readonly seed: number;
  readonly nodes: number;
  readonly seconds: number;
}

installSyncCrypto();
const { runSeed } = await import('./run-seed.ts');
// Nobody reads the stacks of errors that are part of a simulated life, and to take them costs a tenth of the time.
Error.stackTraceLimit = 0;
seal();
process.on('message', async ({ seed, nodes, seconds }: Order) => {
  const { broken, transcript: _, ...result } = await runSeed(seed, { nodes, seconds });
  process.send?.({ ...result, ...(broken === undefined ? {} : { broken: broken.message }) });
});
process.send?.('ready');
