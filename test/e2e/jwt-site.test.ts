import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import { run } from '../support/cli.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, makeKey, sign } from '../support/token-issuer.ts';
import { until } from '../support/until.ts';
import { type CountingProxy, startCountingProxy } from './support/counting-proxy.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';
import { refuseSaidSecrets } from './support/said-secrets.ts';
import { startWorkerProcess } from './support/worker-process.ts';

const KEY = 'a fleet key for this test alone, which no node has';
const SITE = 'lab';
const NAMES = ['n1', 'n2', 'n3'];
const TTL_SECONDS = 3;
const INTERVAL_MS = (TTL_SECONDS * 1000) / 3;
const UPLINK = 'POST /v1/sites/uplink';
const issuer = await makeKey('one', 'ES256');
const folders: string[] = [];
const nodes = new Map<string, NodeProcess>();
afterEach(async () => {
  for (const node of nodes.values()) await node.end('SIGKILL');
  nodes.clear();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

const folder = async () => {
  const made = await mkdtemp(join(tmpdir(), 'bootplane-jwt-site-'));
  folders.push(made);
  return made;
};
const health = async (name: string) => (await nodes.get(name)?.client.health())?.body;
const isRunning = async (name: string) => (await health(name))?.services?.[0]?.state === 'running';
/** The one that leads, confirmed by the cloud, as all of them see it. */
const leader = async () => {
  const all = await Promise.all(NAMES.map(health));
  const led = all.filter((one) => one?.role === 'leader' && one.confirmed === true);
  const named = new Set(all.map((one) => one?.leader_node_id));
  return led.length === 1 && named.size === 1 ? [...named][0] : undefined;
};

/** Some intervals in which nothing happens: only the leader speaks to the cloud, by one call in each. */
async function steadily(counted: CountingProxy, intervals: number): Promise<void> {
  const from = counted.calls.length;
  const uplinks = () => counted.calls.slice(from).filter(({ call }) => call === UPLINK);
  await until('some intervals', async () => uplinks().length > intervals);
  const at = uplinks().map(({ at_ms }) => at_ms);
  const posts = counted.calls.slice(from).filter(({ call }) => call.startsWith('POST'));
  expect(new Set(posts.map(({ call }) => call))).toEqual(new Set([UPLINK]));
  const gaps = at.slice(1).map((at_ms, index) => at_ms - (at[index] ?? 0));
  const [median = 0] = gaps.sort((a, b) => a - b).slice(Math.floor(gaps.length / 2));
  expect(median).toBeGreaterThan(INTERVAL_MS * 0.75);
}

it('three nodes with JWTs alone, and no fleet key on their site: one leads, is told by the cloud whose the JWTs of the others are, and alone speaks to it', async () => {
  const tokens = await folder();
  const signatures: string[] = [];
  const at = (name: string) => join(tokens, `${name}.jwt`);
  const token = async (more: Record<string, unknown>) => {
    const text = await sign(issuer, claimsAt(Date.now(), more));
    signatures.push(text.split('.')[2] ?? '');
    return text;
  };
  /** As an agent of the platform does it: whole, or not at all. */
  const renew = async (name: string) => {
    await writeFile(`${at(name)}.new`, await token({ sub: name, jti: `${name}-${signatures.length}` }), { mode: 0o600 });
    await rename(`${at(name)}.new`, at(name));
  };
  const jwt = { BOOTPLANE_JWKS: jwksOf(issuer), BOOTPLANE_JWT_ISSUER: ISSUER, BOOTPLANE_JWT_AUDIENCE: AUDIENCE };
  const worker = await startWorkerProcess(KEY, jwt);
  const counted = await startCountingProxy(worker.url);
  try {
    const cloud = createClient({ url: worker.url, credential: KEY });
    const services = [{ name: 'bell', version: '1', command: ['sleep', '600'] }];
    await cloud.publish('plan', { ttl_seconds: TTL_SECONDS, services }, { if_match: 0 });
    await Promise.all(
      NAMES.map(async (name) => {
        const dataDir = await folder();
        await renew(name);
        const env = { BOOTPLANE_TOKEN_FILE: at(name) };
        const args = ['--node-id', name, '--site', SITE, '--cloud-url', counted.url];
        expect(await run(['join', '--data-dir', dataDir, ...args, '--no-start'], { env })).toMatchObject({ code: 0, err: '' });
        expect(JSON.parse(await readFile(join(dataDir, 'member.json'), 'utf8')).member).not.toHaveProperty('credential');
        nodes.set(name, await startNodeProcess({ dataDir, args: ['--no-mdns', '--ttl-seconds', String(TTL_SECONDS), ...args], env }));
      }),
    );
    const first = await until('a leader that the cloud has confirmed', leader);
    for (const name of NAMES) await until(`the service on ${name}`, () => isRunning(name));
    const online = async () => {
      const { nodes: all } = (await cloud.nodes()).body;
      return all.flatMap(({ node_id, liveness }) => (liveness === 'online' ? [node_id] : [])).sort();
    };
    await until('all of them at the cloud', async () => (await online()).join() === NAMES.join());
    await until('some quiet', async () => counted.calls.slice(-4).every(({ call }) => call === UPLINK));
    await steadily(counted, 4);
    expect(await online()).toEqual(NAMES);

    // A renewed one is asked about once, and its node is the same.
    const [follower = '', other = ''] = NAMES.filter((name) => name !== first);
    const asked = () => counted.calls.filter(({ call }) => call === 'POST /v1/introspect').length;
    const before = asked();
    await renew(follower);
    await until('the leader to ask about it', async () => asked() > before);
    await steadily(counted, 2);
    expect([asked() - before, await online()]).toEqual([1, NAMES]);

    // Each is itself alone, and who is nobody to the cloud is nobody here.
    const { url = '' } = nodes.get(first) ?? {};
    const register = async (credential: string, node_id: string) => {
      const headers = { authorization: `Bearer ${credential}`, 'content-type': 'application/json' };
      const body = { node_id, capabilities: [], host: 'x', ip: '192.0.2.1', versions: {} };
      return (await fetch(`${url}/v1/nodes/register`, { method: 'POST', headers, body: JSON.stringify(body) })).status;
    };
    const own = await readFile(at(follower), 'utf8');
    const viewer = await token({ sub: 'jane@example.com', scope: 'viewer' });
    expect(await register(own, other)).toBe(403);
    expect(await register(viewer, follower)).toBe(403);
    expect(await register(await token({ sub: 'n4', fleet: 'other' }), 'n4')).toBe(401);
    expect((await createClient({ url, credential: viewer }).nodes()).body.nodes.map(({ node_id }) => node_id)).toEqual(NAMES);

    // Without the cloud those that are known go on, and of others nothing can be said.
    await worker.halt();
    await until('the leader goes on without the cloud', async () => (await health(first))?.provisional === true);
    expect(await register(await token({ sub: 'n4' }), 'n4')).toBe(503);
    const site = createClient({ url, credential: own });
    const heard = async () => (await site.leader({ site: SITE })).body;
    await until('the leader to hear all of them', async () => (await heard()).provisional && (await heard()).nodes_heard === 3);
    for (const name of NAMES) await until(`${name} under the same leader`, async () => (await health(name))?.leader_node_id === first);
    for (const name of NAMES) expect(await isRunning(name), name).toBe(true);
    for (const { output, dataDir } of nodes.values()) await refuseSaidSecrets(output(), signatures, dataDir);
  } finally {
    await Promise.all([...nodes.values()].map((node) => node.end('SIGTERM')));
    nodes.clear();
    await counted.close();
    await worker.stop();
  }
}, 360_000);
