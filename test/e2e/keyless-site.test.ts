import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import { createIdentityClient } from '../../shared/identity-client.ts';
import { run } from '../support/cli.ts';
import { until } from '../support/until.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';
import { startWorkerProcess } from './support/worker-process.ts';

const KEY = 'a fleet key for this test alone, which no node has';
const SITE = 'lab';
const NAMES = ['n1', 'n2', 'n3'];
const folders: string[] = [];
const nodes = new Map<string, NodeProcess>();
afterEach(async () => {
  for (const node of nodes.values()) await node.end('SIGKILL');
  nodes.clear();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

const service = (name: string) => ({ name, version: '1', command: ['sleep', '600'] });
const start = async (name: string, dataDir: string) => {
  nodes.set(name, await startNodeProcess({ dataDir, args: ['--no-mdns', '--ttl-seconds', '2', '--site', SITE] }));
};
const health = async (name: string) => (await nodes.get(name)?.client.health())?.body;
/** The one that leads, as all of these see it. */
const leaderOf = async (names: readonly string[], how: 'confirmed' | 'provisional') => {
  const all = await Promise.all(names.map(health));
  const led = all.filter((one) => one?.role === 'leader' && one[how] === true);
  const named = new Set(all.map((one) => one?.leader_node_id));
  return led.length === 1 && named.size === 1 ? [...named][0] : undefined;
};
/** The runs of the services of a node. One that was started anew has another name. */
const runsOf = async (name: string) =>
  (await readdir(join(nodes.get(name)?.dataDir ?? '', 'processes'))).filter((file) => file.endsWith('.json')).sort();
const runs = async (name: string, count: number) =>
  (await health(name))?.services?.filter(({ state }) => state === 'running').length === count;

it('three nodes join a cloud by a join key, and no fleet key is on their site: one leads, confirmed; a cut, a crash of the leader and the return change nothing that runs', async () => {
  const worker = await startWorkerProcess(KEY);
  try {
    const cloud = createClient({ url: worker.url, credential: KEY });
    const { key } = await createIdentityClient({ url: worker.url, credential: KEY, fetch }).createKey({ scope: 'join', site: SITE });
    await cloud.publish('plan', { services: [service('bell')] }, { if_match: 0 });
    const dirs = new Map<string, string>();
    for (const name of NAMES) {
      const dataDir = await mkdtemp(join(tmpdir(), 'bootplane-keyless-'));
      folders.push(dataDir);
      dirs.set(name, dataDir);
      const args = ['join', key, '--data-dir', dataDir, '--node-id', name, '--cloud-url', worker.url, '--site', SITE, '--no-start'];
      expect(await run(args)).toMatchObject({ code: 0, err: '' });
      await start(name, dataDir);
    }
    const first = await until('a leader that the cloud has confirmed', () => leaderOf(NAMES, 'confirmed'));
    for (const name of NAMES) await until(`the service on ${name}`, () => runs(name, 1));
    await until('all of them at the cloud', async () => {
      const online = (await cloud.nodes()).body.nodes.filter(({ liveness }) => liveness === 'online').map(({ node_id }) => node_id);
      return online.sort().join() === NAMES.join();
    });
    // Who leads has told its nodes by their credentials, and keeps hashes alone.
    const led = NAMES.filter((name) => name !== first);
    const known = join(dirs.get(first) ?? '', 'known-nodes.json');
    await until('what it knows of its nodes', async () => {
      const text = await readFile(known, 'utf8');
      return led.every((name) => text.includes(`"${name}"`)) && !text.includes('bpn~');
    });
    expect((await stat(known)).mode & 0o777).toBe(0o600);

    // The command line works on every node: as an operator by way of the cloud, as its owner by way of the site.
    for (const name of NAMES) {
      const at = ['--url', nodes.get(name)?.url ?? ''];
      const env = { BOOTPLANE_API_KEY: KEY };
      const listed = await run(['nodes', ...at], { env });
      expect(listed, name).toMatchObject({ code: 0, err: '' });
      for (const other of NAMES) expect(listed.out).toContain(other);
      expect(await run(['plan', 'history', '--data-dir', dirs.get(name) ?? '']), name).toMatchObject({ code: 0, err: '' });
      expect((await run(['status', '--data-dir', dirs.get(name) ?? ''])).out, name).toContain(nodes.get(first)?.url);
    }
    expect((await run(['doctor', '--data-dir', dirs.get(first) ?? '', '--no-mdns'])).out).toContain('none, as it should be');
    await createClient({ url: nodes.get(led[0] ?? '')?.url ?? '', credential: KEY }).publish(
      'plan',
      { services: [service('bell'), service('lamp')] },
      { if_match: 1 },
    );
    for (const name of NAMES) await until(`both services on ${name}`, () => runs(name, 2));
    const before = new Map(await Promise.all(NAMES.map(async (name) => [name, await runsOf(name)] as const)));

    await worker.halt();
    expect(await until('the leader goes on without the cloud', () => leaderOf(NAMES, 'provisional'))).toBe(first);
    const refused = createClient({ url: nodes.get(first)?.url ?? '', credential: KEY });
    await expect(refused.nodes()).rejects.toMatchObject({ problem: { code: 'unavailable' } });
    const glass = refused.publish('plan', { services: [] }, { if_match: 2, break_glass: true, allow_empty: true });
    await expect(glass).rejects.toMatchObject({ problem: { code: 'forbidden', detail: expect.stringContaining('--no-lead') } });
    expect(await run(['plan', 'history', '--data-dir', dirs.get(first) ?? ''])).toMatchObject({ code: 0, err: '' });

    // Another one takes over with what it knows, and gives nothing of it up when the first one is back.
    await nodes.get(first)?.end('SIGKILL');
    nodes.delete(first);
    await until('another one leads', async () =>
      (await Promise.all(led.map(health))).some((one) => one?.role === 'leader' && one.provisional === true),
    );
    for (const name of led) expect(await runs(name, 2), name).toBe(true);
    await start(first, dirs.get(first) ?? '');
    await until('one leader without the cloud', () => leaderOf(NAMES, 'provisional'));
    await until('it has taken up its services', () => runs(first, 2));
    for (const name of led) expect(await runs(name, 2), name).toBe(true);

    await worker.resume();
    await until('the cloud confirms a leader again', () => leaderOf(NAMES, 'confirmed'));
    for (const name of NAMES) expect(await runs(name, 2), name).toBe(true);
    expect(new Map(await Promise.all(NAMES.map(async (name) => [name, await runsOf(name)] as const)))).toEqual(before);
  } finally {
    for (const [name, node] of nodes) {
      nodes.delete(name);
      await node.end('SIGTERM');
    }
    await worker.stop();
  }
}, 360_000);
