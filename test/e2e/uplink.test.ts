import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Client, createClient } from '../../shared/client.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { type CountingProxy, startCountingProxy } from './support/counting-proxy.ts';
import { type Fleet, type Member, openFleet } from './support/fleet-process.ts';
import { startWorkerProcess, type WorkerProcess } from './support/worker-process.ts';

const TTL_SECONDS = 6;
const INTERVAL_MS = (TTL_SECONDS * 1000) / 3;
const UPLINK = 'POST /v1/sites/uplink';
let worker: WorkerProcess;
let proxy: CountingProxy;
let fleet: Fleet;
let cloud: Client;

beforeAll(async () => {
  const key = 'a fleet key that is only for tests';
  worker = await startWorkerProcess(key);
  proxy = await startCountingProxy(worker.url);
  cloud = createClient({ url: worker.url, credential: key });
  fleet = await openFleet({ nodes: 3, args: () => ['--cloud-url', proxy.url] });
});

afterAll(async () => {
  await fleet?.close();
  await proxy?.close();
  await worker?.stop();
});

const ids = () => fleet.members.map(({ node_id }) => node_id);

async function livenessAtCloud(): Promise<Record<string, string>> {
  const { nodes } = (await cloud.nodes()).body;
  return Object.fromEntries(nodes.map(({ node_id, liveness }) => [node_id, liveness]));
}

/** Every node is online at the cloud and has applied the plan. */
const isWhole = async () => {
  const { nodes } = (await cloud.nodes()).body;
  const online = nodes.filter(({ liveness, services_running }) => liveness === 'online' && services_running[0]?.state === 'running');
  return online.length === ids().length ? nodes : undefined;
};

async function leaderOf(): Promise<Member | undefined> {
  const healths = await Promise.all(fleet.members.map(async (member) => ({ member, health: await member.health() })));
  const leaders = healths.filter(({ health }) => health?.role === 'leader');
  return leaders.length === 1 ? leaders[0]?.member : undefined;
}

const TELLS_ITS_PID =
  "require('node:http').createServer((_, answer) => answer.end(JSON.stringify({ pid: process.pid }))).listen(Number(process.env.PORT), '127.0.0.1')";

/** One service for each node. */
const serviceOn = (port: number, index: number) => ({
  name: `pid-${index + 1}`,
  version: '1.0.0',
  command: ['node', '-e', TELLS_ITS_PID],
  env: { PORT: String(port) },
  health: { http: `http://127.0.0.1:${port}/`, interval_seconds: 1, timeout_seconds: 30, grace_seconds: 120 },
  placement: { nodes: [`node-${index + 1}`] },
});

/** Process ids of the services, read from what they answer. */
const pids = (ports: readonly number[]) =>
  Promise.all(ports.map(async (port) => Number(((await (await fetch(`http://127.0.0.1:${port}/`)).json()) as { pid: number }).pid)));

describe('three nodes of a site with a cloud', () => {
  it('are seen there by one call an interval; the cloud goes and comes back, and nothing is started again', async () => {
    const ports = await Promise.all(ids().map(() => freePort()));
    await cloud.publish('plan', { ttl_seconds: TTL_SECONDS, services: ports.map(serviceOn) }, { if_match: 0 });
    for (const member of fleet.members) await member.start();
    const settled = await fleet.settled();
    await until('all nodes at the cloud', isWhole);
    const leader = (await leaderOf()) ?? settled;
    expect(await leader.health()).toMatchObject({ role: 'leader', source: 'self', confirmed: true, provisional: false });
    expect((await cloud.leader()).body).toMatchObject({ node_id: leader.node_id, leader_url: leader.url, nodes_heard: 3 });
    for (const node_id of ids()) {
      await until(`the status of ${node_id}`, async () => (await cloud.status(node_id)).body.components.services?.status === 'applied');
    }
    const before = await pids(ports);

    await steadily();
    expect(await livenessAtCloud()).toEqual(Object.fromEntries(ids().map((id) => [id, 'online'])));

    await worker.halt();
    await until('leads on provisionally', async () => (await leader.health())?.provisional === true);
    expect(await leader.health()).toMatchObject({ role: 'leader', confirmed: false });
    // Work goes on: whoever follows the leader follows it still, and all services run.
    for (const follower of fleet.members.filter((member) => member !== leader)) {
      expect(await follower.health()).toMatchObject({ leader_url: leader.url, role: 'worker' });
    }
    expect(await pids(ports)).toEqual(before);

    await worker.resume();
    await until('confirmed again', async () => (await leaderOf().then((one) => one?.health()))?.confirmed === true);
    await until('all nodes at the cloud again', isWhole);
    expect(await pids(ports)).toEqual(before);
    const resumed = await until('where it goes on', async () =>
      JSON.parse(await readFile(`${(await leaderOf())?.dataDir}/uplink.json`, 'utf8')),
    );
    expect(resumed).toMatchObject({ cloud_url: proxy.url, cursor: expect.stringMatching(/^\d+$/) });

    const { events } = (await cloud.events({ limit: 500 })).body;
    const keys = events.map(({ type, node_id, at, data }) => JSON.stringify([type, node_id, at, data]));
    expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
    const applied = events.filter(({ type, data }) => type === 'overlay.bootstrap' && data.component === 'services');
    expect(new Set(applied.map(({ node_id }) => node_id))).toEqual(new Set(ids()));
    await steadily();
  });
});

/** Some intervals in which nothing happens: only the leader calls, never more often than once in each. */
async function steadily(): Promise<void> {
  const quiet = ['POST /v1/nodes/heartbeat', 'POST /v1/nodes/register', 'POST /v1/leader/claim', 'POST /v1/bootstrap/events'];
  // What was under way when all had settled.
  await sleep(2 * INTERVAL_MS);
  const from = proxy.calls.length;
  await until('six intervals', async () => proxy.calls.slice(from).filter(({ call }) => call === UPLINK).length > 6);
  const seen = proxy.calls.slice(from);
  expect(seen.filter(({ call }) => quiet.includes(call))).toEqual([]);
  const at = seen.filter(({ call }) => call === UPLINK).map(({ at_ms }) => at_ms);
  const gaps = at.slice(1).map((at_ms, index) => at_ms - (at[index] ?? 0));
  // Each is up to a fifth sooner than a third of the TTL. One that was late on its way makes the gap behind it shorter, and not those of most.
  const [median = 0] = gaps.sort((a, b) => a - b).slice(Math.floor(gaps.length / 2));
  expect(median).toBeGreaterThan(INTERVAL_MS * 0.75);
}
