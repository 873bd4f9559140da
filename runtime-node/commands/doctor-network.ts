import { createServer } from 'node:net';
import type { Client } from '../../shared/client.ts';
import { ApiError, reasonOf } from '../../shared/client.ts';
import type { Health } from '../../shared/contract/status.ts';
import type { Settings } from '../config.ts';
import { readHolder } from '../holder-file.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { connect, findLocalNode } from './connect.ts';
import { type Finding, fail, ok, warn } from './doctor-finding.ts';
import { CommandError } from './errors.ts';
import type { Io } from './io.ts';

/** How long somebody else may take to answer, milliseconds. */
const ANSWER_WITHIN_MS = 5_000;
/** A clock that differs more than this from another's is worth a warning, milliseconds. */
const CLOCK_DRIFT_MS = 30_000;

/** The node that runs on the data directory, with where it listens, or that its port is free for one. */
export async function checkProcess(settings: Settings): Promise<{ finding: Finding; url?: string }> {
  try {
    const { pid, url } = await findLocalNode(settings.data_dir);
    return { finding: ok('node', `process ${pid} runs on the data directory and listens at ${url}`), url };
  } catch (error) {
    // Somebody holds the directory: who starts, stops or hangs does not listen, and on a full disk it can't say where it does.
    if (readHolder(settings.data_dir) !== undefined) return { finding: warn('node', messageOf(error), adviceFor(error)) };
    const finding = await tryPort(settings);
    return { finding: finding ?? warn('node', `${messageOf(error)}; port ${settings.port} is free`, 'Start it with `bootplane up`.') };
  }
}

/** Undefined when a node could listen on the port. */
async function tryPort({ host, port }: Settings): Promise<Finding | undefined> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
    return undefined;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EADDRINUSE') {
      return fail(
        'node',
        `no node runs on the data directory, but another program listens on port ${port}`,
        'Choose another with BOOTPLANE_PORT or --port.',
      );
    }
    return fail(
      'node',
      `${host}:${port} can't be listened on: ${messageOf(error)}`,
      'Set BOOTPLANE_HOST and BOOTPLANE_PORT to what this machine has.',
    );
  } finally {
    server.close();
  }
}

/** Asks the node how it stands. Returns the client too when somebody answered, and what it told. */
export async function checkAnswer(io: Io, settings: Settings): Promise<{ finding: Finding; client?: Client; told?: Health }> {
  try {
    const client = await connect(io, settings);
    const told = (await client.health()).body;
    const { status, waiting_for = [] } = told;
    if (status === 'ok') return { client, told, finding: ok('health', `${client.url} is ok`) };
    const detail = `${client.url} is ${status}${waiting_for.length === 0 ? '' : `: waits for ${waiting_for.join(', ')}`}`;
    return { client, told, finding: warn('health', detail, '`bootplane status` and `bootplane events` say more.') };
  } catch (error) {
    return { finding: fail('health', messageOf(error), adviceFor(error)) };
  }
}

function adviceFor(error: unknown): string {
  if (error instanceof CommandError && error.hint !== undefined) return error.hint;
  if (error instanceof ApiError && error.problem.status === 401)
    return 'The fleet key is not the one of that node: BOOTPLANE_API_KEY, --data-dir.';
  return 'Start the node with `bootplane up`, or look at its log for why it does not answer.';
}

/** Somebody leads the site, which is that of the node, and this machine reaches them. */
export async function checkLeader(io: Io, client: Client, site: string | undefined): Promise<Finding> {
  try {
    const { leader_url, epoch, provisional } = (await client.leader(site === undefined ? {} : { site })).body;
    const at = `${leader_url}, epoch ${epoch}`;
    const answer = await ask(io, leader_url);
    if (!answer.ok) return fail('leader', `${at}, answers ${answer.status}`, 'Look at the log of that node.');
    const drift = driftOf(io, answer);
    if (drift > CLOCK_DRIFT_MS) {
      return warn(
        'leader',
        `${at}, answers, but the clocks differ by ${Math.round(drift / 1000)} s`,
        "Set this machine's clock (NTP), or that of the leader.",
      );
    }
    if (provisional) return warn('leader', `${at}, provisional`, 'The cloud has not confirmed it: see the check of the cloud.');
    return ok('leader', `${at}, answers`);
  } catch (error) {
    const nobody = error instanceof ApiError && error.problem.code === 'no_leader';
    const advice = nobody ? '`bootplane why` shows what the node found.' : 'Is the network between this machine and the leader up?';
    return fail('leader', messageOf(error), advice);
  }
}

/** The cloud answers, and its clock and ours agree. No credential is sent. `told` is what the node says of itself. */
export async function checkCloud(io: Io, { cloud_url }: Settings, told: Health | undefined): Promise<Finding> {
  if (cloud_url === undefined) {
    // A leader is confirmed or provisional only where there is a cloud.
    if (told?.confirmed !== true && told?.provisional !== true) return ok('cloud', 'none is set');
    const advice = 'Give the --cloud-url of the node to this command, too: then it is checked.';
    return warn('cloud', 'none is set here, and the site of the node has one: it was not looked at', advice);
  }
  try {
    const answer = await ask(io, cloud_url);
    if (!answer.ok)
      return fail('cloud', `${cloud_url} answers ${answer.status}`, 'Is BOOTPLANE_CLOUD_URL the address of the control plane?');
    const drift = driftOf(io, answer);
    if (drift > CLOCK_DRIFT_MS) {
      return warn(
        'cloud',
        `${cloud_url} answers, but the clocks differ by ${Math.round(drift / 1000)} s`,
        "Set this machine's clock (NTP).",
      );
    }
    return ok('cloud', `${cloud_url} answers`);
  } catch (error) {
    return fail(
      'cloud',
      `${cloud_url} is not reached: ${reasonOf(error)}`,
      'Check the address, DNS and the way to the internet. The node goes on without it.',
    );
  }
}

/** How far this clock and that of the answer are apart, milliseconds; NaN when it tells none. */
function driftOf(io: Io, answer: Response): number {
  return Math.abs(io.now() - Date.parse(answer.headers.get('date') ?? ''));
}

function ask(io: Io, url: string): Promise<Response> {
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
  return fetch(new URL('/healthz', url), { signal, redirect: 'manual' });
}
