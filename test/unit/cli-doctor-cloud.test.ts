import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../runtime-node/commands/doctor-finding.ts';
import { call, register } from '../runtime/harness.ts';
import { type Ran, type RunOptions, run, type Site, startSite } from '../support/cli.ts';

function findings({ out }: Ran): Record<string, Finding> {
  const { checks }: { checks: Finding[] } = JSON.parse(out);
  for (const check of checks) if (check.status !== 'ok') expect(check.advice, check.name).toBeTruthy();
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}

describe('doctor --cloud', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());
  const doctor = async (options: RunOptions = {}, ...argv: string[]) => {
    const version = { version: () => '0.0.0-test' };
    const ran = await site.run(['doctor', '--json', '--cloud', site.url, ...argv], { ...version, ...options });
    return { code: ran.code, found: findings(ran) };
  };

  it('finds all well, and who leads the site', async () => {
    await register(site.harness, 'node-1', { site: 'shop' });
    await call(site.harness, 'POST /v1/leader/claim?site=shop', { body: { node_id: 'node-1', url: 'http://node-1.test:1' } });
    const { code, found } = await doctor({}, '--site', 'shop');
    expect(Object.values(found).filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(code).toBe(0);
    expect(found).toMatchObject({
      address: { detail: expect.stringContaining('plain http inside this machine') },
      reachable: { detail: expect.stringMatching(/answers in \d+ ms$/) },
      database: { detail: 'it answers and has every migration' },
      latency: { detail: expect.stringContaining('median of 5') },
      credential: { detail: 'it is accepted: fleet default, scope operator' },
      version: { detail: '0.0.0-test, as this program' },
      artifacts: { detail: 'it keeps artifacts' },
      'lease of site shop': { detail: expect.stringMatching(/^node-1 holds it at epoch 1 for 1\d s more, at http:\/\/node-1\.test:1$/) },
    });
    // Nothing of this machine was looked at.
    expect(Object.keys(found)).not.toContain('data directory');
  });

  it('tells of a site that nobody leads, of a version that differs and of another fleet', async () => {
    const { code, found } = await doctor({ version: () => '9.9.9' }, '--fleet', 'shops');
    expect(code).toBe(1);
    expect(found).toMatchObject({
      'lease of site default': { status: 'warn', detail: 'nobody holds it' },
      version: { status: 'warn', detail: '0.0.0-test; this program is 9.9.9' },
      credential: {
        status: 'fail',
        detail: expect.stringContaining('set up for fleet shops'),
        advice: expect.stringContaining('--fleet default'),
      },
    });
  });

  it('names the migrations that are missing', async () => {
    await site.harness.database.batch([{ sql: "delete from d1_migrations where name = '0003_lan.sql'", params: [] }]);
    const { code, found } = await doctor();
    expect(code).toBe(1);
    expect(found.database).toMatchObject({
      status: 'fail',
      detail: 'the database lacks migrations: 0003_lan.sql',
      advice: expect.stringContaining('wrangler d1 migrations apply DB'),
    });
    expect(found.latency).toBeUndefined();
  });

  it('tells of a credential that is refused, and of none', async () => {
    const wrong = await doctor({ env: { BOOTPLANE_API_KEY: 'the key of quite another fleet' } });
    expect(wrong.code).toBe(1);
    expect(wrong.found.credential).toMatchObject({ status: 'fail', detail: expect.stringContaining('refused (401)') });
    const none = await run(['doctor', '--json', '--cloud', site.url, '--data-dir', '/nowhere']);
    expect(none.code).toBe(0);
    expect(findings(none).credential).toMatchObject({ status: 'warn', detail: 'there is none to try' });
    expect(site.asked.filter((path) => path.includes('/v1/'))).toEqual([]);
  });

  it('says what a node may do with its own credential', async () => {
    const env = { BOOTPLANE_API_KEY: await site.harness.keys.nodeCredential('node-1') };
    expect((await doctor({ env })).found.credential?.detail).toBe('it is accepted: fleet default, scope node');
  });

  it.each([
    ['ahead of', 120_000],
    ['behind', -120_000],
  ])('tells of a clock that is %s that of the cloud', async (words, by_ms) => {
    const { found } = await doctor({ now: () => Date.now() + by_ms, builtAfter: 0 });
    expect(found['clock of the cloud']).toMatchObject({
      status: 'warn',
      detail: expect.stringMatching(new RegExp(`^this machine is 1[12]\\d s ${words} it$`)),
    });
  });

  it('passes on what a Worker that is not set up says', async () => {
    const detail = 'BOOTPLANE_API_KEY is missing: run "wrangler secret put BOOTPLANE_API_KEY"';
    const problem = { type: 'urn:bootplane:problem:unavailable', title: 'x', status: 503, detail, code: 'unavailable' };
    site.own.set('GET /healthz', () => Response.json(problem, { status: 503 }));
    const { code, found } = await doctor();
    expect(code).toBe(1);
    expect(found.reachable).toMatchObject({ status: 'fail', detail: `it answers 503: ${detail}` });
    expect(found.credential).toBeUndefined();
  });

  it.each([
    ['a page of somebody else', () => new Response('<html>'), 'is no bootplane'],
    [
      'an address that leads elsewhere',
      () => new Response(null, { status: 308, headers: { location: 'https://else.test/' } }),
      'https://else.test/',
    ],
  ])('sends no credential to %s', async (_name, answer, words) => {
    const sent: (string | null)[] = [];
    site.own.set('GET /healthz', (request: Request) => {
      sent.push(request.headers.get('authorization'));
      return answer();
    });
    const { code, found } = await doctor();
    expect(code).toBe(1);
    expect(found.reachable).toMatchObject({ status: 'fail', detail: expect.stringContaining(words) });
    expect(sent).toEqual([null]);
  });

  it('says what is wrong with an address, and who does not answer', async () => {
    const at = async (url: string) => findings(await site.run(['doctor', '--json', '--cloud', url]));
    expect((await at('control.example')).address).toMatchObject({ status: 'fail', detail: expect.stringContaining('must be a URL') });
    expect((await at(`${site.url}/v1`)).address).toMatchObject({ status: 'fail', detail: expect.stringContaining('without a path') });
    expect((await at('http://127.0.0.1:1')).reachable).toMatchObject({ status: 'fail', detail: expect.stringContaining('is not reached') });
    // Nobody is there, and the scheme alone is enough to refuse.
    expect((await at('http://control.invalid')).address).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('No credential was sent'),
    });
  });
});
