import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../support/free-port.ts';
import { until } from '../../support/until.ts';
import { refuseSaidSecrets } from './said-secrets.ts';

export interface WorkerProcess {
  readonly url: string;
  output(): string;
  /** Ends its process and keeps its database. */
  halt(): Promise<void>;
  /** Starts it again where it was, with what it had. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

const WRANGLER = 'node_modules/wrangler/bin/wrangler.js';
/** No update check, no metrics: nothing leaves the machine. */
const ENV = { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true', CI: '1', NO_COLOR: '1' };

/** Wrangler runs workerd as a child of its own. Nothing is left to end when it has failed. */
function endGroup({ pid, exitCode, signalCode }: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): void {
  if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, signal);
}

/** The Supervisor under `wrangler dev` with a local D1 of its own, migrated by wrangler. */
export async function startWorkerProcess(fleetKey: string, vars: Readonly<Record<string, string>> = {}): Promise<WorkerProcess> {
  const state = await mkdtemp(join(tmpdir(), 'bootplane-worker-'));
  const persist = ['--persist-to', state];
  await promisify(execFile)(process.execPath, [WRANGLER, 'd1', 'migrations', 'apply', 'DB', '--local', ...persist], { env: ENV });
  const [port, inspector] = [await freePort(), await freePort()];
  const settings = Object.entries({ BOOTPLANE_API_KEY: fleetKey, ...vars }).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  const args = [
    'dev',
    '--ip',
    '127.0.0.1',
    '--port',
    String(port),
    '--inspector-port',
    String(inspector),
    '--show-interactive-dev-session=false',
  ];
  let output = '';
  const start = () => run([...args, ...persist, ...settings], (text) => (output += text));
  const url = `http://127.0.0.1:${port}`;
  const ready = async () => void (await until('wrangler dev', async () => (await fetch(`${url}/readyz`)).ok));
  let running = start();
  const stop = async () => {
    await running.end('SIGTERM');
    await rm(state, { recursive: true, force: true });
    // It shows the vars that it was started with; what it says of requests must hold none.
    await refuseSaidSecrets(output.replaceAll(/^.*BOOTPLANE_\w+ \(.*$/gm, ''), [fleetKey]);
  };
  try {
    await ready();
  } catch (error) {
    await stop();
    throw new Error(`${error}\n${output}`);
  }
  const resume = () => {
    running = start();
    return ready();
  };
  return { url, output: () => output, halt: () => running.end('SIGKILL'), resume, stop };
}

function run(args: readonly string[], keep: (text: string) => void): { end(signal: NodeJS.Signals): Promise<void> } {
  const child = spawn(process.execPath, [WRANGLER, ...args], { env: ENV, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => keep(String(chunk)));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = (signal: NodeJS.Signals) => {
    endGroup(child, signal);
    return exited;
  };
  return { end };
}
