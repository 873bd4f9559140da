import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../runtime-node/commands/doctor-finding.ts';
import { checkNodeVersion } from '../../runtime-node/commands/doctor-machine.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { FLEET_KEY, register } from '../runtime/harness.ts';
import { type Ran, type RunOptions, run, type Site, startSite } from '../support/cli.ts';
import { forge } from '../support/token-issuer.ts';

function findings({ out }: Ran): Record<string, Finding> {
  const { checks }: { checks: Finding[] } = JSON.parse(out);
  for (const check of checks) if (check.status !== 'ok') expect(check.advice, check.name).toBeTruthy();
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}

describe('without a node', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-doctor-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const doctor = (options: RunOptions = {}, ...argv: string[]) =>
    run(['doctor', '--json', '--data-dir', folder, '--host', '127.0.0.1', '--port', '0', ...argv], options);

  it('an empty machine has warnings and no failure', async () => {
    const ran = await doctor();
    expect(ran.code).toBe(0);
    expect(findings(ran)).toMatchObject({
      'Node.js': { status: 'ok' },
      'data directory': { status: 'ok' },
      'fleet key': { status: 'warn', detail: expect.stringContaining('fleet.key') },
      node: { status: 'warn', advice: expect.stringContaining('bootplane up') },
      cloud: { status: 'ok', detail: 'none is set' },
      peers: { status: 'ok' },
      damage: { status: 'ok' },
    });
  });

  it('tells of interfaces that are not there, and of files that were set aside', async () => {
    await writeFile(join(folder, 'plan.json.corrupt-2026-01-01T00-00-00.000Z'), 'x');
    const found = findings(await doctor({}, '--interface', 'none-such0'));
    expect(found.multicast).toMatchObject({ status: 'warn', detail: expect.stringContaining('none-such0') });
    expect(found.damage).toMatchObject({ status: 'warn', detail: expect.stringContaining('plan.json.corrupt-2026') });
    expect(findings(await doctor({}, '--interface', '127.0.0.1')).multicast?.detail).not.toContain('there is no interface');
    expect(findings(await doctor({}, '--no-mdns')).multicast).toMatchObject({ status: 'ok' });
  });

  it('tells when the JWT of this node ends, and shows nothing of it', async () => {
    const [now, file] = [Date.now(), join(folder, 'token')];
    const env = { BOOTPLANE_TOKEN_FILE: file, BOOTPLANE_JWKS_FILE: join(folder, 'keys.json') };
    const credential = async (iat: number, exp: number) => {
      const token = await forge({ alg: 'EdDSA' }, { iat: now / 1000 + iat, exp: now / 1000 + exp });
      await writeFile(file, `${token}\n`);
      const ran = await doctor({ env });
      expect(ran.out).not.toContain(token.slice(25, 45));
      return findings(ran).credential;
    };
    expect(findings(await doctor({ env }))).toMatchObject({
      credential: { status: 'fail', detail: expect.stringContaining('ENOENT') },
      'keys of JWTs': { status: 'fail' },
    });
    await writeFile(env.BOOTPLANE_JWKS_FILE, '{"keys":[]}');
    expect(findings(await doctor({ env }))['keys of JWTs']).toMatchObject({ status: 'ok' });
    expect(await credential(0, 600)).toMatchObject({ status: 'ok', detail: expect.stringContaining('is good until') });
    expect(await credential(-600, 200)).toMatchObject({ status: 'warn', detail: expect.stringContaining('not renewed yet') });
    expect(await credential(-600, -1)).toMatchObject({ status: 'fail', detail: expect.stringContaining('expired at') });
    await writeFile(file, 'no token');
    expect(findings(await doctor({ env })).credential).toMatchObject({ status: 'fail', detail: expect.stringContaining('holds no JWT') });
  });

  it.each([
    ['an issued key', `bpi~default~1f0c2d3e4a5b6c7d~${'x'.repeat(43)}`, /BOOTPLANE_API_KEY holds no fleet key: it is an issued key/],
    ['the key of another fleet', `bpk~shops~${'x'.repeat(43)}`, /start it with --fleet shops/],
  ])('says what a node can not start with in the place of the fleet key: %s', async (_what, key, why) => {
    const told = findings(await doctor({ env: { BOOTPLANE_API_KEY: key } }))['fleet key'];
    expect(told).toMatchObject({ status: 'fail', detail: expect.stringMatching(why) });
    await writeFile(join(folder, 'fleet.key'), key, { mode: 0o600 });
    expect(findings(await doctor())['fleet key']).toMatchObject({ status: 'fail', detail: expect.not.stringContaining('xxx') });
  });

  it('challenges peers without sending them a credential', async () => {
    const site = await startSite();
    const credentials: (string | null)[] = [];
    site.own.set('GET /v1/leader', async (request: Request) => {
      credentials.push(request.headers.get('authorization'));
      const keys = await deriveFleetKeys('default', FLEET_KEY);
      const asked = Object.fromEntries(new URL(request.url).searchParams);
      const said = { epoch_seen: 3, eligible: true };
      const nobody = { leader_node_id: null, leader_url: null, epoch: null, provisional: null, confirmed: null, nodes_heard: null };
      const claims = { purpose: 'leader-proof', ...asked, node_id: 'node-1', instance_id: 'boot-1', ...said, ...nobody };
      const proof = await keys.signHint(claims);
      return Response.json({ code: 'no_leader', proof, proved_by: 'node-1', proved_by_instance: 'boot-1', ...said }, { status: 404 });
    });
    await writeFile(join(folder, 'fleet.key'), await readFile(join(site.dir, 'fleet.key')));
    await chmod(join(folder, 'fleet.key'), 0o600);
    const proved = findings(await doctor({}, '--peers', site.url)).peers;
    const away = findings(await doctor({}, '--peers', `${site.url},http://127.0.0.1:1`)).peers;
    await writeFile(join(folder, 'fleet.key'), 'a key of another fleet, long enough');
    const foreign = findings(await doctor({}, '--peers', site.url)).peers;
    await site.close();
    expect(new Set(credentials)).toEqual(new Set([null]));
    expect(proved).toMatchObject({ status: 'ok', detail: expect.stringContaining('1 of 1') });
    expect(away).toMatchObject({ status: 'warn', detail: expect.stringMatching(/1 of 2.*127\.0\.0\.1:1: /) });
    expect(foreign).toMatchObject({ status: 'warn', detail: expect.stringContaining('not of this fleet') });
  });

  it('prints each check on a line, with what to do below', async () => {
    const { out } = await run(['doctor', '--data-dir', folder, '--host', '127.0.0.1', '--port', '0']);
    expect(out).toMatch(/^ok +clock +20/m);
    expect(out).toMatch(/^warn +node +no node runs on .*\n +-> Start it with `bootplane up`\.$/m);
  });

  it('a key that others can read fails', async () => {
    await writeFile(join(folder, 'fleet.key'), 'a key that is long enough\n');
    await chmod(join(folder, 'fleet.key'), 0o644);
    const ran = await doctor();
    expect(ran.code).toBe(1);
    expect(findings(ran)['fleet key']).toMatchObject({ status: 'fail', detail: expect.stringContaining('0644') });
    await chmod(join(folder, 'fleet.key'), 0o600);
    expect(findings(await doctor())['fleet key']).toMatchObject({ status: 'ok' });
  });

  it('a data directory that is a file, or that does not exist yet', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    expect(findings(await doctor({}, '--data-dir', file))['data directory']).toMatchObject({ status: 'fail' });
    expect(findings(await doctor({}, '--data-dir', join(folder, 'a/b')))['data directory']).toMatchObject({ status: 'warn' });
  });

  it('a full disk is told as one, and nothing is left on it', async (context) => {
    const mounted = process.platform === 'linux' && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]).status === 0;
    if (!mounted) return context.skip();
    try {
      await writeFile(join(folder, 'ballast'), Buffer.alloc(65_536)).catch(() => undefined);
      const found = findings(await doctor());
      expect(found['data directory']).toMatchObject({
        status: 'fail',
        detail: expect.stringContaining('ENOSPC'),
        advice: expect.stringMatching(/^The disk is full: free some space/),
      });
      expect(await readdir(folder)).toEqual(['ballast']);
    } finally {
      spawnSync('umount', ['-l', folder]);
    }
  });

  it('a clock of 1970 fails', async () => {
    expect(findings(await doctor({ now: () => 1000 })).clock).toMatchObject({ status: 'fail', detail: expect.stringContaining('1970') });
  });

  it('a port that another program has', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const ran = await doctor({}, '--port', String(port));
    server.close();
    expect(findings(ran).node).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining(`another program listens on port ${port}`),
    });
  });

  it('a process that holds the data directory without listening', async () => {
    await writeFile(join(folder, 'holder.json'), JSON.stringify({ pid: process.pid, started_at: '' }));
    expect(findings(await doctor()).node).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining(`process ${process.pid} holds`),
    });
  });

  it('settings that are wrong, or half set', async () => {
    const wrong = await doctor({ env: { BOOTPLANE_SITE: 'a b' } });
    expect(wrong.code).toBe(1);
    expect(findings(wrong).settings).toMatchObject({ status: 'fail', detail: expect.stringContaining('BOOTPLANE_SITE') });
    expect(findings(await doctor({ env: { BOOTPLANE_JWKS_URL: 'https://keys.example' } })).settings).toMatchObject({ status: 'fail' });
  });

  it('a cloud that can not be reached fails, and gets no credential', async () => {
    const ran = await doctor({ env: { BOOTPLANE_CLOUD_URL: 'http://127.0.0.1:1' } });
    expect(ran.code).toBe(1);
    expect(findings(ran).cloud).toMatchObject({ status: 'fail', detail: expect.stringContaining('http://127.0.0.1:1 is not reached') });
  });
});

describe('with a node', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  const leader = (more: object = {}) => ({
    leader_url: site.url,
    node_id: 'node-1',
    epoch: 3,
    expires_at: '2026-01-01T00:00:00Z',
    expires_in_ms: 5000,
    provisional: false,
    ...more,
  });

  it('all is well', async () => {
    site.own.set('GET /healthz', { status: 'ok' });
    site.own.set('GET /v1/leader', leader());
    const file = {
      node_id: 'node-1',
      fleet: 'default',
      site: 'default',
      role: 'leader',
      epoch: 3,
      provisional: false,
      ttl_seconds: 15,
      services: [],
      source: 'self',
      updated_at: '2026-01-01T00:00:00Z',
    };
    await writeFile(join(site.dir, 'cluster.json'), JSON.stringify(file));
    const ran = await site.run(['doctor', '--json']);
    expect(Object.values(findings(ran)).filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(ran.code).toBe(0);
    expect(findings(ran)).toMatchObject({
      'cluster.json': { detail: expect.stringContaining('leader of site default, epoch 3') },
      leader: { detail: `${site.url}, epoch 3, answers` },
    });
  });

  it('a degraded node, a damaged cluster.json and a leader that does not answer', async () => {
    site.own.set('GET /healthz', { status: 'degraded', waiting_for: ['broker: disk full'] });
    site.own.set('GET /v1/leader', leader({ leader_url: 'http://127.0.0.1:1' }));
    await writeFile(join(site.dir, 'cluster.json'), '{');
    const ran = await site.run(['doctor', '--json']);
    expect(ran.code).toBe(1);
    expect(findings(ran)).toMatchObject({
      health: { status: 'warn', detail: expect.stringContaining('waits for broker: disk full') },
      'cluster.json': { status: 'fail' },
      leader: { status: 'fail' },
    });
  });

  it('nobody leads', async () => {
    await register(site.harness, 'node-1');
    site.own.set('GET /healthz', { status: 'ok' });
    expect(findings(await site.run(['doctor', '--json'])).leader).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('bootplane why'),
    });
  });

  it('of a site that is not the default one', async () => {
    site.own.set('GET /healthz', { status: 'ok', site: 'oslo' });
    site.own.set('GET /v1/leader', ({ url }: Request) =>
      new URL(url).searchParams.get('site') === 'oslo' ? Response.json(leader()) : Response.json({}, { status: 404 }),
    );
    expect(findings(await site.run(['doctor', '--json'])).leader).toMatchObject({ status: 'ok' });
    await register(site.harness, 'node-1');
    expect((await site.run(['nodes'])).out).toContain('\nleader: node-1 at ');
  });

  it.each([{ confirmed: true }, { provisional: true }])('that has a cloud (%o), which this command was not told', async (more) => {
    site.own.set('GET /healthz', { status: 'ok', ...more });
    site.own.set('GET /v1/leader', leader(more));
    expect(findings(await site.run(['doctor', '--json'])).cloud).toMatchObject({
      status: 'warn',
      advice: expect.stringContaining('--cloud-url'),
    });
  });

  it('a clock that differs from that of the cloud', async () => {
    site.own.set('GET /healthz', { status: 'ok' });
    const ran = await site.run(['doctor', '--json', '--cloud-url', site.url], { now: () => Date.now() + 120_000 });
    expect(findings(ran).cloud).toMatchObject({ status: 'warn', detail: expect.stringMatching(/differ by 1[12]\d s/) });
  });

  it('a cloud that is named with https and speaks plain http', async () => {
    site.own.set('GET /healthz', { status: 'ok' });
    const https = site.url.replace('http:', 'https:');
    const ran = await site.run(['doctor', '--json', '--cloud-url', https]);
    expect(findings(ran).cloud).toMatchObject({
      status: 'fail',
      detail: `${https} is not reached: what listens there does not speak https`,
    });
  });

  it('the key of another fleet', async () => {
    const ran = await site.run(['doctor', '--json'], { env: { BOOTPLANE_API_KEY: 'the key of quite another fleet' } });
    expect(ran.code).toBe(1);
    expect(findings(ran).health).toMatchObject({ status: 'fail' });
  });
});

it.each([
  ['20.11.0', 'fail'],
  ['22.11.9', 'fail'],
  ['22.12.0', 'ok'],
  ['24.0.0', 'ok'],
])('Node.js %s: %s', (version, status) => {
  expect(checkNodeVersion(version).status).toBe(status);
});
