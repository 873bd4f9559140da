import { join } from 'node:path';
import * as z from 'zod';
import type { Define } from './command.ts';
import { parseJson, readOptional } from './connect.ts';
import { CommandError } from './errors.ts';
import { formatAge, oneLine } from './format.ts';
import { type Colors, colorsFor, type Io, printJson, printLines } from './io.ts';
import { addSettings, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane why                       the last discovery of the node on this machine
  bootplane why --data-dir ./node-2   of another one
  bootplane why --json

It reads a file of the data directory, so it works when the node does not run, too.`;

/** Written by Discovery (shared/discovery/trace.ts). Words that this version does not know are shown as they are. */
const TRACE_FILE = 'discovery-trace.json';
const Trace = z.object({
  node_id: z.string(),
  at: z.string(),
  reason: z.string(),
  steps: z.array(
    z.object({
      step: z.string(),
      outcome: z.string(),
      url: z.string().optional(),
      detail: z.string(),
      candidates: z
        .array(z.object({ url: z.string(), node_id: z.string().optional(), outcome: z.string(), detail: z.string() }))
        .optional(),
      duration_ms: z.number(),
    }),
  ),
  result: z.string(),
  duration_ms: z.number(),
});
type Trace = z.infer<typeof Trace>;

const REASONS: Readonly<Record<string, string>> = {
  boot: 'it had just started',
  lost: 'it had lost its control plane',
  takeover: 'its leader was gone',
  hint: 'somebody on its network told of something new',
  periodic: 'it looks again from time to time, for a better one',
};
const STEPS: Readonly<Record<string, string>> = {
  mdns: 'nodes on the LAN (multicast DNS)',
  peers: 'nodes that it remembers',
  cloud: 'the cloud',
  self: 'itself',
};
const OUTCOMES: Readonly<Record<string, string>> = {
  found: 'found',
  rejected: 'rejected',
  no_answer: 'no answer',
  off: 'not tried',
};

export const define: Define = (command, run) => {
  addSettings(command, ['data_dir'])
    .option('--json', 'print the trace')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const trace = await readTrace(settingsFrom(io, command).data_dir);
        if (command.opts().json === true) printJson(io, trace);
        else printLines(io, tellTrace(io, trace));
      }),
    );
};

async function readTrace(dataDir: string): Promise<Trace> {
  const path = join(dataDir, TRACE_FILE);
  const text = await readOptional(path);
  if (text === undefined) {
    const hint = 'Is this the data directory of a node (--data-dir)? A node writes it in its first seconds; `bootplane up` starts one.';
    throw new CommandError('file', `no discovery is recorded: there is no ${path}`, hint);
  }
  const parsed = Trace.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new CommandError('file', `${path} is not readable`, 'The node writes it again at its next discovery.');
}

function tellTrace(io: Io, trace: Trace): string[] {
  const colors = colorsFor(io);
  const why = REASONS[trace.reason] ?? oneLine(trace.reason);
  const steps = trace.steps.flatMap((step, index) => [
    [
      `  ${index + 1}.`,
      STEPS[step.step] ?? oneLine(step.step),
      colorOutcome(colors, step.outcome),
      oneLine(withUrl(step.url, step.detail)),
      colors.dim(step.outcome === 'off' ? '' : `${Math.round(step.duration_ms)} ms`),
    ],
    ...(step.candidates ?? []).map(({ url, node_id, outcome, detail }) => [
      '',
      `  ${oneLine(node_id ?? 'somebody')}`,
      colorOutcome(colors, outcome),
      oneLine(withUrl(url, detail)),
      '',
    ]),
  ]);
  return [
    `${colors.bold('node')} ${trace.node_id} looked for its control plane ${formatAge(io, trace.at)} (${trace.at}), since ${why}:`,
    '',
    ...formatTable(['', 'ASKED', 'OUTCOME', 'WHY', 'TOOK'], steps),
    '',
    `${colors.bold('so:')} ${oneLine(trace.result)} ${colors.dim(`(after ${Math.round(trace.duration_ms)} ms)`)}`,
  ];
}

/** Some details begin with the address themselves. */
function withUrl(url: string | undefined, detail: string): string {
  return url === undefined || detail.startsWith(url) ? detail : `${url}: ${detail}`;
}

function colorOutcome(colors: Colors, outcome: string): string {
  const word = OUTCOMES[outcome] ?? oneLine(outcome);
  if (outcome === 'found') return colors.green(word);
  if (outcome === 'rejected') return colors.red(word);
  return outcome === 'off' ? colors.dim(word) : colors.yellow(word);
}
