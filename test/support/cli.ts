import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processIo } from '../../runtime-node/cli.ts';
import type { Io } from '../../runtime-node/commands/io.ts';
import { runCli } from '../../runtime-node/commands/program.ts';
import { listen } from '../../runtime-node/http-server.ts';
import { type Adjust, FLEET_KEY, type Harness } from '../runtime/harness.ts';
import { startOnNode } from '../runtime/node-harness.ts';
import { memoryArtifactStore } from './memory-artifact-store.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions extends Partial<Omit<Io, 'stdout' | 'stderr' | 'stdin'>> {
  readonly stdin?: string;
  /** Called with all of the standard output whenever something was written. */
  readonly onOutput?: (out: string) => void;
  readonly onError?: (err: string) => void;
  readonly terminal?: boolean;
}

/** Runs one command line in this process. Nothing of the machine's environment is seen. */
export async function run(
  argv: readonly string[],
  { stdin = '', onOutput, onError, terminal = false, ...io }: RunOptions = {},
): Promise<Ran> {
  const written = { out: '', err: '' };
  const machine = processIo(io.signal);
  const code = await runCli(argv, {
    ...machine,
    env: {},
    stdin: (async function* () {
      yield stdin;
    })(),
    stdout: {
      isTTY: terminal,
      write: (text) => {
        written.out += text;
        onOutput?.(written.out);
      },
    },
    stderr: {
      isTTY: terminal,
      write: (text) => {
        written.err += text;
        onError?.(written.err);
      },
    },
    ask: undefined,
    version: () => '1.2.3',
    user: () => 'someone',
    startNode: () => Promise.reject(new Error('this test starts no node')),
    onStopRequest: () => () => undefined,
    quit: (status) => {
      throw new Error(`quit with ${status}`);
    },
    ...io,
  });
  return { code, ...written };
}

/** When the nodes of `makeDataDir` say that they started. */
export const STARTED_AT = '2026-01-01T00:00:00.000Z';

/** A data directory as a node leaves it, removed by `remove`. */
export async function makeDataDir(url?: string, key: string = FLEET_KEY): Promise<{ dir: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'bootplane-cli-'));
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'fleet.key'), `${key}\n`, { mode: 0o600 });
  if (url !== undefined) {
    await writeFile(join(dir, 'listen.json'), JSON.stringify({ url, pid: process.pid, started_at: STARTED_AT }));
  }
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

export interface Site {
  readonly harness: Harness;
  readonly url: string;
  readonly dir: string;
  /** What was asked, as `GET /healthz`, in order. */
  readonly asked: string[];
  /** Answers of the node itself, beside its Supervisor's, by `METHOD /path`: a body, or a handler. */
  readonly own: Map<string, object>;
  run(argv: readonly string[], options?: RunOptions): Promise<Ran>;
  close(): Promise<void>;
}

/** A real Supervisor behind a real listener, with a data directory that leads to it. */
export async function startSite(adjust: Adjust = {}): Promise<Site> {
  const harness = await startOnNode({ artifacts: memoryArtifactStore(), ...adjust });
  const asked: string[] = [];
  const own: Site['own'] = new Map();
  const server = await listen(
    (request) => {
      const name = `${request.method} ${new URL(request.url).pathname}`;
      asked.push(name);
      const answer = own.get(name);
      if (typeof answer === 'function') return answer(request);
      return answer === undefined ? harness.supervisor.fetch(request) : Response.json(answer);
    },
    '127.0.0.1',
    0,
  );
  const url = `http://127.0.0.1:${server.port}`;
  const { dir, remove } = await makeDataDir(url);
  return {
    harness,
    url,
    dir,
    asked,
    own,
    run: (argv, options = {}) => run(argv, { ...options, env: { BOOTPLANE_DATA_DIR: dir, ...options.env } }),
    close: async () => {
      await server.close();
      await harness.close();
      await remove();
    },
  };
}
