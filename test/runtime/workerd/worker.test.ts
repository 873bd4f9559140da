import { createExecutionContext, createScheduledController, waitOnExecutionContext } from 'cloudflare:test';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Bindings } from '../../../functions/compose.ts';
import worker from '../../../functions/worker.ts';
import { sha256Hex } from '../../../shared/contract/canonical.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, makeKey, sign } from '../../support/token-issuer.ts';
import { FLEET_KEY, heartbeat, registration } from '../harness.ts';
import { bindings, freshD1 } from './harness.ts';

const JWT = { BOOTPLANE_JWT_ISSUER: ISSUER, BOOTPLANE_JWT_AUDIENCE: AUDIENCE };
const setup = (more: Record<string, unknown> = {}): Bindings => ({ DB: bindings.DB, BOOTPLANE_API_KEY: FLEET_KEY, ...more });

async function send(given: Bindings, path: string, body?: unknown) {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const headers = { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json' };
  const request = new Request(`http://worker.test${path}`, { ...init, headers });
  const response = await worker.fetch(request as Parameters<typeof worker.fetch>[0], given);
  const text = await response.text();
  return { status: response.status, type: response.headers.get('content-type'), body: text === '' ? undefined : JSON.parse(text) };
}

describe('the Worker', () => {
  beforeEach(async () => {
    await freshD1();
  });

  it('serves the Supervisor over its bindings', async () => {
    const given = setup();
    expect(await send(given, '/v1/nodes/register', registration('a'))).toMatchObject({ status: 200, body: { registered: true } });
    expect(await send(given, '/v1/nodes/heartbeat', heartbeat('a'))).toMatchObject({ status: 204 });
    expect((await send(given, '/v1/nodes')).body.nodes).toMatchObject([{ node_id: 'a', liveness: 'online' }]);
  });

  it('takes the fleet and the TTL from its settings', async () => {
    const given = setup({ BOOTPLANE_FLEET: 'shops', BOOTPLANE_TTL_SECONDS: '60' });
    await send(given, '/v1/nodes/register', registration('a'));
    const claim = await send(given, '/v1/leader/claim', { node_id: 'a', url: 'http://a.test:1' });
    expect(claim.body.expires_in_ms).toBeGreaterThan(55_000);
    expect((await send(given, '/v1/state')).body.fleet).toBe('shops');
  });

  it('keeps house when it is scheduled', async () => {
    const given = setup();
    const context = createExecutionContext();
    const rows = JSON.stringify(Array.from({ length: 10_005 }, (_, index) => index + 1));
    await bindings.DB.prepare(
      `insert into events (fleet, seq, type, site, at, dedupe, data)
        select 'another', value, 'overlay.register', 'default', unixepoch() * 1000, value, '{}' from json_each(?)`,
    )
      .bind(rows)
      .run();
    await worker.scheduled(createScheduledController({ scheduledTime: new Date('2026-01-01T03:00:00Z') }), given);
    await waitOnExecutionContext(context);
    const { results } = await bindings.DB.prepare('select min(seq) as first, count(*) as kept from events').all();
    expect(results).toEqual([{ first: 6, kept: 10_000 }]);
  });

  it('tries a heartbeat again when D1 loses the connection, and leaves a claim to who made it', async () => {
    let lost = 0;
    const { DB } = bindings;
    const batch = async <T>(statements: D1PreparedStatement[]) => {
      const results = await DB.batch<T>(statements);
      lost -= 1;
      // It took effect, and nobody was told.
      if (lost >= 0) throw new Error('D1_ERROR: Network connection lost.');
      return results;
    };
    const given = setup({ DB: Object.assign(Object.create(DB), { prepare: DB.prepare.bind(DB), batch }) });
    await send(given, '/v1/nodes/register', registration('a'));
    lost = 1;
    expect(await send(given, '/v1/nodes/heartbeat', heartbeat('a', { role: 'proxy' }))).toMatchObject({ status: 204 });
    lost = 1;
    expect(await send(given, '/v1/nodes')).toMatchObject({ status: 200, body: { nodes: [{ role: 'proxy' }] } });
    lost = 1;
    const claim = { node_id: 'a', url: 'http://a.test:1' };
    expect(await send(given, '/v1/leader/claim', claim)).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(lost).toBe(0);
    // Who claims again without an epoch, as after a restart, gets the next one.
    expect(await send(given, '/v1/leader/claim', claim)).toMatchObject({ status: 200, body: { granted: true, epoch: 2 } });
  });

  it('says what it is to whoever opens its address, and nothing of its fleets', async () => {
    const open = (method: string) =>
      worker.fetch(
        new Request('https://worker.test/', { method }) as Parameters<typeof worker.fetch>[0],
        setup({ BOOTPLANE_FLEET: 'shops' }),
      );
    const answer = await open('GET');
    const text = await answer.text();
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
    expect(text).toContain('bootplane doctor --cloud https://worker.test\n');
    expect(text).not.toContain('shops');
    const head = await open('HEAD');
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect((await open('POST')).status).toBe(404);
  });

  it('keeps artifacts where it has a bucket, and says so where it has none', async () => {
    const headers = { authorization: `Bearer ${FLEET_KEY}` };
    const sha256 = await sha256Hex('an artifact');
    const ask = (given: Bindings, method: string, body?: string) => {
      const init = { method, headers, ...(body === undefined ? {} : { body }) };
      return worker.fetch(new Request(`http://worker.test/v1/artifacts/${sha256}`, init) as Parameters<typeof worker.fetch>[0], given);
    };
    const kept = setup({ ARTIFACTS: bindings.ARTIFACTS });
    const refused = await ask(kept, 'PUT', 'other bytes');
    expect([refused.status, await refused.json()]).toMatchObject([422, { code: 'artifact_mismatch' }]);
    expect((await ask(kept, 'PUT', 'an artifact')).status).toBe(201);
    const read = await ask(kept, 'GET');
    expect([read.status, await read.text()]).toEqual([200, 'an artifact']);
    const none = await ask(setup(), 'GET');
    expect([none.status, await none.json()]).toMatchObject([501, { code: 'no_artifact_store' }]);
    await bindings.ARTIFACTS.delete(`default/${sha256}`);
  });

  it('starts when what kept it from starting is over, in the same isolate', async () => {
    const given = setup({ BOOTPLANE_API_KEY: undefined }) as { BOOTPLANE_API_KEY?: string };
    expect((await send(given, '/healthz')).status).toBe(503);
    given.BOOTPLANE_API_KEY = FLEET_KEY;
    expect((await send(given, '/healthz')).status).toBe(200);
  });

  it('takes the JWTs of the issuer in its settings, over https', async () => {
    const key = await makeKey('worker', 'ES256');
    const jwt = { BOOTPLANE_JWKS: jwksOf(key), BOOTPLANE_JWT_ISSUER: ISSUER, BOOTPLANE_JWT_AUDIENCE: AUDIENCE };
    const token = await sign(key, claimsAt(Date.now(), { scope: 'viewer', sub: 'jane' }));
    const ask = async (origin: string, more: Record<string, unknown> = {}) => {
      const request = new Request(`${origin}/v1/nodes`, { headers: { authorization: `Bearer ${token}` } });
      return (await worker.fetch(request as Parameters<typeof worker.fetch>[0], setup({ ...jwt, ...more }))).status;
    };
    expect(await ask('https://worker.test')).toBe(200);
    expect(await ask('http://127.0.0.1:8787')).toBe(200);
    expect(await ask('http://worker.test')).toBe(403);
    expect(await ask('http://worker.test', { BOOTPLANE_INSECURE_HTTP: 'on' })).toBe(200);
    expect(await ask('https://worker.test', { BOOTPLANE_JWT_AUDIENCE: 'another' })).toBe(401);
  });

  it.each([
    ['3:00', false],
    ['3:50', true],
  ])('at %s it leaves nodes that are gone for later: %s', async (time, stays) => {
    const given = setup();
    await send(given, '/v1/nodes/register', registration('a'));
    await bindings.DB.prepare('update nodes set heard_at = 0').run();
    await worker.scheduled(createScheduledController({ scheduledTime: new Date(`2026-01-01T0${time}:00Z`) }), given);
    expect((await send(given, '/v1/nodes')).body.nodes).toHaveLength(stays ? 1 : 0);
  });

  it.each([
    ['without a fleet key', { BOOTPLANE_API_KEY: undefined }, /BOOTPLANE_API_KEY is missing: run "wrangler secret put/],
    ['with a fleet key that is too short', { BOOTPLANE_API_KEY: 'short' }, /at least 20 characters/],
    ['without a database', { DB: undefined }, /D1 binding DB is missing/],
    ['with a TTL that is none', { BOOTPLANE_TTL_SECONDS: 'soon' }, /BOOTPLANE_TTL_SECONDS is "soon"/],
    [
      'with a retention that is none',
      { BOOTPLANE_KEEP_LOST_DAYS: '0' },
      /BOOTPLANE_KEEP_LOST_DAYS is "0": use a whole number from 1 to 3650/,
    ],
    ['with too few events', { BOOTPLANE_KEEP_EVENTS: 5 }, /BOOTPLANE_KEEP_EVENTS is "5": use a whole number from 100 to 1000000/],
    ['with a fleet that is no name', { BOOTPLANE_FLEET: 'a b' }, /BOOTPLANE_FLEET is "a b"/],
    [
      'with keys of JWTs and no issuer',
      { BOOTPLANE_JWKS: '{}', BOOTPLANE_JWT_AUDIENCE: 'x' },
      /BOOTPLANE_JWKS is set without BOOTPLANE_JWT_ISSUER/,
    ],
    ['with keys that are none', { ...JWT, BOOTPLANE_JWKS: '{}' }, /keys in BOOTPLANE_JWKS are no JWKS/],
    ['with keys over plain http', { ...JWT, BOOTPLANE_JWKS_URL: 'http://id.example.com/k' }, /BOOTPLANE_JWKS_URL must start with https/],
    [
      'with a skew of a day',
      { ...JWT, BOOTPLANE_JWT_SKEW_SECONDS: '86400', BOOTPLANE_JWKS: '{}' },
      /BOOTPLANE_JWT_SKEW_SECONDS is "86400"/,
    ],
    ['with a setting that it does not know', { BOOTPLANE_TTL_SECOND: '15' }, /unknown setting BOOTPLANE_TTL_SECOND;/],
  ])('%s answers 503 and says what to do', async (_name, more, detail) => {
    const reply = await send(setup(more), '/v1/nodes');
    expect(reply).toMatchObject({ status: 503, type: 'application/problem+json', body: { code: 'unavailable' } });
    expect(reply.body.detail).toMatch(detail);
    expect(reply.body.detail).not.toContain(FLEET_KEY);
  });
});
