import { setTimeout as sleep } from 'node:timers/promises';
import { buildPackage } from '../lan/support/built-package.ts';
import { runInside, whyNoNetwork } from '../lan/support/commands.ts';
import { LanFleet } from '../lan/support/fleet.ts';
import { type Host, openNetwork } from '../lan/support/network.ts';
import { median, type Row } from './report.ts';

const SIZES = [1, 3, 5, 10, 20];
const ROUNDS = 3;
const GOALS: Readonly<Record<number, string>> = { 3: '3 s', 20: '8 s' };
const IDLE_NODES = 5;
const IDLE_SECONDS = 60;
/** What is sent after a boot or a change is not idle. */
const CALM_SECONDS = 30;

/** Nodes of the built package in network namespaces: how long to one leader, and what an idle LAN carries. */
export async function benchLan(): Promise<Row[]> {
  const why = whyNoNetwork();
  if (why !== undefined) {
    process.stdout.write(`no network of its own: ${why}\n`);
    return [];
  }
  const { program, remove } = await buildPackage();
  try {
    const rows: Row[] = [];
    for (const size of SIZES) rows.push(await firstLeader(size, program));
    return [...rows, ...(await idle(program))];
  } finally {
    await remove();
  }
}

async function withFleet<T>(hosts: number, act: (fleet: LanFleet) => Promise<T>): Promise<T> {
  const fleet = new LanFleet(await openNetwork({ hosts }));
  try {
    return await act(fleet);
  } finally {
    await fleet.close();
  }
}

function startAll(fleet: LanFleet, program: string): void {
  for (const [index, host] of fleet.network.hosts.entries()) fleet.start(host, { node_id: `node-${index + 1}`, program });
}

async function firstLeader(size: number, program: string): Promise<Row> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    times.push(
      await withFleet(size, async (fleet) => {
        startAll(fleet, program);
        const began = performance.now();
        await fleet.agreed(fleet.nodes, 120);
        return performance.now() - began;
      }),
    );
  }
  const [least, most] = [Math.min(...times), Math.max(...times)];
  return {
    what: `${size} nodes started at once by multicast DNS: from the last start to one leader that counts them all`,
    figure: `${(median(times) / 1000).toFixed(1)} s (${(least / 1000).toFixed(1)} to ${(most / 1000).toFixed(1)})`,
    ...(GOALS[size] === undefined ? {} : { goal: GOALS[size] }),
  };
}

const COUNTERS = `table inet count {
  counter mdns { }; counter others { };
  chain out { type filter hook output priority 0; udp dport 5353 counter name mdns accept; oifname "v0" counter name others; };
}`;

async function idle(program: string): Promise<Row[]> {
  return withFleet(IDLE_NODES, async (fleet) => {
    startAll(fleet, program);
    await fleet.agreed(fleet.nodes, 120);
    await sleep(CALM_SECONDS * 1000);
    const { hosts } = fleet.network;
    for (const { namespace } of hosts) await runInside(namespace, ['nft', COUNTERS]);
    await sleep(IDLE_SECONDS * 1000);
    const counts = await Promise.all(hosts.map(countersOf));
    const perMinute = (name: string) => (counts.reduce((sum, one) => sum + (one[name] ?? 0), 0) / hosts.length) * (60 / IDLE_SECONDS);
    return [
      { what: `idle LAN of ${IDLE_NODES} nodes: multicast DNS packets sent per node and minute`, figure: perMinute('mdns').toFixed(1) },
      { what: 'the same: all other packets (heartbeats, renewals, news)', figure: perMinute('others').toFixed(0) },
    ];
  });
}

async function countersOf({ namespace }: Host): Promise<Record<string, number>> {
  const { nftables } = JSON.parse(await runInside(namespace, ['nft', '-j', 'list', 'counters'])) as {
    nftables: { counter?: { name: string; packets: number } }[];
  };
  return Object.fromEntries(nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]])));
}
