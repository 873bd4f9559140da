import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { buildPackage } from './support/built-package.ts';
import { inside, measured, run, whyNoNetwork } from './support/commands.ts';
import { LanFleet, type LanNode } from './support/fleet.ts';
import { type Host, openNetwork } from './support/network.ts';

const why = whyNoNetwork();
const NODES = 20;
const TTL_SECONDS = 6;

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** One that runs everywhere, and one of which four copies are wanted. */
function planOf(version: string) {
  const command = ['sleep', '1000000'];
  return {
    ttl_seconds: TTL_SECONDS,
    services: [
      { name: 'everywhere', version: '1', command },
      { name: 'counted', version: '1', command, placement: { count: 4 } },
      // It runs nowhere: its version tells the documents apart.
      { name: 'mark', version, command, placement: { nodes: ['nowhere'] } },
    ],
  };
}

async function publish(node: LanNode, generation: number, version: string): Promise<void> {
  const { status, body } = await node.call('/v1/cluster/plan', {
    method: 'PUT',
    headers: { 'if-match': `"${generation}"` },
    body: planOf(version),
  });
  expect([status, body.detail]).toEqual([200, undefined]);
}

/** The processes of a service on one host, by their command. */
async function pidsOn({ namespace }: Host): Promise<number[]> {
  const all = (await run('ip', ['netns', 'pids', namespace])).split('\n').filter(Boolean);
  const [command, args] = inside(namespace, ['ps', '-o', 'pid=,comm=', '-p', all.join(',')]);
  return (await run(command, args))
    .split('\n')
    .filter((line) => line.trim().endsWith(' sleep'))
    .map((line) => Number.parseInt(line, 10))
    .sort((a, b) => a - b);
}

async function generations(nodes: readonly LanNode[]): Promise<Set<number | undefined>> {
  return new Set(nodes.map((node) => node.cluster()?.plan_generation));
}

async function historyOf(node: LanNode): Promise<{ generation: number; hash: string; current: boolean; conflict: boolean }[]> {
  const { body } = await node.call('/v1/cluster/plan/history');
  return body.versions as { generation: number; hash: string; current: boolean; conflict: boolean }[];
}

describe.skipIf(why !== undefined)(`twenty nodes that are split${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  test('come back to one leader and one plan, with the other shown as a conflict, and no service restarts', async () => {
    const { program, remove } = await buildPackage();
    closing.push(remove);
    const fleet = new LanFleet(await openNetwork({ hosts: NODES }));
    closing.push(() => fleet.close());
    const env = { BOOTPLANE_TTL_SECONDS: String(TTL_SECONDS) };
    const nodes = fleet.network.hosts.map((host, index) => fleet.start(host, { node_id: `node-${index + 1}`, env, program }));
    await publish(await fleet.agreed(nodes), 0, 'before');
    await until(
      'the first plan everywhere',
      async () => (await generations(nodes)).size === 1 && nodes[0]?.cluster()?.plan_generation === 1,
    );
    const pids = async () => Promise.all(nodes.map(({ host }) => pidsOn(host)));
    // One copy on each node and four more.
    await until('all services', async () => (await pids()).flat().length === NODES + 4);
    const before = await pids();

    const sides = [nodes.slice(0, NODES / 2), nodes.slice(NODES / 2)];
    const hosts = sides.map((side) => side.map(({ host }) => host));
    await fleet.network.split(hosts[0] ?? [], hosts[1] ?? []);
    for (const [index, side] of sides.entries()) await publish(await fleet.agreed(side), 1, `side-${index}`);
    for (const side of sides)
      await until('the plan of the side', async () => (await generations(side)).has(2) && (await generations(side)).size === 1);

    await fleet.network.heal();
    const began = performance.now();
    const leader = await fleet.agreed(nodes);
    measured(
      `twenty nodes, from the heal to one leader that counts them all: ${Math.round(performance.now() - began)} ms (TTL ${TTL_SECONDS} s)`,
    );
    await until(
      'one plan everywhere',
      async () => (await generations(nodes)).size === 1 && (nodes[0]?.cluster()?.plan_generation ?? 0) >= 3,
    );
    const history = await historyOf(leader);
    const current = history.find((one) => one.current);
    const conflicts = history.filter((one) => one.conflict);
    expect(current?.generation).toBe(3);
    // Both versions of generation 2 are there: the winner as the ancestor of the current one, the other as the conflict.
    expect(history.filter(({ generation }) => generation === 2)).toHaveLength(2);
    expect(conflicts.map(({ generation }) => generation)).toEqual([2]);
    expect(conflicts[0]?.hash).not.toBe(current?.hash);
    await until('the surplus to stop', async () => (await pids()).flat().length === NODES + 4);
    // What ran on each node before runs still, with the same process.
    for (const [index, now] of (await pids()).entries()) {
      const [everywhere] = before[index] ?? [];
      expect(now).toContain(everywhere);
    }
  }, 400_000);
});
