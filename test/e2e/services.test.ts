import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { ServiceReport } from '../../shared/contract/node.ts';
import type { ProcessHost } from '../../shared/ports/process-host.ts';
import { freePort } from '../support/free-port.ts';
import { until, withProcesses } from '../support/process-world.ts';

const NODE = fileURLToPath(new URL('../fixtures/services/node.ts', import.meta.url));
const SERVICE = fileURLToPath(new URL('../fixtures/services/service.mjs', import.meta.url));

interface Line {
  readonly status: string;
  readonly message?: string;
  readonly reports: readonly ServiceReport[];
}

/** One node after another over one data directory, each in a process of its own that can be killed. */
class Nodes {
  readonly lines: Line[] = [];
  readonly host: ProcessHost;
  readonly #data_dir: string;
  #child: ChildProcess | undefined;

  constructor(data_dir: string, host: ProcessHost) {
    this.#data_dir = data_dir;
    this.host = host;
  }

  async plan(...services: object[]): Promise<void> {
    const file = join(this.#data_dir, 'plan.json');
    await writeFile(`${file}.new`, JSON.stringify({ services }));
    // The node looks at any moment and must not see half a file.
    await rename(`${file}.new`, file);
  }

  start(): void {
    // What the one before it had printed when it was killed is not of this one.
    this.lines.length = 0;
    const child = spawn(process.execPath, [NODE, this.#data_dir, join(this.#data_dir, 'plan.json')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(JSON.parse(line)));
    this.#child = child;
  }

  /** The next line that a node prints. */
  async applied(): Promise<Line> {
    await until(() => this.lines.length > 0);
    return this.lines.shift() as Line;
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null;
    const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
    child.kill(signal);
    return exit;
  }

  async pids(name: string): Promise<number[]> {
    return (await this.host.list()).filter((one) => one.name === name).map(({ ref }) => ref.pid);
  }

  log(name: string): Promise<string> {
    return readFile(join(this.#data_dir, `logs/${name}.log`), 'utf8');
  }
}

async function withNodes(use: (nodes: Nodes) => Promise<void>): Promise<void> {
  await withProcesses(async ({ data_dir, open }) => {
    const nodes = new Nodes(data_dir, open());
    try {
      await use(nodes);
    } finally {
      await nodes.end('SIGKILL');
    }
  });
}

const command = ['node', SERVICE];

/** A service that is healthy only when its signal handlers and its child are there. */
async function answering({ env, ...rest }: { name: string; env: Record<string, string>; stop_grace_seconds?: number }): Promise<object> {
  const port = String(await freePort());
  return {
    version: '1',
    command,
    env: { ...env, PORT: port },
    health: { http: `http://127.0.0.1:${port}/`, timeout_seconds: 30, grace_seconds: 120 },
    ...rest,
  };
}

describe('services over a node that is killed', () => {
  test('ten times kill -9 at any moment: never two copies, never an orphan, and the same process throughout', async () => {
    await withNodes(async (nodes) => {
      const port = await freePort();
      const health = { http: `http://127.0.0.1:${port}/`, timeout_seconds: 30, grace_seconds: 120 };
      await nodes.plan({ name: 'api', version: '1', command, env: { PORT: String(port), WITH_CHILD: '1' }, health });
      const seen = new Set<number>();
      for (let round = 0; round < 10; round += 1) {
        nodes.start();
        // The first rounds end before or in the middle of the start, the later ones long after it.
        if (round < 5) await new Promise((resolve) => setTimeout(resolve, 150 * round));
        else await nodes.applied();
        await nodes.end('SIGKILL');
        const pids = await nodes.pids('api');
        expect(pids.length).toBeLessThanOrEqual(1);
        for (const pid of pids) seen.add(pid);
      }
      nodes.start();
      expect(await nodes.applied()).toMatchObject({ reports: [{ name: 'api', state: 'running', restarts: 0 }] });
      expect(seen.size).toBe(1);
      expect(await nodes.pids('api')).toEqual([...seen]);
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe(`${[...seen][0]} 1`);
      expect(((await nodes.log('api')).match(/^started/gm) ?? []).length).toBe(1);
      expect(await nodes.end('SIGTERM')).toBe(0);
      expect(await nodes.host.list()).toEqual([]);
    });
  });

  test('a service that the plan has dropped meanwhile is stopped by the next start, one that changed is replaced', async () => {
    await withNodes(async (nodes) => {
      await nodes.plan(
        { name: 'kept', version: '1', command },
        { name: 'changed', version: '1', command },
        { name: 'dropped', version: '1', command },
      );
      nodes.start();
      await nodes.applied();
      const [kept] = await nodes.pids('kept');
      const [changed] = await nodes.pids('changed');
      await nodes.end('SIGKILL');
      await nodes.plan({ name: 'kept', version: '1', command }, { name: 'changed', version: '2', command });
      nodes.start();
      expect(await nodes.applied()).toMatchObject({ status: 'applied' });
      expect(await nodes.pids('kept')).toEqual([kept]);
      expect(await nodes.pids('dropped')).toEqual([]);
      const after = await nodes.pids('changed');
      expect(after.length).toBe(1);
      expect(after).not.toEqual([changed]);
    });
  });

  test('a service that died while no node looked is started again, and its orphaned child is not left', async () => {
    await withNodes(async (nodes) => {
      await nodes.plan(await answering({ name: 'api', env: { WITH_CHILD: '1' } }));
      nodes.start();
      await nodes.applied();
      await nodes.end('SIGKILL');
      const [pid = 0] = await nodes.pids('api');
      process.kill(pid, 'SIGKILL');
      await until(async () => (await nodes.host.list())[0]?.orphaned === true);
      nodes.start();
      expect(await nodes.applied()).toMatchObject({ status: 'applied' });
      expect(await nodes.host.list()).toMatchObject([{ name: 'api', orphaned: false }]);
      expect(await nodes.pids('api')).not.toEqual([pid]);
    });
  });
});

describe('services over a node that runs', () => {
  test('a new version restarts only that service', async () => {
    await withNodes(async (nodes) => {
      await nodes.plan({ name: 'a', version: '1', command }, { name: 'b', version: '1', command });
      nodes.start();
      await nodes.applied();
      const [a, b] = [await nodes.pids('a'), await nodes.pids('b')];
      await nodes.plan({ name: 'a', version: '1', command }, { name: 'b', version: '2', command });
      expect(await nodes.applied()).toMatchObject({ status: 'applied', message: 'restart-service service b' });
      expect(await nodes.pids('a')).toEqual(a);
      expect(await nodes.pids('b')).not.toEqual(b);
    });
  });

  test('one that ignores SIGTERM and has a child is ended with it when the plan drops it', async () => {
    await withNodes(async (nodes) => {
      await nodes.plan(await answering({ name: 'deaf', env: { IGNORE_SIGTERM: '1', WITH_CHILD: '1' }, stop_grace_seconds: 0.5 }));
      nodes.start();
      await nodes.applied();
      await nodes.plan();
      expect(await nodes.applied()).toMatchObject({ status: 'applied', reports: [] });
      expect(await nodes.host.list()).toEqual([]);
      expect(await nodes.log('deaf')).toContain('no\n');
    });
  });

  test('one that is killed comes back, one that ends at once is given up, and both are shown', async () => {
    await withNodes(async (nodes) => {
      await nodes.plan(
        { name: 'loop', version: '1', command: ['sh', '-c', 'exit 5'], restart: { max: 1 } },
        { name: 'api', version: '1', command },
      );
      nodes.start();
      expect(await nodes.applied()).toMatchObject({
        status: 'failed',
        message: expect.stringContaining('exited with code 5'),
        reports: [{ name: 'loop' }, { name: 'api', state: 'running' }],
      });
      const [pid = 0] = await nodes.pids('api');
      process.kill(pid, 'SIGKILL');
      await until(async () => ![pid, undefined].includes((await nodes.pids('api'))[0]));
      expect(await nodes.pids('loop')).toEqual([]);
    });
  });
});
