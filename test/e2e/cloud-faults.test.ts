import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Client, createClient } from '../../shared/client.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { type FaultyProxy, type Mood, startFaultyProxy } from './support/faulty-proxy.ts';
import { type Fleet, type Member, openFleet } from './support/fleet-process.ts';
import { spawnCli } from './support/node-process.ts';
import { startWorkerProcess, type WorkerProcess } from './support/worker-process.ts';

/**
 * Two real nodes of a site, with a real Worker behind a proxy whose faults are those of the Worker and of the way to it. An
 * outage of hours is in `test/unit/discovery/cloud-gone.test.ts`, under a simulated clock.
 */
const KEY = 'a fleet key that is only for tests';
const TTL_SECONDS = 6;
/** How long each fault lasts, at least: more than two leases, so that the cloud's one runs out. */
const FAULT_MS = 2.5 * TTL_SECONDS * 1000;

let worker: WorkerProcess;
let proxy: FaultyProxy;
let fleet: Fleet;
let cloud: Client;
let service: string;

beforeAll(async () => {
  worker = await startWorkerProcess(KEY);
  proxy = await startFaultyProxy({ target: worker.url });
  // Past the proxy: what the test itself asks is no call of a node.
  cloud = createClient({ url: worker.url, credential: KEY });
  const port = await freePort();
  service = `http://127.0.0.1:${port}/`;
  await cloud.publish('plan', { ttl_seconds: TTL_SECONDS, services: [tellTale(port)] }, { if_match: 0 });
  fleet = await openFleet({ nodes: 2, args: () => ['--cloud-url', proxy.url] });
  for (const member of fleet.members) await member.start();
  await fleet.settled();
  await running();
});

afterAll(async () => {
  await fleet?.close();
  await proxy?.close();
  await worker?.stop();
});

/** The leader, once the cloud has confirmed it. */
function confirmed(): Promise<Member> {
  return until('a leader that the cloud confirms', async () => {
    for (const member of fleet.members) {
      const health = await member.health();
      if (health?.role === 'leader' && health.confirmed === true && health.provisional === false) return member;
    }
    return undefined;
  });
}

/** A service that tells its process, on a port of its own. */
function tellTale(port: number) {
  const source = `require('node:http').createServer((_, answer) => answer.end(String(process.pid))).listen(${port}, '127.0.0.1')`;
  return { name: 'tell-tale', version: '1', command: ['node', '-e', source], placement: { roles: ['leader'] as const } };
}

async function pidOfService(): Promise<string> {
  return (await fetch(service)).text();
}

/** What must not change however the cloud is: who leads, and the process of each node and of what they run. */
async function running() {
  const leader = await confirmed();
  const pid = await until('the service', pidOfService);
  return { leader: leader.node_id, nodes: fleet.members.map(({ process }) => process?.child.pid), service: pid };
}

/** `most`: as many calls as each node alone, if it heard its cloud, would make every second. */
async function duringFault(mood: Mood): Promise<{ calls: number; most: number; provisional: boolean }> {
  proxy.become(mood);
  const pid = await pidOfService();
  const began = performance.now();
  let provisional = false;
  while (performance.now() < began + FAULT_MS) {
    expect(await pidOfService()).toBe(pid);
    for (const member of fleet.members) provisional ||= (await member.health())?.provisional === true;
    await sleep(250);
  }
  return { calls: proxy.seen().length, most: (fleet.members.length * (performance.now() - began)) / 1000, provisional };
}

describe('real nodes, and a Worker that is not well', () => {
  it('is seen whole by bootplane doctor --cloud', async () => {
    const child = spawnCli(['doctor', '--json', '--cloud', worker.url], { BOOTPLANE_API_KEY: KEY });
    let out = '';
    child.stdout?.on('data', (chunk) => (out += chunk));
    const code = await new Promise((resolve) => child.once('exit', resolve));
    const { checks } = JSON.parse(out) as { checks: { name: string; status: string; detail: string }[] };
    expect(checks.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(code).toBe(0);
    const names = checks.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['address', 'reachable', 'database', 'latency', 'credential', 'version', 'artifacts']));
    expect(checks.find(({ name }) => name === 'lease of site default')?.detail).toMatch(/^node-\d holds it at epoch/);
  });

  it('when it is restarted: leads on, and is confirmed again', async () => {
    const before = await running();
    await worker.halt();
    expect(await pidOfService()).toBe(before.service);
    await worker.resume();
    expect(await running()).toEqual(before);
    // It may have gone before the leader had told it of the other one.
    await until('both nodes at the cloud', async () => (await cloud.nodes()).body.nodes.length === 2);
  });

  it.each<Mood>(['failing', 'cut', 'silent'])(
    'when it is %s: leads on provisionally, without a storm, and comes back by itself',
    async (mood) => {
      const before = await running();
      const { calls, most, provisional } = await duringFault(mood);
      expect(provisional).toBe(true);
      expect(calls, proxy.seen().join(' ')).toBeLessThanOrEqual(most);
      expect(calls).toBeGreaterThan(0);
      proxy.become('well');
      expect(await running()).toEqual(before);
      await until('nodes that the cloud sees', async () => {
        const { nodes } = (await cloud.nodes()).body;
        return nodes.filter(({ liveness }) => liveness === 'online').length === 2;
      });
    },
  );

  it('when it is slow: goes on, without a storm', async () => {
    const before = await running();
    const { calls, most } = await duringFault('slow');
    expect(calls, proxy.seen().join(' ')).toBeLessThanOrEqual(most);
    proxy.become('well');
    expect(await running()).toEqual(before);
  });
});
