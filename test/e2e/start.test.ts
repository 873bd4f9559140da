import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Config, readSettings } from '../../runtime-node/config.ts';
import { startNode } from '../../runtime-node/node.ts';
import { until } from '../support/until.ts';

let dir: string;
let config: Config;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bootplane-start-'));
  config = { ...readSettings({ HOME: dir }, { data_dir: dir, host: '127.0.0.1', port: '0', log: 'json' }), seeds: {} };
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Starts a node, stops it in order, and gives its exit code. */
async function startAndStop(): Promise<number> {
  const node = await startNode(config);
  await node.stop();
  return node.stopped;
}

/** Files of the data directory that others on the machine may read. */
async function openToOthers(): Promise<string[]> {
  const names = (await readdir(dir, { recursive: true })).filter((name) => !name.startsWith('lock.sqlite'));
  // What it is writing anew may be gone by now, under the name that it had meanwhile.
  const entries = await Promise.all(names.map(async (name) => ({ name, entry: await stat(join(dir, name)).catch(() => undefined) })));
  return entries.flatMap(({ name, entry }) => (entry?.isFile() && (entry.mode & 0o077) !== 0 ? [name] : []));
}

describe('the files of a node', () => {
  it("can be read by its user alone, also in a folder that others can enter: they hold secrets of the fleet's services", async () => {
    await chmod(dir, 0o755);
    const node = await startNode(config);
    expect(await openToOthers()).toEqual([]);
    await node.stop();
    await node.stopped;
  });
});

describe.runIf(existsSync('/dev/full'))('a log on a full disk', () => {
  it('stops no node', async () => {
    const script = `import { main } from './runtime-node/cli.ts'; await main(['node', 'bootplane', ...process.argv.slice(1)]);`;
    const words = ['up', '--data-dir', dir, '--host', '127.0.0.1', '--port', '0'];
    const full = await open('/dev/full', 'w');
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, ...words], {
      env: { PATH: process.env.PATH, HOME: dir },
      stdio: ['ignore', full.fd, full.fd],
    });
    const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    await full.close();
    try {
      const { url } = await until('listen.json', async () => JSON.parse(await readFile(join(dir, 'listen.json'), 'utf8')));
      await until('the lease', async () => JSON.parse(await readFile(join(dir, 'cluster.json'), 'utf8')).role === 'leader');
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
    } finally {
      child.kill('SIGTERM');
    }
    expect(await exited).toBe(0);
  });
});

describe('a start that fails half way', () => {
  it('lets go of everything: the same process can try again', async () => {
    const bus = join(dir, 'bus.sqlite');
    const newer = new Sqlite(bus);
    newer.pragma('user_version = 99');
    newer.close();
    await expect(startNode(config)).rejects.toThrow(`${bus} was written by another version`);
    await rm(bus);
    expect(await startAndStop()).toBe(0);
  });

  it('without the file that leads commands to it, which a full disk refuses, is no reason not to run', async () => {
    const obstacle = join(dir, 'listen.json');
    await mkdir(obstacle);
    const node = await startNode(config);
    expect((await fetch(`${node.url}/healthz`)).status).toBe(200);
    await rm(obstacle, { recursive: true });
    await node.stop();
    expect(await node.stopped).toBe(0);
  });
});
