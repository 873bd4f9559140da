import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type Report, runCrew } from './crew.ts';
import { installPlatform } from './platform.ts';
import { Tally } from './tally.ts';
import type { TraceLevel } from './trace.ts';
import type { Keyless } from './world.ts';

const USAGE = `npm run sim -- [--seeds N] [--from SEED] [--nodes N] [--seconds N] [--jobs N] [--keep-going] [--keyless all|some]
npm run sim -- --seed SEED [--nodes N] [--seconds N] [--log] [--wire] [--keyless all|some]

The first form runs N seeds and says what was covered, also when it is stopped (Ctrl-C); the second replays one and prints what happened.
`;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    nodes: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '120' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    log: { type: 'boolean', default: false },
    wire: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    keyless: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const [nodes, seconds] = [Number(values.nodes), Number(values.seconds)];
const keyless: { keyless?: Keyless } = values.keyless === 'all' || values.keyless === 'some' ? { keyless: values.keyless } : {};
/** The exit code of a run that was stopped, as shells have it for SIGINT. */
const STOPPED = 130;
/** After so many seeds a line says how far a run has come. */
const PROGRESS_EVERY = 100;
const print = (text: string) => process.stdout.write(`${text}\n`);

if (values.help) print(USAGE);
else process.exitCode = values.seed === undefined ? await runMany() : await replay(Number(values.seed));

/** Prints what happened to one seed. Returns the exit code. */
async function replay(seed: number): Promise<number> {
  installPlatform();
  const { runSeed } = await import('./run-seed.ts');
  const keep: TraceLevel[] = ['step', ...(values.log ? (['log'] as const) : []), ...(values.wire ? (['wire'] as const) : [])];
  const { transcript, digest, broken } = await runSeed(seed, { nodes, seconds, keep, ...keyless });
  print(transcript);
  print(`trace ${digest}`);
  print(broken === undefined ? 'no invariant was broken' : `BROKEN ${broken.message}`);
  return broken === undefined ? 0 : 1;
}

async function runMany(): Promise<number> {
  const from = Number(values.from);
  const orders = Array.from({ length: Number(values.seeds) }, (_, index) => ({ seed: from + index, nodes, seconds, ...keyless }));
  const tally = new Tally(seconds);
  const failed: Report[] = [];
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => stop.abort());
  const onReport = (report: Report) => {
    tally.add(report);
    if (tally.seeds % PROGRESS_EVERY === 0) process.stderr.write(`${tally.progress(orders.length)}, ${failed.length} broken\n`);
    if (report.broken === undefined) return true;
    failed.push(report);
    print(`seed ${report.seed}: ${report.broken}`);
    return values['keep-going'];
  };
  await runCrew({ orders, jobs: Number(values.jobs), signal: stop.signal, onReport });
  print(tally.render());
  if (stop.signal.aborted) print(`stopped after ${tally.seeds} of ${orders.length} seeds; ${failed.length} of them broke an invariant`);
  const [first] = failed;
  if (stop.signal.aborted) return first === undefined ? STOPPED : 1;
  if (first === undefined) return 0;
  await replay(first.seed);
  print(`\n${failed.length} of ${tally.seeds} seeds broke an invariant. To see it again:`);
  print(
    `  npm run sim -- --seed ${first.seed} --nodes ${nodes} --seconds ${seconds} --log${keyless.keyless === undefined ? '' : ` --keyless ${keyless.keyless}`}`,
  );
  return 1;
}
