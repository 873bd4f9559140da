import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Client, createClient } from '../../shared/client.ts';
import type { HistoryEntry } from '../../shared/contract/document.ts';
import { lineOf, type Version } from '../../shared/decide/merge.ts';
import { type Fleet, openFleet } from './support/fleet-process.ts';

const FAILOVERS = 10;
let fleet: Fleet | undefined;
afterEach(async () => {
  await fleet?.close();
  fleet = undefined;
});

interface Seen {
  reads: number;
  failedReads: string[];
  /** The versions whose publish was answered as done. */
  readonly done: string[];
}

/** Publishes a version of its own on what it reads, again and again. What it is not sure of it never sends a second time. */
async function publishOn(client: Client, seen: Seen, isOver: () => boolean): Promise<void> {
  for (let count = 1; !isOver(); count += 1) {
    const version = `v${count}`;
    const history = await client.history('plan').catch(() => undefined);
    const current = history?.body.versions.find((one) => one.current)?.generation ?? 0;
    // It runs nowhere: only its version is of interest.
    const service = { name: 'counted', version, command: ['true'], placement: { nodes: ['nowhere'] } };
    await client.publish('plan', { ttl_seconds: 3, services: [service] }, { if_match: current }).then(
      () => seen.done.push(version),
      () => undefined,
    );
    await sleep(100);
  }
}

/** So many reads are open at most: a machine that is slower than they come would have nothing else to do in the end. */
const OPEN_READS = 100;

/** Reads once every 10 ms, whether or not the last answer is there. */
async function readOn(client: Client, seen: Seen, isOver: () => boolean): Promise<void> {
  const open = new Set<Promise<void>>();
  while (!isOver()) {
    if (open.size < OPEN_READS) {
      const read: Promise<void> = readOnce(client, seen).finally(() => open.delete(read));
      open.add(read);
    }
    await sleep(10);
  }
  await Promise.all(open);
}

async function readOnce(client: Client, seen: Seen): Promise<void> {
  try {
    await client.nodes();
    seen.reads += 1;
  } catch (error) {
    seen.failedReads.push(String(error));
  }
}

/**
 * What only a dead leader had comes back with it and loses to what was published meanwhile. The last version of such a
 * line is marked, and what came before it there is not.
 */
function lostOf(versions: readonly HistoryEntry[]): Set<Version> {
  const marked = versions.filter(({ conflict, resolved }) => conflict || resolved);
  const current = versions.find((one) => one.current);
  const standing = lineOf(versions, current);
  return new Set(marked.flatMap((one) => lineOf(versions, one)).filter((one) => !standing.includes(one)));
}

/** Those that share with another what has to be of one alone. */
function repeated<T>(all: readonly T[], of: (one: T) => unknown): T[] {
  return [...Map.groupBy(all, of).values()].filter(({ length }) => length > 1).flat();
}

describe('a gateway in front of a fleet whose leaders die', () => {
  it('answers every read, and applies no publish twice, through ten failovers', async () => {
    fleet = await openFleet({ nodes: 4, args: (index) => (index === 3 ? ['--no-lead', '--capabilities', 'proxy'] : []) });
    // One leads before the others come: how a fleet boots at once is not the matter here.
    for (const member of fleet.members) {
      await member.start();
      if (member === fleet.members[0]) await fleet.settled();
    }
    await fleet.settled();
    const gateway = fleet.members[3]!;
    const client = createClient({ url: gateway.url, credential: fleet.key });
    await client.nodes();
    let over = false;
    const seen: Seen = { reads: 0, failedReads: [], done: [] };
    const work = [publishOn(client, seen, () => over), readOn(client, seen, () => over)];
    for (let failover = 0; failover < FAILOVERS; failover += 1) {
      const leader = await fleet.settled();
      await leader.process!.end('SIGKILL');
      leader.process = undefined;
      await fleet.settled();
      await leader.start();
    }
    over = true;
    await Promise.all(work);
    await fleet.settled();
    const { versions } = (await client.history('plan')).body;
    expect(seen.failedReads).toEqual([]);
    expect(seen.reads).toBeGreaterThan(100);
    expect(seen.done.length).toBeGreaterThan(FAILOVERS);
    const own = versions.filter(({ published_by }) => published_by !== 'merge');
    expect(repeated(own, ({ hash }) => hash)).toEqual([]);
    const lost = lostOf(versions);
    const standing = own.filter((one) => !lost.has(one));
    expect(repeated(standing, ({ generation }) => generation)).toEqual([]);
  }, 900_000);
});
