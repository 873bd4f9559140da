import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import { until } from '../support/until.ts';
import { startLyingSupervisor } from './support/lying-supervisor.ts';
import { leading, type NodeProcess, spawnCli, startNodeProcess } from './support/node-process.ts';
import { PLAN, PROFILE, workersOf } from './support/offline-site.ts';

const KEY = 'a fleet key for this test only';

/** Loaded into the process before anything of bootplane: its clock starts at 1970, as on a machine without a battery. */
const AT_1970 = `
  const Real = Date;
  const began = Real.now();
  globalThis.Date = class Date extends Real {
    constructor(...values) {
      if (values.length === 0) super(Real.now() - began);
      else super(...values);
    }
    static now() {
      return Real.now() - began;
    }
  };`;

let folder: string;
let dir: string;
let preload: string;
let node: NodeProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-offline-'));
  await chmod(folder, 0o711);
  dir = await mkdtemp(join(folder, 'state-'));
  preload = join(folder, 'at-1970.mjs');
  await writeFile(preload, AT_1970);
});

afterEach(async () => {
  await node?.end('SIGTERM');
  node = undefined;
  await rm(folder, { recursive: true, force: true });
});

const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  startNodeProcess({ dataDir: dir, args: ['--no-mdns', '--ttl-seconds', '2', ...args], env });

/** Everything is applied, whoever leads, and the boot is over. */
const applied = (one: NodeProcess) =>
  until('all components applied', async () => {
    const { body } = await one.client.health();
    const done = Object.values(body.components ?? {}).filter(({ status }) => status === 'applied' || status === 'unchanged').length === 4;
    return done && body.services?.[0]?.state === 'running' && body.status !== 'starting' ? body : undefined;
  });

/** The power goes: the node and all that it started end at once. */
async function powerCut(one: NodeProcess): Promise<void> {
  await one.end('SIGKILL');
  for (const pid of await workersOf(dir)) process.kill(pid, 'SIGKILL');
  await until('no process left', async () => (await workersOf(dir)).length === 0);
}

describe('a cold boot with the clock at 1970', () => {
  it.each([
    ['a cloud that nobody reaches', 'gone'],
    ['a cloud that no longer takes its credential', 'refusing'],
  ])('beside %s starts every cached service and reconciles', async (_name, how) => {
    const cloud = await startLyingSupervisor(KEY);
    const operator = createClient({ url: cloud.url, credential: KEY });
    await operator.publish('plan', PLAN, { if_match: 0 });
    await operator.publish('profile', PROFILE, { if_match: 0 });
    node = await start(['--cloud-url', cloud.url], { BOOTPLANE_API_KEY: KEY });
    const { node_id } = await applied(node);
    await powerCut(node);
    await cloud.close();
    // what was reconciled is lost with the disk that it was on
    await rm(join(dir, 'storage'), { recursive: true });

    const refusing = how === 'refusing' ? await startLyingSupervisor('a fleet key that was renewed since') : undefined;
    const url = refusing?.url ?? cloud.url;
    node = await start(['--cloud-url', url, '--no-lead'], { BOOTPLANE_API_KEY: KEY, NODE_OPTIONS: `--import ${preload}` });
    const health = await applied(node);
    expect(health).toMatchObject({ node_id, status: 'degraded', components: { storage: { status: 'applied', generation: 1 } } });
    expect(await workersOf(dir)).toHaveLength(1);
    // The file of the boot before stands there until it is written anew.
    const cluster = await until('cluster.json of this boot', async () => {
      const file = JSON.parse(await readFile(join(dir, 'cluster.json'), 'utf8'));
      return file.updated_at.startsWith('1970-') && file.source === 'cache' ? file : undefined;
    });
    expect(cluster).toMatchObject({ plan_generation: 1, profile_generation: 1 });
    await refusing?.close();
  });

  it('leads its site again without any cloud, at a higher epoch', async () => {
    node = await start([]);
    await leading(node);
    await node.client.publish('plan', PLAN, { if_match: 0 });
    await node.client.publish('profile', PROFILE, { if_match: 0 });
    const before = await applied(node);
    await powerCut(node);
    node = await start([], { NODE_OPTIONS: `--import ${preload}` });
    const health = await until('a leader', async () => {
      const { body } = await node!.client.health();
      return body.status === 'ok' && body.role === 'leader' && body.services?.[0]?.state === 'running' ? body : undefined;
    });
    expect(health.node_id).toBe(before.node_id);
    expect(health.epoch).toBeGreaterThan(before.epoch ?? 0);
    // and takes new instructions
    await node.client.publish('plan', { ...PLAN, services: [] }, { if_match: 1, allow_empty: true });
    await until('the service to stop', async () => (await workersOf(dir)).length === 0);
  });
});

describe('leave', () => {
  it('ends the node in order with exit code 0; its data stays, and it comes back as the same node', async () => {
    node = await start([]);
    await leading(node);
    await node.client.publish('plan', PLAN, { if_match: 0 });
    await node.client.publish('profile', PROFILE, { if_match: 0 });
    const { node_id } = await applied(node);
    const leaving = spawnCli(['leave', '--data-dir', dir]);
    let output = '';
    for (const stream of [leaving.stdout, leaving.stderr]) stream?.on('data', (part) => (output += part));
    const code = await new Promise((resolve) => leaving.once('close', resolve));
    expect(output).toContain(`node ${node_id} has left`);
    expect(code).toBe(0);
    expect(await node.exited).toBe(0);
    expect(await workersOf(dir)).toEqual([]);
    node = await start([]);
    expect((await applied(node)).node_id).toBe(node_id);
  });
});
