import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../../shared/contract/problem.ts';
import type { Settings } from '../config.ts';
import { LEAVE_PATH, LeaveAnswer } from '../node-control.ts';
import { isAlive } from '../process-alive.ts';
import { messageOf } from '../thrown.ts';
import type { Define } from './command.ts';
import { findCredential, findLocalNode, parseJson } from './connect.ts';
import { CommandError } from './errors.ts';
import { type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane leave                       the node on this machine says goodbye to its fleet, and ends
  bootplane leave --data-dir ./node-2   another one

Its services stop here, and the fleet places them elsewhere at once instead of after a time. What it has stays in the
data directory: \`bootplane up\` brings it back as the same node.`;

/** How long the answer may take, milliseconds. */
const ANSWER_WITHIN_MS = 15_000;
/** Services may take minutes to stop: so long the end is waited for, milliseconds. */
const END_WITHIN_MS = 600_000;
const LOOK_MS = 50;

export const define: Define = (command, run) => {
  addSettings(command, ['data_dir'])
    .option('--json', 'print what left, and why nobody was told, if so')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const settings = settingsFrom(io, command);
        const { url, pid } = await findLocalNode(settings.data_dir);
        const { node_id, untold } = await ask(io, url, await findCredential(settings));
        await withProgress(io, 'the node stops its services and leaves', ended(io, pid));
        if (command.opts().json === true)
          printJson(io, { node_id, left: untold === undefined, ...(untold === undefined ? {} : { untold }) });
        else printLines(io, tell(node_id, settings, untold));
      }),
    );
};

function tell(node_id: string, { data_dir }: Settings, untold: LeaveAnswer['untold']): string[] {
  const back = `its data stays in ${data_dir}; \`bootplane up\` brings it back`;
  if (untold === undefined) return [`node ${node_id} has left`, back];
  const stopped = `node ${node_id} has stopped here, and nobody was told`;
  if (untold === 'alone')
    return [`${stopped}: it followed nobody. Who knows it counts it as lost after three times the time to live`, back];
  return [
    `${stopped}: another machine runs as this node, and that one stays in the fleet`,
    `its data stays in ${data_dir}; remove node.json there before \`bootplane up\`, which then makes a node of its own`,
  ];
}

async function ask(io: Io, url: string, credential: string): Promise<LeaveAnswer> {
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
  const headers = { authorization: `Bearer ${credential}` };
  const response = await fetch(new URL(LEAVE_PATH, url), { method: 'POST', headers, signal }).catch((error: unknown) => {
    throw new CommandError(
      'unreachable',
      `${url} does not answer: ${messageOf(error)}`,
      'End its process with SIGTERM: that stops it in order.',
    );
  });
  const body = parseJson(await response.text());
  const answer = LeaveAnswer.safeParse(body);
  if (response.ok && answer.success) return answer.data;
  const problem = Problem.safeParse(body);
  const detail = problem.success ? problem.data.detail : `${url} answers ${response.status}`;
  throw new CommandError('refused', detail, 'End its process with SIGTERM: that stops it in order.');
}

async function ended(io: Io, pid: number): Promise<void> {
  const until = performance.now() + END_WITHIN_MS;
  while (isAlive(pid)) {
    if (performance.now() > until || io.signal.aborted) {
      throw new CommandError('failed', `process ${pid} has not ended yet`, 'It is on its way: its log says what it waits for.');
    }
    await sleep(LOOK_MS);
  }
}
