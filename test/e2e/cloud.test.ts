import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import type { ClusterFile } from '../../shared/contract/status.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { helloService } from './support/example-plan.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';
import { startWorkerProcess, type WorkerProcess } from './support/worker-process.ts';

const KEY = 'a fleet key for this test only';
let worker: WorkerProcess;
let dataDir: string;
let node: NodeProcess | undefined;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'bootplane-cloud-'));
  worker = await startWorkerProcess(KEY);
});

afterAll(async () => {
  await node?.end('SIGTERM');
  await worker?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

describe('a node with a cloud control URL', () => {
  it('registers, plans and applies at the Worker, leads its site by the lease there, and lets go of it in order', async () => {
    const cloud = createClient({ url: worker.url, credential: KEY });
    const port = await freePort();
    await cloud.publish('plan', { ttl_seconds: 6, services: [helloService(port)] }, { if_match: 0 });
    await cloud.publish('profile', { storage: { buckets: [{ name: 'captures' }] } }, { if_match: 0 });

    node = await startNodeProcess({ dataDir, args: ['--cloud-url', worker.url], env: { BOOTPLANE_API_KEY: KEY } });
    const health = await until('every component at the cloud', async () => {
      const { body } = await node!.client.health();
      return body.status === 'ok' && body.components?.services?.status === 'applied' ? body : undefined;
    });
    // It leads by its own Supervisor, which the lease in D1 confirms.
    expect(health).toMatchObject({ role: 'leader', source: 'self', provisional: false, confirmed: true });

    // The lease is confirmed first; what the site looks like follows with its first uplink call.
    const nodes = await until('the node at the cloud', async () => {
      const { body } = await cloud.nodes();
      return body.nodes[0]?.role === 'leader' ? body.nodes : undefined;
    });
    expect(nodes).toMatchObject([{ node_id: health.node_id, role: 'leader', liveness: 'online' }]);
    expect((await cloud.leader()).body).toMatchObject({ node_id: health.node_id, provisional: false });
    const status = await until('the status at the cloud', async () => {
      const { body } = await cloud.status(health.node_id!);
      return body.components.services === undefined || body.components.storage === undefined ? undefined : body;
    });
    expect(status.components).toMatchObject({
      storage: { status: 'applied', generation: 1 },
      services: { status: 'applied', generation: 1 },
    });
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).json()).toMatchObject({ node_id: health.node_id });
    const cluster = await until('both generations in cluster.json', async () => {
      const file = JSON.parse(await readFile(join(dataDir, 'cluster.json'), 'utf8')) as ClusterFile;
      return file.plan_generation === 1 && file.profile_generation === 1 ? file : undefined;
    });
    expect(cluster).toMatchObject({ source: 'self', provisional: false });

    // A command that asks the node is answered by the leader, which it is itself.
    expect((await node.client.nodes()).body.nodes.map(({ node_id }) => node_id)).toEqual([health.node_id]);

    // A publish at the cloud reaches the node within a heartbeat.
    await cloud.publish('profile', { storage: { buckets: [{ name: 'captures' }, { name: 'reports' }] } }, { if_match: 1 });
    await until('generation 2', async () => (await cloud.status(health.node_id!)).body.components.storage?.generation === 2);

    expect(await node.end('SIGTERM')).toBe(0);
    node = undefined;
    await expect(cloud.leader()).rejects.toMatchObject({ problem: { code: 'no_leader' } });
  });
});
