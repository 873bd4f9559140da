import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { signAdvert } from '../../shared/contract/advert.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { until } from '../support/until.ts';
import { type Avahi, startAvahi } from './support/avahi.ts';
import { inside, measured, runInside, whyNoAvahi, whyNoNetwork } from './support/commands.ts';
import { FLEET_KEY, LanFleet } from './support/fleet.ts';
import { type Host, openNetwork } from './support/network.ts';

const why = whyNoNetwork() ?? whyNoAvahi();
const SERVICE = '_bootplane._tcp';
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function fleetOf(hosts: number): Promise<LanFleet> {
  const fleet = new LanFleet(await openNetwork({ hosts }));
  closing.push(() => fleet.close());
  return fleet;
}

async function avahiOn(host: Host | undefined): Promise<Avahi> {
  if (host === undefined) throw new Error('there is no such host');
  const avahi = await startAvahi(host);
  closing.push(avahi.stop);
  return avahi;
}

/** Collects what a listener of ours hears on a host. */
function listenOn(host: Host | undefined): string[] {
  const lines: string[] = [];
  const [command, args] = inside(host?.namespace ?? '', [process.execPath, 'test/lan/support/print-adverts.ts']);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  closing.push(async () => void child.stdin.end());
  return lines;
}

describe.skipIf(why !== undefined)(`beside a real avahi${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  test('avahi-browse -rt resolves the advert of every node, also of the one on its own machine', async () => {
    const fleet = await fleetOf(3);
    const { hosts } = fleet.network;
    const avahi = await avahiOn(hosts[0]);
    for (const [index, host] of hosts.entries()) fleet.start(host, { node_id: `node-${index + 1}` });
    await fleet.agreed();
    // It resolves to the one or the other address of a machine as it likes, and each time anew.
    const resolvedTo = (found: string[][], address: string, index: number) =>
      found.find(([, , , name, , , , resolved]) => name === `node-${index + 1}` && resolved === address);
    const services = await until('all adverts', async () => {
      const found = await avahi.browse(SERVICE);
      return hosts.every(({ address }, index) => resolvedTo(found, address, index)) ? found : undefined;
    });
    for (const [index, { address }] of hosts.entries()) {
      const [, , , , type, domain, host, , port, txt = ''] = resolvedTo(services, address, index) ?? [];
      expect([type, domain, port]).toEqual([SERVICE, 'local', '7420']);
      expect(host).toMatch(/^bootplane-[0-9a-f]{12}\.local$/);
      expect(txt).toContain(`"url=http://${address}:7420"`);
      expect(txt).toContain(`"node_id=node-${index + 1}"`);
    }
  });

  test('what a node advertises is gone from avahi when it stops in order', async () => {
    const fleet = await fleetOf(2);
    const [first, second] = fleet.network.hosts;
    const avahi = await avahiOn(second);
    if (first === undefined) throw new Error('there is no host');
    const node = fleet.start(first, { node_id: 'node-1' });
    await until('the advert', async () => (await avahi.browse(SERVICE)).length > 0);
    await node.end('SIGTERM');
    // It is kept for a second after a goodbye (RFC 6762, section 10.1), and for minutes without one.
    await until('the goodbye', async () => (await avahi.browse(SERVICE)).length === 0, 60);
  });

  test('hears what avahi publishes', async () => {
    const { network } = await fleetOf(2);
    const [ours, foreign] = network.hosts;
    const avahi = await avahiOn(foreign);
    const heard = listenOn(ours);
    const claims = { fleet: 'default', site: 'default', node_id: 'foreign', epoch: 7, url: `http://${foreign?.address}:9000` };
    const signature = await signAdvert(await deriveFleetKeys('default', FLEET_KEY), claims);
    const txt = ['txtvers=1', 'fleet=default', 'site=default', 'node_id=foreign', 'epoch=7', `url=${claims.url}`, `sig=${signature}`];
    await avahi.publish('Foreign leader. With dots', SERVICE, 9000, txt);
    await until('the advert', async () => heard.length > 0);
    expect(heard.map((line) => JSON.parse(line))).toEqual([{ ...claims, signature }]);
  });

  test('hears again when its interface was taken away and another came, with the same name and address', async () => {
    const { network } = await fleetOf(2);
    const [ours, foreign] = network.hosts as [Host, Host];
    const avahi = await avahiOn(foreign);
    const heard = listenOn(ours);
    const txt = ['txtvers=1', 'fleet=default', 'site=default', 'node_id=foreign', 'epoch=7', 'url=http://192.0.2.1:1', 'sig=x'];
    await avahi.publish('foreign', SERVICE, 9000, txt);
    await until('the advert', async () => heard.length > 0);
    await network.replaceInterface(ours);
    await until('the advert again', async () => heard.length > 1);
  });

  test('an idle fleet sends few packets', async () => {
    const fleet = await fleetOf(3);
    const { hosts } = fleet.network;
    for (const [index, host] of hosts.entries()) fleet.start(host, { node_id: `node-${index + 1}` });
    await fleet.agreed();
    const COUNTER =
      'table inet count { counter mdns { }; chain out { type filter hook output priority 0; udp dport 5353 counter name mdns; }; }';
    for (const { namespace } of hosts) await runInside(namespace, ['nft', COUNTER]);
    const began = performance.now();
    await sleep(20_000);
    for (const { namespace } of hosts) {
      const { nftables } = JSON.parse(await runInside(namespace, ['nft', '-j', 'list', 'counters'])) as {
        nftables: { counter?: { packets: number } }[];
      };
      const packets = nftables.find(({ counter }) => counter !== undefined)?.counter?.packets ?? Number.NaN;
      const seconds = (performance.now() - began) / 1000;
      measured(`${namespace}: ${packets} multicast DNS packets sent in ${Math.round(seconds)} s, idle`);
      // Announcements, at most three questions in each look, an answer a second at the very most.
      expect(packets).toBeLessThan(seconds * 2);
    }
  });
});
