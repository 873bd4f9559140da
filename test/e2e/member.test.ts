import { createHash, hkdfSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { createIdentityClient } from '../../shared/identity-client.ts';
import { makeCertificate } from '../support/certificates.ts';
import { run } from '../support/cli.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, makeKey, sign } from '../support/token-issuer.ts';
import { until } from '../support/until.ts';
import { type NodeProcess, spawnCli, startNodeProcess } from './support/node-process.ts';
import { startWorkerProcess } from './support/worker-process.ts';

const KEY = 'a fleet key for this test alone';
const folders: string[] = [];
const nodes = new Set<NodeProcess>();
afterEach(async () => {
  for (const node of nodes) await node.end('SIGKILL');
  nodes.clear();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

const folder = async () => {
  const made = await mkdtemp(join(tmpdir(), 'bootplane-member-'));
  folders.push(made);
  return made;
};
const start = async (dataDir: string, args: readonly string[], env: Record<string, string> = {}) => {
  const node = await startNodeProcess({ dataDir, args: ['--no-mdns', '--ttl-seconds', '2', ...args], env });
  nodes.add(node);
  return node;
};
const end = async (node: NodeProcess, signal: NodeJS.Signals) => {
  nodes.delete(node);
  await node.end(signal);
};
const PLAN = {
  services: [
    { name: 'bell', version: '1', command: ['sleep', '600'] },
    { name: 'lamp', version: '1', command: ['sleep', '600'] },
  ],
};

/** Every file under a folder. */
async function filesIn(path: string): Promise<Buffer[]> {
  const names = await readdir(path, { recursive: true });
  const infos = await Promise.all(names.map(async (name) => ({ name, isFile: (await stat(join(path, name))).isFile() })));
  return Promise.all(infos.filter(({ isFile }) => isFile).map(({ name }) => readFile(join(path, name))));
}

/** A secret as it could stand in a file: its bytes, and in the usual forms. */
const forms = (bytes: Buffer) => [bytes, ...(['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(bytes.toString(form)))];

it('a node that joined without the fleet key runs what the fleet signs, comes up without it after a power cut, and has nothing to steal', async () => {
  const leaderDir = await folder();
  const leader = await start(leaderDir, ['--node-id', 'a'], { BOOTPLANE_API_KEY: KEY });
  await until('the leader', async () => (await leader.client.health()).body.role === 'leader');
  const { key } = await createIdentityClient({ url: leader.url, credential: KEY, fetch }).createKey({ scope: 'join', max_uses: 1 });

  const dataDir = await folder();
  const joined = await run(['join', key, '--data-dir', dataDir, '--node-id', 'm', '--peers', leader.url, '--no-start']);
  expect(joined).toMatchObject({ code: 0, err: '' });
  expect(joined.out).toContain(`this is node m of fleet default, without the fleet key`);
  expect((await stat(join(dataDir, 'member.json'))).mode & 0o777).toBe(0o600);
  expect(await run(['join', key, '--data-dir', dataDir, '--node-id', 'm', '--peers', leader.url, '--no-start'])).toMatchObject({ code: 0 });

  const member = await start(dataDir, []);
  await until('the member at its leader', async () =>
    (await leader.client.nodes()).body.nodes.some(({ node_id, liveness }) => node_id === 'm' && liveness === 'online'),
  );
  await leader.client.publish('plan', PLAN, { if_match: 0 });
  await until(
    'both services on the member',
    async () => (await member.client.health()).body.services?.filter(({ state }) => state === 'running').length === 2,
  );

  // Its owner speaks to the fleet as this node: reading goes, deciding does not.
  expect(await run(['plan', 'history', '--data-dir', dataDir])).toMatchObject({ err: '', code: 0 });
  expect((await run(['nodes', '--data-dir', dataDir])).err).toContain('the credential has the scope node');
  await expect(member.client.publish('plan', { services: [] }, { if_match: 1, allow_empty: true })).rejects.toMatchObject({
    problem: { code: 'forbidden' },
  });
  // The leader is on this machine, so the caller's own credential may go on to it.
  expect((await createClient({ url: member.url, credential: KEY }).nodes()).body.nodes).toHaveLength(2);
  expect((await run(['key', 'show', '--data-dir', dataDir])).err).toContain('has joined without the fleet key');
  expect((await run(['doctor', '--data-dir', dataDir, '--no-mdns'])).out).toMatch(/none, as it should be: this is node m/);

  // Nobody in reach, and a power cut: it does what it did.
  await end(leader, 'SIGKILL');
  await end(member, 'SIGKILL');
  const again = await start(dataDir, []);
  await until(
    'both services from what is kept',
    async () => (await again.client.health()).body.services?.filter(({ state }) => state === 'running').length === 2,
  );
  expect((await again.client.health()).body.role).not.toBe('leader');
  await until('its first look is over, and says why it leads nothing', async () =>
    (await run(['why', '--data-dir', dataDir])).out.includes('joined without the fleet key'),
  );
  await until('it says that nobody renews', async () => again.output().includes('is not renewed, and stays as it is'));
  expect(again.output().split('is not renewed, and stays as it is').length).toBe(2);

  const disk = await filesIn(dataDir);
  const others = await deriveFleetKeys('default', KEY);
  const labels = ['document', 'forward', 'node-credential', 'service-token', 'comparison'];
  const seeds = labels.map((label) => Buffer.from(hkdfSync('sha256', KEY, 'default', `bootplane/v1/${label}`, 32)));
  const secrets = [
    ...forms(Buffer.from(KEY)),
    ...forms(createHash('sha256').update(KEY).digest()),
    ...seeds.flatMap(forms),
    Buffer.from(await others.nodeCredential('a')),
    Buffer.from(key),
  ];
  for (const text of disk) for (const secret of secrets) expect(text.includes(secret)).toBe(false);
  // The search finds what is there.
  expect(disk.some((text) => text.includes(others.discovery_key))).toBe(true);
  expect((await run(['leave', '--data-dir', dataDir])).code).toBe(0);
}, 180_000);

const running = async (node: NodeProcess) => (await node.client.health()).body.services?.filter(({ state }) => state === 'running').length;
const kept = async (dataDir: string) => JSON.parse(await readFile(join(dataDir, 'member.json'), 'utf8')).member;

it('nodes without the fleet key are let in by a cloud, one by a join key and one by a key of its own, and follow the leader of its site', async () => {
  const worker = await startWorkerProcess(KEY);
  try {
    const cloud = createClient({ url: worker.url, credential: KEY });
    const issuing = createIdentityClient({ url: worker.url, credential: KEY, fetch });
    const { key: join_key } = await issuing.createKey({ scope: 'join', site: 'lab' });
    const { key: own_key } = await issuing.createKey({ scope: 'node', node_id: 'n2' });
    await cloud.publish('plan', PLAN, { if_match: 0 });
    const leader = await start(await folder(), ['--node-id', 'a', '--site', 'lab', '--cloud-url', worker.url], { BOOTPLANE_API_KEY: KEY });
    await until('the leader', async () => (await leader.client.health()).body.confirmed === true);
    const members: NodeProcess[] = [];
    for (const [key, name] of [
      [join_key, 'n1'],
      [own_key, 'n2'],
    ] as const) {
      const dataDir = await folder();
      const joined = await run([
        'join',
        key,
        '--data-dir',
        dataDir,
        '--node-id',
        name,
        '--cloud-url',
        worker.url,
        '--site',
        'lab',
        '--no-start',
      ]);
      expect(joined).toMatchObject({ code: 0, err: '' });
      members.push(await start(dataDir, ['--site', 'lab']));
    }
    for (const member of members) await until('both services', async () => (await running(member)) === 2);
    const [first, second] = members.map(({ dataDir }) => dataDir);
    expect(await kept(first ?? '')).toMatchObject({ site: 'lab', is_cloud: true, credential: expect.stringMatching(/^bpn~default~n1~/) });
    expect(await kept(second ?? '')).toMatchObject({ issued_key: own_key });
    expect(await kept(second ?? '')).not.toHaveProperty('credential');
    expect((await members[0]?.client.health())?.body).toMatchObject({ leader_node_id: 'a', site: 'lab', role: 'worker' });
    await until('all of them at the cloud', async () => {
      const online = (await cloud.nodes()).body.nodes.filter(({ liveness }) => liveness === 'online').map(({ node_id }) => node_id);
      return online.sort().join() === 'a,n1,n2';
    });
    // A join key lets nobody be one of them.
    const thief = await run(['join', join_key, '--data-dir', await folder(), '--node-id', 'n1', '--cloud-url', worker.url, '--no-start']);
    expect(thief).toMatchObject({ code: 1, err: expect.stringContaining('registered already') });
  } finally {
    for (const node of nodes) await end(node, 'SIGTERM');
    await worker.stop();
  }
}, 180_000);

it('a node with a JWT and no fleet key follows its leader over https, and takes the JWTs of people itself', async () => {
  const made = await folder();
  const { cert, key } = await makeCertificate(made, 'fleet');
  const signer = await makeKey('one', 'EdDSA');
  await writeFile(join(made, 'keys.json'), jwksOf(signer));
  await writeFile(join(made, 'token'), await sign(signer, claimsAt(Date.now(), { sub: 'm', scope: 'node' })));
  const jwt = { BOOTPLANE_JWKS_FILE: join(made, 'keys.json'), BOOTPLANE_JWT_ISSUER: ISSUER, BOOTPLANE_JWT_AUDIENCE: AUDIENCE };
  const tls = { BOOTPLANE_TLS_CERT: cert, BOOTPLANE_TLS_KEY: key, BOOTPLANE_TLS_CA: cert, ...jwt };
  const leader = await start(await folder(), ['--node-id', 'a'], { ...tls, BOOTPLANE_API_KEY: KEY });
  await until('the leader', async () => (await leader.client.health()).body.role === 'leader');
  const secure = leader.url.replace('http:', 'https:');

  const dataDir = await folder();
  const env = { ...tls, BOOTPLANE_TOKEN_FILE: join(made, 'token') };
  const joining = spawnCli(['join', '--data-dir', dataDir, '--node-id', 'm', '--peers', secure, '--no-start'], env);
  let said = '';
  joining.stderr?.on('data', (chunk) => (said += chunk));
  const code = await new Promise((resolve) => joining.once('exit', resolve));
  expect({ code, said }).toEqual({ code: 0, said: '' });
  expect(await kept(dataDir)).not.toHaveProperty('credential');

  const member = await start(dataDir, [], env);
  await until('the member at its leader', async () =>
    (await leader.client.nodes()).body.nodes.some(({ node_id, liveness }) => node_id === 'm' && liveness === 'online'),
  );
  expect((await member.client.health()).body).toMatchObject({ leader_url: secure, source: 'peer' });
  await leader.client.publish('plan', PLAN, { if_match: 0 });
  await until('both services', async () => (await running(member)) === 2);
  const person = await sign(signer, claimsAt(Date.now(), { sub: 'jane', scope: 'viewer' }));
  expect((await createClient({ url: member.url, credential: person }).nodes()).body.nodes).toHaveLength(2);
}, 120_000);
