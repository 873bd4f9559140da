import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { signAdvert } from '../../shared/contract/advert.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { helloService } from '../e2e/support/example-plan.ts';
import { until } from '../support/until.ts';
import { type Avahi, startAvahi } from './support/avahi.ts';
import { buildPackage } from './support/built-package.ts';
import { measured, run, whyNoAvahi, whyNoDelay, whyNoNetwork } from './support/commands.ts';
import { FLEET_KEY, LanFleet, type LanNode, onlineAt } from './support/fleet.ts';
import { type Host, type NetworkOptions, openNetwork } from './support/network.ts';

const why = whyNoNetwork();
/** Where a test waits for a lease to lapse. */
const SHORT_TTL = { BOOTPLANE_TTL_SECONDS: '3' };
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function open(options: NetworkOptions): Promise<LanFleet> {
  const fleet = new LanFleet(await openNetwork(options));
  closing.push(() => fleet.close());
  return fleet;
}

function start(fleet: LanFleet, env: Readonly<Record<string, string>> = {}, program?: string): LanNode[] {
  const what = { env, ...(program === undefined ? {} : { program }) };
  return fleet.network.hosts.map((host, index) => fleet.start(host, { node_id: `node-${index + 1}`, ...what }));
}

function others(fleet: LanFleet, but: LanNode): LanNode[] {
  return fleet.nodes.filter((node) => node !== but);
}

/** Publishes a plan at a node, whoever leads. */
async function publish(node: LanNode, generation: number, plan: unknown): Promise<void> {
  const answer = await node.call('/v1/cluster/plan', { method: 'PUT', body: plan, headers: { 'if-match': `"${generation}"` } });
  expect(answer, node.output().slice(-2000)).toMatchObject({ status: 200 });
}

/** The pids of the services that nodes run, from the process table. */
async function pids(nodes: readonly LanNode[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { node_id, host } of nodes) {
    found[node_id] = await until(`the service of ${node_id}`, async () => {
      const all = (await run('ip', ['netns', 'pids', host.namespace])).split('\n').filter(Boolean);
      return all.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('service/server.js')).join() || undefined;
    });
    expect(found[node_id]).toMatch(/^\d+$/);
  }
  return found;
}

async function since<T>(what: string, work: Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work;
  measured(`${what}: ${Math.round(performance.now() - began)} ms`);
  return result;
}

describe.skipIf(why !== undefined)(`a fleet on a network of its own${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  test('three nodes that start at once have one leader and one epoch, and all are counted', async () => {
    const fleet = await open({ hosts: 3 });
    const nodes = start(fleet);
    const leader = await since('three nodes, from the last start to one leader that counts them all', fleet.agreed());
    expect(nodes.map((node) => node.cluster()?.source).sort()).toEqual(['mdns', 'mdns', 'self']);
    expect(nodes.map((node) => node.cluster()?.leader_url)).toEqual(nodes.map(() => leader.url));
  });

  test('one that comes later joins', async () => {
    const fleet = await open({ hosts: 2 });
    const [first, second] = fleet.network.hosts as [Host, Host];
    const old = fleet.start(first, { node_id: 'node-z' });
    await fleet.agreed();
    fleet.start(second, { node_id: 'node-a' });
    const leader = await since('a second node, from its start to being counted', fleet.agreed());
    expect(leader).toBe(old);
    expect(leader.cluster()?.epoch).toBe(1);
  });

  test('another leads when the process of the leader is killed, and no service restarts', async () => {
    const fleet = await open({ hosts: 3 });
    start(fleet);
    const leader = await fleet.agreed();
    await publish(leader, 0, { services: [helloService(8080)] });
    const before = await pids(fleet.nodes);
    await leader.end('SIGKILL');
    const left = others(fleet, leader);
    const next = await since('kill -9 of the leader, until another is followed by all', fleet.agreed(left));
    expect(next.cluster()?.epoch).toBeGreaterThan(leader.cluster()?.epoch ?? 0);
    await publish(next, 1, { services: [helloService(8080)], ttl_seconds: 10 });
    const { [leader.node_id]: _, ...stayed } = before;
    expect(await pids(left)).toEqual(stayed);
  });

  test('another leads when the leader stops in order', async () => {
    const fleet = await open({ hosts: 3 });
    start(fleet);
    const leader = await fleet.agreed();
    const stopped = leader.end('SIGTERM');
    await since('orderly stop of the leader, until another is followed by all', fleet.agreed(others(fleet, leader)));
    await stopped;
  });

  test('another leads when the machine of the leader is cut off, and one does when it is back', async () => {
    const fleet = await open({ hosts: 3 });
    start(fleet, SHORT_TTL);
    const leader = await fleet.agreed();
    await fleet.network.plug(leader.host, false);
    const left = others(fleet, leader);
    await since('the machine of the leader cut off, until another is followed by all (TTL 3 s)', fleet.agreed(left));
    await fleet.network.plug(leader.host, true);
    await since('the machine is back, until all follow one', fleet.agreed());
  });

  test('a partition that heals has one leader again, with an epoch above both', async () => {
    const fleet = await open({ hosts: 4 });
    const nodes = start(fleet, SHORT_TTL);
    await fleet.agreed();
    const [left, right] = [nodes.slice(0, 2), nodes.slice(2)];
    const hosts = (side: readonly LanNode[]) => side.map(({ host }) => host);
    await fleet.network.split(hosts(left), hosts(right));
    const sides = [await fleet.agreed(left), await fleet.agreed(right)];
    expect(sides[0]).not.toBe(sides[1]);
    const highest = Math.max(...sides.map((one) => one.cluster()?.epoch ?? 0));
    await fleet.network.heal();
    const leader = await since('the partition heals, until all follow one (TTL 3 s)', fleet.agreed());
    expect(leader.cluster()?.epoch).toBeGreaterThanOrEqual(highest);
  });

  test('nodes find each other when every fifth packet is lost', async () => {
    const fleet = await open({ hosts: 3 });
    await fleet.network.lose(20);
    start(fleet);
    await since('three nodes with 20 % loss each way', fleet.agreed(fleet.nodes));
  });

  test.skipIf(whyNoDelay() !== undefined)('nodes find each other over slow cables', async () => {
    const fleet = await open({ hosts: 3, delay_ms: 50 });
    start(fleet);
    await since('three nodes with 100 ms from one to the next', fleet.agreed());
  });

  test('nodes find each other by their peers where multicast is blocked', async () => {
    const fleet = await open({ hosts: 3 });
    await fleet.network.blockMulticast();
    const BOOTPLANE_PEERS = fleet.network.hosts.map(({ address }) => `http://${address}:7420`).join(',');
    const nodes = start(fleet, { BOOTPLANE_PEERS });
    await since('three nodes without multicast', fleet.agreed());
    expect(nodes.map((node) => node.cluster()?.source).sort()).toEqual(['peer', 'peer', 'self']);
  });

  test('two fleets on one network never mix, nor do two sites of one fleet', async () => {
    const fleet = await open({ hosts: 6 });
    const groups = [{}, { BOOTPLANE_API_KEY: 'the key of another fleet, on the same network' }, { BOOTPLANE_SITE: 'annex' }];
    const nodes = fleet.network.hosts.map((host, index) => fleet.start(host, { node_id: `node-${index}`, env: groups[index % 3] ?? {} }));
    for (const group of groups.keys()) {
      const own = nodes.filter((_, index) => index % 3 === group);
      const leader = await fleet.agreed(own);
      expect((await onlineAt(leader)).sort()).toEqual(own.map(({ node_id }) => node_id));
    }
  });

  test('twenty nodes of the built package that start at once have one leader', async () => {
    const { program, remove } = await buildPackage();
    closing.push(remove);
    const fleet = await open({ hosts: 20 });
    start(fleet, {}, program);
    await since('twenty nodes, from the last start to one leader that counts them all', fleet.agreed(fleet.nodes));
  });
});

const whyNoForger = why ?? whyNoAvahi();

async function publishAdvert(avahi: Avahi, host: Host, { node_id, epoch, port, forged = false }: ForeignAdvert): Promise<void> {
  const claims = { fleet: 'default', site: 'default', node_id, epoch, url: `http://${host.address}:${port}` };
  const signature = forged ? 'Zm9yZ2Vk' : await signAdvert(await deriveFleetKeys('default', FLEET_KEY), claims);
  const fields = Object.entries({ txtvers: 1, ...claims, sig: signature });
  await avahi.publish(
    node_id,
    '_bootplane._tcp',
    port,
    fields.map(([key, value]) => `${key}=${value}`),
  );
}

interface ForeignAdvert {
  readonly node_id: string;
  readonly epoch: number;
  readonly port: number;
  readonly forged?: boolean;
}

describe.skipIf(whyNoForger !== undefined)('a foreign program that advertises a leader', () => {
  test('with a signature of the fleet brings the others to it', async () => {
    const fleet = await open({ hosts: 2 });
    const [host, foreign] = fleet.network.hosts as [Host, Host];
    const avahi = await startAvahi(foreign);
    closing.push(avahi.stop);
    const leader = fleet.start(foreign, { node_id: 'node-z', env: { BOOTPLANE_MDNS: 'off' } });
    await fleet.agreed();
    await publishAdvert(avahi, foreign, { node_id: 'node-z', epoch: 1, port: 7420 });
    const node = fleet.start(host, { node_id: 'node-a' });
    expect(await fleet.agreed()).toBe(leader);
    expect(node.cluster()).toMatchObject({ source: 'mdns', leader_node_id: 'node-z' });
  });

  test('with a signature of the fleet it is asked to prove itself, and with another it is ignored and told of once', async () => {
    const fleet = await open({ hosts: 2 });
    const [host, foreign] = fleet.network.hosts as [Host, Host];
    const avahi = await startAvahi(foreign);
    closing.push(avahi.stop);
    await publishAdvert(avahi, foreign, { node_id: 'forger', epoch: 900_000, port: 9001, forged: true });
    await publishAdvert(avahi, foreign, { node_id: 'replayer', epoch: 900_000, port: 9002 });
    const node = fleet.start(host, { node_id: 'node-1', env: SHORT_TTL });
    expect(await fleet.agreed()).toBe(node);
    // Some rounds of looking.
    await sleep(10_000);
    const led = await until('its own lead', async () => (node.cluster()?.role === 'leader' ? node.cluster() : undefined));
    // On a machine that stands still for a moment it may have renewed its lease too late, and lead anew.
    expect(led.leader_node_id).toBe('node-1');
    expect(led.epoch).toBeLessThan(1000);
    const ignored = (url: string) =>
      node
        .output()
        .split('\n')
        .filter((line) => line.includes(url) && line.includes('ignored')).length;
    expect(ignored(`http://${foreign.address}:9001`)).toBe(1);
  });
});
