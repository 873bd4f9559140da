import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient } from '../../../shared/client.ts';
import { until } from '../../support/until.ts';
import { refuseSaidSecrets, secretsOf } from './said-secrets.ts';

export interface NodeProcess {
  readonly url: string;
  readonly dataDir: string;
  readonly child: ChildProcess;
  readonly client: Client;
  /** All that it wrote so far. */
  output(): string;
  /** Sends a signal and waits for the end; the exit code, or the signal's name. Rejects when the node wrote a secret anywhere. */
  end(signal: NodeJS.Signals): Promise<number | string>;
  readonly exited: Promise<number | string>;
}

export interface NodeProcessOptions {
  readonly dataDir: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The program; the checkout's when not given. */
  readonly entry?: string;
}

/** Variables of the test runner that a user's shell would not have stay out. */
function cleanEnv(extra: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/', ...extra };
}

/** Starts the command line as a user would, in a process of its own. */
export function spawnCli(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  entry = 'runtime-node/main.js',
): ChildProcess {
  return spawn(process.execPath, [entry, ...args], { env: cleanEnv(env), stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Starts a node on a free port and waits until it listens. */
export async function startNodeProcess({ dataDir, args = [], env = {}, entry }: NodeProcessOptions): Promise<NodeProcess> {
  // As root, services run as another user, who has to pass through: else they work in /var/lib/bootplane, which nobody would clear.
  await chmod(dataDir, 0o711);
  const child = spawnCli(['up', '--data-dir', dataDir, '--host', '127.0.0.1', '--port', '0', '--log', 'json', ...args], env, entry);
  let output = '';
  const keep = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const exited = new Promise<number | string>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown')));
  const url = await Promise.race([
    listening(dataDir, child),
    exited.then((code) => Promise.reject(new Error(`the node ended with ${code}:\n${output}`))),
  ]);
  const credential = env.BOOTPLANE_API_KEY ?? (await keyOf(dataDir));
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    const code = await exited;
    await refuseSaidSecrets(output, [credential, ...secretsOf(env)], dataDir);
    return code;
  };
  return { url, dataDir, child, client: createClient({ url, credential }), output: () => output, end, exited };
}

/** Waits until the node leads. What is published before somebody does is held for a few seconds and then refused. */
export async function leading({ client }: Pick<NodeProcess, 'client'>): Promise<void> {
  await until('a node that leads', async () => (await client.health()).body.role === 'leader');
}

/** The fleet key; of a node without it, the key of its own directory. */
async function keyOf(dataDir: string): Promise<string> {
  const key = await readFile(join(dataDir, 'fleet.key'), 'utf8').catch(() => undefined);
  return key?.trim() ?? JSON.parse(await readFile(join(dataDir, 'member.json'), 'utf8')).member.local_key;
}

function listening(dataDir: string, child: ChildProcess): Promise<string> {
  return until(`${dataDir}/listen.json`, async () => {
    const { url, pid } = JSON.parse(await readFile(join(dataDir, 'listen.json'), 'utf8'));
    return pid === child.pid ? (url as string) : undefined;
  });
}
