import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SPOILS, type Spoil } from '../support/spoil.ts';
import { leading } from './support/node-process.ts';
import { type LiveNode, offlineConfig, PLAN, PROFILE, settled, startLive, workersOf } from './support/offline-site.ts';

/** One data directory goes through everything, so that what was rebuilt has to do for the next damage. */
let dir: string;
let node: LiveNode;
let pid: number;
let node_id: string;
let epoch = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bootplane-damage-'));
  await chmod(dir, 0o711);
  node = await startLive(offlineConfig(dir));
  await leading(node);
  await node.client.publish('plan', PLAN, { if_match: 0 });
  await node.client.publish('profile', PROFILE, { if_match: 0 });
  const health = await settled(node);
  node_id = health.node_id ?? expect.fail();
  pid = (await workersOf(dir))[0] ?? expect.fail();
});

afterAll(async () => {
  await node?.stop();
  await rm(dir, { recursive: true, force: true, maxRetries: 5 });
});

/** What goes bad together, so that nothing is lost along with what would replace it. `hidden`: a hint for others, written again without a word. */
const GROUPS: readonly { readonly shown: readonly string[]; readonly hidden: readonly string[] }[] = [
  { shown: ['plan.json', 'node.json', 'bus.sqlite', 'attempts.json'], hidden: ['holder.json'] },
  { shown: ['profile.json', 'cluster.json', 'epoch.json', 'vector.sqlite'], hidden: ['peers.json', 'lock.sqlite'] },
  { shown: ['supervisor.sqlite', 'discovery-trace.json', 'processes/RUN.json', 'storage/catalog.sqlite'], hidden: ['listen.json'] },
];
const CASES = (Object.keys(SPOILS) as Spoil[]).flatMap((spoil) => GROUPS.map(({ shown, hidden }) => ({ spoil, shown, hidden })));

describe.runIf(existsSync('/proc/self/stat'))('each file of a node that was killed', () => {
  it.each(CASES)('$spoil: $shown and $hidden keep no node from starting and stop nothing that runs', async ({ spoil, shown, hidden }) => {
    await node.crash();
    for (const name of [...shown, ...hidden]) {
      const path = pathOf(name);
      if (!existsSync(path)) writeFileSync(path, '{"peers": []}');
      // A lock that is a folder is no lock: nothing can be promised there.
      if (name !== 'lock.sqlite' || spoil !== 'is a folder') SPOILS[spoil](path);
    }
    const expected = shown.map((name) =>
      name.startsWith('processes/') ? pathOf(name).slice(pathOf('processes/').length) : name.replace(/\/.*/, ''),
    );
    node = await startLive(offlineConfig(dir));
    const health = await settled(node);
    expect(await workersOf(dir)).toEqual([pid]);
    expect(health.services).toMatchObject([{ name: 'worker', restarts: 0 }]);
    expect(health.node_id).toBe(node_id);
    expect(health.epoch).toBeGreaterThan(epoch);
    epoch = health.epoch ?? 0;
    for (const file of expected) {
      expect(health.set_aside).toContainEqual(expect.objectContaining({ file, kept_as: expect.stringContaining(`${file}.corrupt-`) }));
    }
    expect((await node.client.document('plan')).body).toMatchObject({ services: [{ name: 'worker' }] });
  });
});

function pathOf(name: string): string {
  if (!name.endsWith('RUN.json')) return `${dir}/${name}`;
  const record = readdirSync(join(dir, 'processes')).find((one) => one.endsWith('.json'));
  return join(dir, 'processes', record ?? 'none-is-left.json');
}

it('what stands in cluster.json is written again when something else wrote to it while the node runs', async () => {
  writeFileSync(join(dir, 'cluster.json'), 'not of this node');
  await expect.poll(() => readdirSync(dir).some((one) => one.startsWith('cluster.json.corrupt-'))).toBe(true);
  await settled(node);
});

it('keeps no more than three copies of what it can make again', () => {
  const copies = readdirSync(dir).filter((one) => /^plan\.json\.corrupt-/.test(one));
  expect(copies).toHaveLength(3);
});
