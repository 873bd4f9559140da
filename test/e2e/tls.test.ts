import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeCertificate } from '../support/certificates.ts';
import { freePort } from '../support/free-port.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, makeKey, sign } from '../support/token-issuer.ts';
import { until } from '../support/until.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';

const KEY = 'a fleet key for this test only';
let folder: string;
const nodes: NodeProcess[] = [];
const folders: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-tls-'));
});
afterAll(async () => {
  for (const node of nodes.toReversed()) await node.end('SIGTERM');
  for (const dir of [folder, ...folders]) await rm(dir, { recursive: true, force: true });
});

async function start(args: readonly string[], env: Readonly<Record<string, string>>): Promise<NodeProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'bootplane-tls-node-'));
  folders.push(dataDir);
  const node = await startNodeProcess({
    dataDir,
    args: ['--no-mdns', '--ttl-seconds', '6', ...args],
    env: { BOOTPLANE_API_KEY: KEY, ...env },
  });
  nodes.push(node);
  return node;
}

it('real nodes speak https to each other, and show their JWTs there, when they have a certificate and know who signed it', async () => {
  const { cert, key } = await makeCertificate(folder, 'fleet');
  const signer = await makeKey('one', 'EdDSA');
  await writeFile(join(folder, 'keys.json'), jwksOf(signer));
  await writeFile(join(folder, 'token'), await sign(signer, claimsAt(Date.now(), { sub: 'b' })));
  const jwt = { BOOTPLANE_JWKS_FILE: join(folder, 'keys.json'), BOOTPLANE_JWT_ISSUER: ISSUER, BOOTPLANE_JWT_AUDIENCE: AUDIENCE };
  const tls = { BOOTPLANE_TLS_CERT: cert, BOOTPLANE_TLS_KEY: key, BOOTPLANE_TLS_CA: cert, ...jwt };

  const leader = await start(['--node-id', 'a'], tls);
  await until('the leader', async () => (await leader.client.health()).body.role === 'leader');
  // Its own services and commands go on as before.
  expect(leader.url).toMatch(/^http:\/\/127\.0\.0\.1:/);
  const secure = leader.url.replace('http:', 'https:');
  expect((await leader.client.leader()).body.leader_url).toBe(secure);
  await expect(fetch(`${secure}/healthz`)).rejects.toThrow();

  const follower = await start(['--node-id', 'b', '--no-lead', '--peers', secure], { ...tls, BOOTPLANE_TOKEN_FILE: join(folder, 'token') });
  await until('the follower at its leader', async () =>
    (await leader.client.nodes()).body.nodes.some(({ node_id, liveness }) => node_id === 'b' && liveness === 'online'),
  );
  const { body } = await follower.client.health();
  expect(body).toMatchObject({ leader_url: secure, source: 'peer' });
  // What it is asked it brings to the leader, over https.
  expect((await follower.client.nodes()).body.nodes.map(({ node_id }) => node_id).sort()).toEqual(['a', 'b']);

  const stranger = await start(['--node-id', 'c', '--no-lead', '--peers', secure], {});
  await until('one that does not know who signed it', async () =>
    /certificate|self.signed/.test(await readFile(join(stranger.dataDir, 'discovery-trace.json'), 'utf8')),
  );
  expect((await leader.client.nodes()).body.nodes.map(({ node_id }) => node_id)).not.toContain('c');

  // Half a pair keeps a node from starting, and says so.
  await copyFile(key, join(folder, 'no-cert'));
  await expect(
    start(['--node-id', 'd', '--port', String(await freePort())], { ...tls, BOOTPLANE_TLS_CERT: join(folder, 'no-cert') }),
  ).rejects.toThrow(/can't be used together/);
});
