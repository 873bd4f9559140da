import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Fleet, type Member, openFleet } from '../e2e/support/fleet-process.ts';
import { etcdTakeovers } from './etcd.ts';
import { median, type Row } from './report.ts';

const ROUNDS = 20;
const SIZES = [3, 5, 10];

/** How long a fleet is without a leader that takes writes, by how it lost the old one; and how long it takes to get the first. */
export async function benchTakeover(): Promise<Row[]> {
  const built = existsSync('dist/bootplane.js');
  const entry = built ? { entry: 'dist/bootplane.js' } : {};
  if (!built) process.stdout.write('no dist/: run `npm run build` first, the checkout starts more slowly\n');
  const rows = [...(await takeovers(entry)), ...(await firstLeaders(entry))];
  const etcd = await etcdTakeovers(ROUNDS);
  if (etcd === undefined) process.stdout.write('no etcd on this machine: no yardstick\n');
  else rows.push({ what: 'etcd, three nodes, default timers: leader killed with -9 until a write succeeds', figure: spread(etcd) });
  return rows;
}

async function takeovers(entry: { entry?: string }): Promise<Row[]> {
  const fleet = await openFleet({ nodes: 3, ...entry });
  try {
    await Promise.all(fleet.members.map((member) => member.start()));
    const killed = await measure(fleet, 'SIGKILL');
    const stopped = await measure(fleet, 'SIGTERM');
    return [
      { what: 'three nodes: leader killed with -9 until another leads and has accepted a write', figure: spread(killed), goal: '500 ms' },
      { what: 'the same, leader stopped in order (SIGTERM)', figure: spread(stopped), goal: '300 ms' },
    ];
  } finally {
    await fleet.close();
  }
}

async function measure(fleet: Fleet, signal: NodeJS.Signals): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const leader = await fleet.settled(60_000);
    // Settled means known to each other; a moment later the others hold the stream of the news.
    await sleep(500);
    const others = fleet.members.filter((one) => one !== leader);
    const ended = leader.process?.end(signal);
    const began = performance.now();
    await firstWrite(others, `${signal} ${round}`);
    times.push(performance.now() - began);
    await ended;
    await leader.start();
  }
  return times;
}

/** Publishes a profile that says which round it is, until one of the nodes has taken it. */
async function firstWrite(members: readonly Member[], label: string): Promise<void> {
  const body = { storage: { buckets: [{ name: `round-${label.toLowerCase().replaceAll(' ', '-')}` }] } };
  let isWritten = false;
  const write = async ({ client }: Member) => {
    for (let attempt = 0; attempt < 1000 && !isWritten; attempt += 1) {
      try {
        const { body: history } = await client.history('profile');
        const if_match = history.versions.find(({ current }) => current)?.generation ?? 0;
        await client.publish('profile', body, { if_match });
        isWritten = true;
        return;
      } catch {
        await sleep(5);
      }
    }
    throw new Error(`no node accepted a write after ${label}`);
  };
  await Promise.any(members.map(write));
}

async function firstLeaders(entry: { entry?: string }): Promise<Row[]> {
  const rows: Row[] = [];
  for (const nodes of SIZES) {
    const fleet = await openFleet({ nodes, ...entry });
    try {
      const began = performance.now();
      await Promise.all(fleet.members.map((member) => member.start()));
      const listening = performance.now() - began;
      await fleet.settled(120_000);
      const settled = performance.now() - began;
      rows.push({
        what: `${nodes} nodes started at once (as peers) until all follow one leader that knows them all`,
        figure: `${Math.round(settled)} ms, ${Math.round(settled - listening)} ms after the last one listened`,
      });
    } finally {
      await fleet.close();
    }
  }
  return rows;
}

function spread(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return `${Math.round(median(times))} ms median (${at(0)} to ${at(1)}, 90 %: ${at(0.9)}) of ${times.length}`;
}
