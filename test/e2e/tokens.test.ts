import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import { freePort } from '../support/free-port.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, type MadeKey, makeKey, sign } from '../support/token-issuer.ts';
import { until } from '../support/until.ts';
import { helloService } from './support/example-plan.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';

const KEY = 'a fleet key for this test only';
let folder: string;
let key: MadeKey;
let leader: NodeProcess;
let node: NodeProcess | undefined;
const given: string[] = [];

const at = (name: string) => join(folder, name);

/** As an agent of the platform does it: whole, or not at all. */
async function replace(name: string, text: string): Promise<void> {
  await writeFile(at(`${name}.new`), text, { mode: 0o600 });
  await rename(at(`${name}.new`), at(name));
}

async function renew(seconds: number, more: Record<string, unknown> = {}, signer = key): Promise<string> {
  const token = await sign(signer, claimsAt(Date.now(), { sub: 'b', exp: Math.floor(Date.now() / 1000) + seconds, ...more }));
  given.push(token);
  await replace('token', token);
  return token;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-tokens-'));
  key = await makeKey('one', 'ES256');
  await replace('keys.json', jwksOf(key));
  const data = await mkdtemp(join(tmpdir(), 'bootplane-tokens-a-'));
  const jwt = {
    BOOTPLANE_JWKS_FILE: at('keys.json'),
    BOOTPLANE_JWT_ISSUER: ISSUER,
    BOOTPLANE_JWT_AUDIENCE: AUDIENCE,
    BOOTPLANE_JWT_SKEW_SECONDS: '0',
  };
  leader = await startNodeProcess({
    dataDir: data,
    args: ['--no-mdns', '--node-id', 'a', '--ttl-seconds', '2'],
    env: { BOOTPLANE_API_KEY: KEY, ...jwt },
  });
});

afterAll(async () => {
  await node?.end('SIGTERM');
  await leader?.end('SIGTERM');
  for (const dir of [folder, leader?.dataDir, node?.dataDir]) if (dir !== undefined) await rm(dir, { recursive: true, force: true });
});

describe('a node whose credential is a JWT', () => {
  it('keeps its services running over a token that is missing, that expires, and that is signed anew with another key', async () => {
    const port = await freePort();
    const service = { ...helloService(port), placement: { nodes: ['b'] } };
    /** Of the processes that the node keeps for its services. */
    const pids = async () => {
      const records = join(node?.dataDir ?? '', 'processes');
      const names = (await readdir(records)).filter((name) => name.endsWith('.json'));
      return Promise.all(names.map(async (name) => JSON.parse(await readFile(join(records, name), 'utf8')).pid as number));
    };
    const seen = async () => (await leader.client.nodes()).body.nodes.find(({ node_id }) => node_id === 'b');
    await until('the leader', async () => (await leader.client.health()).body.role === 'leader');
    await leader.client.publish('plan', { ttl_seconds: 2, services: [service] }, { if_match: 0 });

    node = await startNodeProcess({
      dataDir: await mkdtemp(join(tmpdir(), 'bootplane-tokens-b-')),
      args: ['--no-mdns', '--no-lead', '--node-id', 'b', '--peers', leader.url],
      env: { BOOTPLANE_API_KEY: KEY, BOOTPLANE_TOKEN_FILE: at('token') },
    });
    const health = async () => (await node!.client.health()).body;
    const waitsFor = (words: RegExp) =>
      until(`health that says ${words}`, async () => {
        const { status, waiting_for = [] } = await health();
        return status !== 'ok' && waiting_for.some((line) => words.test(line));
      });
    await waitsFor(/a credential: .*token is not there/);
    expect(await seen()).toBeUndefined();

    // It comes late.
    await renew(600);
    await until('the service', async () => (await health()).services?.[0]?.state === 'running');
    await until('the node at its leader', async () => (await seen())?.liveness === 'online');
    const before = await pids();
    expect(before).toEqual([expect.any(Number)]);
    // The next one holds for a few seconds, and none comes after it.
    await renew(4);
    await waitsFor(/a renewed credential: the JWT in .*token expired at \d{4}-.*what runs goes on/);
    await until('the leader to miss it', async () => (await seen())?.liveness !== 'online');
    expect(await pids()).toEqual(before);
    expect(node.output()).toContain('is not renewed yet');

    // A renewed one brings it back; nothing was started anew.
    await renew(600);
    await until('the node at its leader again', async () => (await seen())?.liveness === 'online');
    await until('a node in order', async () => (await health()).status === 'ok');
    expect(await pids()).toEqual(before);

    // The issuer changes its key: the old one goes, and with it all its tokens.
    const second = await makeKey('two', 'EdDSA');
    await replace('keys.json', jwksOf(second));
    await until('the leader to refuse it', async () => (await seen())?.liveness !== 'online');
    await renew(600, {}, second);
    await until('the node under the new key', async () => (await seen())?.liveness === 'online');
    expect(await pids()).toEqual(before);

    for (const token of given) for (const { output } of [node, leader]) expect(output()).not.toContain(token.split('.')[2]);
  });

  it('is told from a person with one', async () => {
    const second = await makeKey('three', 'RS256');
    await replace('keys.json', jwksOf(second));
    const token = await sign(second, claimsAt(Date.now(), { sub: 'jane', scope: 'viewer' }));
    const viewer = createClient({ url: leader.url, credential: token });
    await until('the new keys', async () => (await viewer.nodes()).status === 200);
    await expect(viewer.publish('profile', {}, { if_match: 0 })).rejects.toMatchObject({ problem: { code: 'forbidden' } });
    const expired = await sign(second, claimsAt(Date.now(), { sub: 'jane', scope: 'viewer', exp: 1 }));
    await expect(createClient({ url: leader.url, credential: expired }).nodes()).rejects.toMatchObject({
      problem: { code: 'unauthenticated', detail: expect.stringContaining('expired at 1970-01-01T00:00:01.000Z') },
    });
  });
});
