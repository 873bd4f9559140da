import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Order } from './worker.ts';

/** What came of one seed. */
export interface Report {
  readonly seed: number;
  readonly digest: string;
  readonly broken?: string;
  readonly faults: Readonly<Record<string, number>>;
  readonly covered: Readonly<Record<string, number>>;
  readonly events: number;
}

export interface CrewOptions {
  readonly orders: readonly Order[];
  /** Processes side by side. */
  readonly jobs: number;
  /** Modules that each process loads first, and what they find in their environment. */
  readonly preload?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the run: seeds that are under way are given up and not reported. */
  readonly signal?: AbortSignal;
  /** Returns whether to go on. */
  onReport(report: Report): boolean;
}

/** A seed that takes longer than this, milliseconds, goes round in circles. */
const PATIENCE_MS = 300_000;
const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));

/** Runs all orders in processes of their own, and resolves when they are done or nobody wants more. */
export async function runCrew(options: CrewOptions): Promise<void> {
  const orders = [...options.orders];
  const jobs = Math.min(options.jobs, orders.length);
  const go = { on: true };
  await Promise.all(Array.from({ length: jobs }, () => work(options, orders, go)));
}

async function work(options: CrewOptions, orders: Order[], go: { on: boolean }): Promise<void> {
  const { preload = [], env = {}, signal } = options;
  if (signal?.aborted === true) return;
  const worker = fork(WORKER, {
    execArgv: preload.flatMap((module) => ['--import', module]),
    env: { ...process.env, ...env },
  });
  let current: Order | undefined;
  let watch: NodeJS.Timeout | undefined;
  const next = () => {
    clearTimeout(watch);
    current = go.on ? orders.shift() : undefined;
    if (current === undefined) return void worker.kill('SIGKILL');
    watch = setTimeout(() => worker.kill('SIGKILL'), PATIENCE_MS);
    worker.send(current);
  };
  const stop = () => {
    go.on = false;
    current = undefined;
    worker.kill('SIGKILL');
  };
  signal?.addEventListener('abort', stop, { once: true });
  const tell = (report: Report) => {
    if (!options.onReport(report)) go.on = false;
  };
  await new Promise<void>((resolve) => {
    worker.on('message', (message: 'ready' | Report) => {
      if (message !== 'ready') tell(message);
      next();
    });
    worker.once('exit', (code, killed_by) => {
      clearTimeout(watch);
      signal?.removeEventListener('abort', stop);
      const why = `its process ended (${killed_by ?? code}): it failed, or took longer than ${PATIENCE_MS / 1000} s`;
      if (current !== undefined) tell({ seed: current.seed, digest: '', broken: why, faults: {}, covered: {}, events: 0 });
      else if (go.on && orders.length > 0)
        tell({ seed: orders[0]?.seed ?? 0, digest: '', broken: why, faults: {}, covered: {}, events: 0 });
      resolve();
    });
  });
}
