import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listen } from '../../runtime-node/http-server.ts';
import { ADMIN_KEY, type Fleets, startFleets } from '../runtime/fleets.harness.ts';
import { FLEET_KEY } from '../runtime/harness.ts';
import { startOnNode } from '../runtime/node-harness.ts';
import { type Ran, type RunOptions, run } from '../support/cli.ts';

let cloud: Fleets;
let url: string;
let close: () => Promise<void>;
beforeEach(async () => {
  cloud = await startFleets(startOnNode);
  const server = await listen((request) => cloud.harness.supervisor.fetch(request), '127.0.0.1', 0);
  url = `http://127.0.0.1:${server.port}`;
  close = () => server.close();
});
afterEach(async () => {
  await close();
  await cloud.close();
});

const operator = (argv: string[], options: RunOptions = {}): Promise<Ran> =>
  run([...argv, '--url', url], { ...options, env: { BOOTPLANE_API_KEY: FLEET_KEY, ...options.env } });
const admin = (argv: string[], options: RunOptions = {}): Promise<Ran> =>
  run([...argv, '--url', url], { ...options, env: { BOOTPLANE_ADMIN_KEY: ADMIN_KEY, ...options.env } });

describe('bootplane keys', () => {
  it('creates a key that works, lists it without the key, and revokes it', async () => {
    const created = await operator(['keys', 'create', 'viewer', '--label', 'hall', '--expires', '90d']);
    expect(created).toMatchObject({ code: 0, err: '' });
    const [key = '', , hint = ''] = created.out.split('\n');
    const key_id = key.split('~')[2] ?? '';
    expect(hint).toBe(`This is the only time that it is shown. End it with: bootplane keys revoke ${key_id}`);
    expect((await cloud.as(key, 'GET /v1/nodes')).status).toBe(200);
    const { out } = await operator(['keys', 'list']);
    expect(out).toMatch(new RegExp(`${key_id} +viewer +active +- +- .* hall\n`));
    expect(out).not.toContain(key.split('~')[3]);
    expect(await operator(['keys', 'revoke', key_id])).toMatchObject({ code: 0, out: expect.stringContaining('is revoked') });
    expect((await cloud.as(key, 'GET /v1/nodes')).status).toBe(401);
    expect(JSON.parse((await operator(['keys', 'list', '--json'])).out).keys).toMatchObject([{ key_id, state: 'revoked' }]);
  });

  it('prints the key alone, or the whole answer', async () => {
    const quiet = await operator(['keys', 'create', 'join', '--max-uses', '3', '--for-site', 'berlin', '--quiet']);
    expect(quiet.out).toMatch(/^bpi~default~[0-9a-f]{16}~[\w-]{43}\n$/);
    expect(JSON.parse((await operator(['keys', 'create', 'node', '--node', 'a', '--json'])).out)).toMatchObject({
      scope: 'node',
      node_id: 'a',
    });
    expect((await operator(['keys', 'list'])).out).toMatch(/join +active +berlin +0 of 3 /);
  });

  it('says at a site how long a key holds: while the node that keeps it leads', async () => {
    const self = {
      ...{ node_id: 'hall-1', instance_id: 'boot', origins: () => [], provisional: () => false, confirmed: () => false },
      ...{ leadership: () => ({ leads: true, epoch_seen: 1, eligible: true }), hear: () => undefined },
    };
    const site = await startOnNode({ self });
    const server = await listen((request) => site.supervisor.fetch(request), '127.0.0.1', 0);
    const at = ['--url', `http://127.0.0.1:${server.port}`];
    const env = { BOOTPLANE_API_KEY: FLEET_KEY };
    const { out } = await run(['keys', 'create', 'viewer', ...at], { env });
    expect(out).toMatch(
      /\nIt holds at any node of this site while hall-1 leads\. The next leader neither knows it nor can revoke it: .*\n$/,
    );
    expect(JSON.parse((await run(['keys', 'create', 'viewer', '--json', ...at], { env })).out).leader_node_id).toBe('hall-1');
    await server.close();
    await site.close();
  });

  it('tells of each key that was issued with the revoked one and still holds, also through another', async () => {
    const issue = async (as: string, ...more: string[]) =>
      JSON.parse((await operator(['keys', 'create', ...more, '--json'], { env: { BOOTPLANE_API_KEY: as } })).out);
    const first = await issue(FLEET_KEY, 'operator', '--label', 'ci (old)');
    const second = await issue(first.key, 'operator');
    const third = await issue(second.key, 'viewer', '--label', 'hall');
    const ended = await issue(first.key, 'viewer');
    await issue(FLEET_KEY, 'viewer');
    expect((await operator(['keys', 'revoke', ended.key_id])).out.split('\n')).toHaveLength(2);
    const { out } = await operator(['keys', 'revoke', first.key_id]);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines).toContain(
      `${second.key_id} (operator) was issued with key ${first.key_id} (ci (old)) and still holds; end it with: bootplane keys revoke ${second.key_id}`,
    );
    expect(lines.find((line) => line.startsWith(third.key_id))).toContain(
      `(viewer, hall) was issued with key ${second.key_id} and still holds`,
    );
    const own = await operator(['keys', 'revoke', second.key_id], { env: { BOOTPLANE_API_KEY: second.key } });
    expect(own).toMatchObject({ code: 0, out: expect.stringContaining('could not be read: see bootplane keys list') });
    const again = await operator(['keys', 'revoke', second.key_id, '--json']);
    expect(JSON.parse(again.out)).toMatchObject({ state: 'revoked', issued: [{ key_id: third.key_id }] });
  });

  it.each([
    [['create', 'chef'], 64, /there is no scope "chef"/],
    [['create', 'node'], 64, /--node: is needed/],
    [['create', 'viewer', '--max-uses', '3'], 64, /--max-uses: goes with the scope join/],
    [['create', 'join', '--max-uses', 'many'], 64, /--max-uses is "many"/],
    [['create', 'viewer', '--expires', 'soon'], 64, /--expires is "soon"\nGive a number and its unit/],
    [['revoke', 'bpi~default~1f0c~secret'], 64, /that is a key, not its id/],
    [['revoke', 'nothing'], 1, /there is no key nothing/],
    [['list', '--in-fleet', 'shops'], 64, /--in-fleet needs the admin key/],
  ] as const)('%j exits with %i', async (argv, code, message) => {
    const ran = await operator(['keys', ...argv]);
    expect(ran).toMatchObject({ code, out: '', err: expect.stringMatching(message) });
    expect(ran.err).not.toContain('secret');
  });

  it('acts for an admin in the fleet that is named', async () => {
    const { key } = await cloud.makeFleet('shops');
    const created = await admin(['keys', 'create', 'viewer', '--in-fleet', 'shops', '--quiet']);
    expect(created.out).toMatch(/^bpi~shops~/);
    expect((await cloud.as(key, 'GET /v1/keys')).body.keys).toMatchObject([{ created_by: 'admin' }]);
  });
});

describe('what is told', () => {
  it('to who has the admin key alone: that keys are of a fleet, which is named by a flag', async () => {
    const ran = await admin(['keys', 'list'], { env: { BOOTPLANE_DATA_DIR: '/nothing/here' } });
    expect(ran).toMatchObject({ code: 64, err: expect.stringMatching(/only the admin key is set\n.*--in-fleet NAME/) });
  });

  it('of a name that can not be one: once', async () => {
    const { code, err } = await admin(['fleet', 'create', 'bad name']);
    expect([code, err.match(/must start with a letter or digit/g)]).toEqual([1, ['must start with a letter or digit']]);
  });
});

describe('bootplane fleet', () => {
  it('creates a fleet, lists it, replaces its key and closes it', async () => {
    expect((await admin(['fleet', 'list'])).out).toContain('no fleet was made here');
    const created = await admin(['fleet', 'create', 'shops']);
    expect(created).toMatchObject({ code: 0, err: '' });
    const [key = ''] = created.out.split('\n');
    expect(created.out).toContain(`bootplane up --fleet shops --cloud-url ${url}`);
    expect((await cloud.as(key, 'GET /v1/state')).body.fleet).toBe('shops');
    expect((await admin(['fleet', 'list'])).out).toMatch(/shops +open +\d.* ago +[\w-]{16} +-\n/);
    const rotated = await admin(['fleet', 'rotate', 'shops', '--overlap', '12h']);
    expect(rotated.out).toMatch(/^bpk~shops~.*\n\nthe key of shops is replaced; the old one holds until 20/);
    expect(rotated.out).toContain('with an overlap below 2d some may have to join again');
    const [next = ''] = rotated.out.split('\n');
    for (const one of [key, next]) expect((await cloud.as(one, 'GET /v1/nodes')).status).toBe(200);
    expect(await admin(['fleet', 'close', 'shops'])).toMatchObject({ code: 64, err: expect.stringContaining('needs --yes') });
    expect(await admin(['fleet', 'close', 'shops'], { ask: async () => 'shop' })).toMatchObject({ code: 1 });
    expect((await cloud.as(next, 'GET /v1/nodes')).status).toBe(200);
    expect(await admin(['fleet', 'close', 'shops'], { ask: async () => ' shops\n' })).toMatchObject({ code: 0 });
    expect((await cloud.as(next, 'GET /v1/nodes')).status).toBe(401);
    expect((await admin(['fleet', 'list'])).out).toMatch(/shops +closed \d.* ago/);
  });

  it('takes a key from standard input, and replaces it with the fleet key itself', async () => {
    const key = 'a-key-that-the-shops-have-had-for-years';
    const created = await admin(['fleet', 'create', 'shops', '--given', '--json'], { stdin: `${key}\n` });
    expect(JSON.parse(created.out)).toMatchObject({ fleet: 'shops' });
    expect(created.out).not.toContain(key);
    const rotated = await operator(['fleet', 'rotate', 'shops', '--overlap', '0s', '--quiet'], { env: { BOOTPLANE_API_KEY: key } });
    expect(rotated.out).toMatch(/^bpk~shops~[\w-]{43}\n$/);
    expect((await cloud.as(key, 'GET /v1/nodes', { headers: { 'bootplane-fleet': 'shops' } })).status).toBe(401);
  });

  it('says what is missing, and what is refused', async () => {
    expect(await operator(['fleet', 'list'])).toMatchObject({ code: 64, err: expect.stringContaining('BOOTPLANE_ADMIN_KEY is not set') });
    const nowhere = await run(['fleet', 'list'], { env: { BOOTPLANE_ADMIN_KEY: ADMIN_KEY } });
    expect(nowhere).toMatchObject({ code: 64, err: expect.stringContaining('no cloud') });
    expect(await run(['fleet', 'list', '--url', 'http://192.0.2.1'], { env: { BOOTPLANE_ADMIN_KEY: ADMIN_KEY } })).toMatchObject({
      code: 64,
    });
    expect(await admin(['fleet', 'create', 'default'])).toMatchObject({ code: 1, err: expect.stringContaining('fleet_exists') });
    expect(await admin(['fleet', 'rotate', 'nobody'])).toMatchObject({ code: 1, err: expect.stringContaining('unknown_fleet') });
    expect(await admin(['fleet', 'rotate', 'default'])).toMatchObject({ code: 1, err: expect.stringContaining('fleet_fixed') });
  });
});
