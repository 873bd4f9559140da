import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ClusterFile, Health } from '../../shared/contract/status.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { helloService } from './support/example-plan.ts';
import { type NodeProcess, spawnCli, startNodeProcess } from './support/node-process.ts';

const PROFILE = {
  storage: { buckets: [{ name: 'captures', versioning: true }] },
  broker: {
    exchanges: [{ name: 'events', type: 'topic' }],
    queues: [{ name: 'frames' }],
    bindings: [{ exchange: 'events', queue: 'frames', key: 'frame.#' }],
  },
  vector: { classes: [{ name: 'Frame', dimensions: 3, properties: [{ name: 'camera', type: 'text' }] }] },
};

let dataDir: string;
let port: number;
const running: NodeProcess[] = [];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'bootplane-boot-'));
  port = await freePort();
});

afterEach(async () => {
  for (const node of running.splice(0)) await node.end('SIGTERM');
  await rm(dataDir, { recursive: true, force: true });
});

async function start(ttl_seconds = 3): Promise<NodeProcess> {
  await writeFile(`${dataDir}/plan.seed.json`, JSON.stringify({ ttl_seconds, services: [helloService(port)] }));
  await writeFile(`${dataDir}/profile.seed.json`, JSON.stringify(PROFILE));
  const node = await startNodeProcess({
    dataDir,
    args: ['--plan', `${dataDir}/plan.seed.json`, '--profile', `${dataDir}/profile.seed.json`],
  });
  running.push(node);
  return node;
}

const hello = async () => (await fetch(`http://127.0.0.1:${port}/`)).json() as Promise<{ node_id: string; version: string }>;
const healthy = (node: NodeProcess) =>
  until('health ok', async () => {
    const { body } = await node.client.health();
    return body.status === 'ok' && Object.keys(body.components ?? {}).length === 4 ? body : undefined;
  });
/** Every process of the example service that listens on this test's port. */
const servicePids = () =>
  until('the process of the service', async () => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const owned = await Promise.all(
      pids.map(async (pid) => {
        const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
        return (await read('environ')).includes(`PORT=${port}\0`) && (await read('cmdline')).includes('server.js');
      }),
    );
    const mine = pids.filter((_, index) => owned[index]).map(Number);
    return mine.length > 0 ? mine : undefined;
  });

describe('a node that boots from nothing', () => {
  it('elects itself, applies every component, serves, and stops in order', async () => {
    // So long that no moment in which the machine stands still ends the lease, and with it the first epoch.
    const node = await start(60);
    const health = await healthy(node);
    expect(health).toMatchObject({
      role: 'leader',
      epoch: 1,
      provisional: false,
      adapters: { storage: 'fs', broker: 'local', vector: 'embedded' },
    });
    expect(Health.parse(health).components).toMatchObject({
      storage: { status: 'applied' },
      broker: { status: 'applied' },
      vector: { status: 'applied' },
      services: { status: 'applied' },
    });
    expect(await hello()).toMatchObject({ node_id: health.node_id, version: '1.0.0' });
    expect((await stat(join(dataDir, 'fleet.key'))).mode & 0o777).toBe(0o600);
    // It is written a moment after the apply.
    const cluster = await until('the profile in cluster.json', async () => {
      const file = JSON.parse(await readFile(join(dataDir, 'cluster.json'), 'utf8')) as ClusterFile;
      return file.profile_generation === undefined ? undefined : file;
    });
    expect(cluster).toMatchObject({ node_id: health.node_id, role: 'leader', source: 'self', plan_generation: 0, profile_generation: 0 });

    expect(await node.end('SIGTERM')).toBe(0);
    await expect(hello()).rejects.toThrow();
    expect(existsSync(join(dataDir, 'listen.json'))).toBe(false);
  });

  it('keeps its identity and a higher epoch over a restart', async () => {
    const first = await start();
    const { node_id } = await healthy(first);
    await first.end('SIGINT');
    const second = await start();
    const health = await healthy(second);
    expect(health.node_id).toBe(node_id);
    expect(health.epoch).toBeGreaterThan(1);
  });

  it('adopts the service that outlived a kill -9: same pid, one copy, ten times in a row', async () => {
    const first = await start();
    await healthy(first);
    const [pid] = await servicePids();
    let node = first;
    for (let round = 0; round < 10; round += 1) {
      expect(await node.end('SIGKILL')).toBe('SIGKILL');
      node = await start();
      // Half of the rounds kill it in the middle of its boot.
      if (round % 2 === 1) await healthy(node);
      expect(await servicePids()).toEqual([pid]);
    }
    await healthy(node);
    expect(await servicePids()).toEqual([pid]);
  });

  it('refuses a second process on the same data directory and says who holds it', async () => {
    const node = await start();
    const second = spawnCli(['up', '--data-dir', dataDir, '--port', '0']);
    let output = '';
    second.stderr?.on('data', (chunk) => {
      output += chunk;
    });
    const code = await new Promise((resolve) => second.once('exit', resolve));
    expect(code).not.toBe(0);
    expect(output).toContain(String(node.child.pid));
    expect(output).toContain(dataDir);
  });
});
