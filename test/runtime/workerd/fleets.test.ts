import { beforeEach, describe, expect, it } from 'vitest';
import type { Bindings } from '../../../functions/compose.ts';
import worker from '../../../functions/worker.ts';
import { ADMIN_KEY, SECRET } from '../fleets.harness.ts';
import { FLEET_KEY, registration } from '../harness.ts';
import { bindings, freshD1 } from './harness.ts';

const setup = (more: Record<string, unknown> = {}): Bindings => ({
  DB: bindings.DB,
  BOOTPLANE_API_KEY: FLEET_KEY,
  BOOTPLANE_ADMIN_KEY: ADMIN_KEY,
  BOOTPLANE_SECRET: SECRET,
  ...more,
});

async function send(given: Bindings, credential: string, request: string, body?: unknown, more: Record<string, string> = {}) {
  const [method = 'GET', path = '/'] = request.split(' ');
  const headers = { authorization: `Bearer ${credential}`, 'content-type': 'application/json', ...more };
  const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
  const response = await worker.fetch(new Request(`https://worker.test${path}`, init) as Parameters<typeof worker.fetch>[0], given);
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

describe('the fleets of a Worker', () => {
  beforeEach(async () => {
    await freshD1();
  });

  it('are made by the admin key of its secrets, beside the one of its settings', async () => {
    const given = setup();
    const { status, body } = await send(given, ADMIN_KEY, 'POST /v1/fleets', { fleet: 'shops' });
    expect(status).toBe(201);
    expect((await send(given, body.key, 'POST /v1/nodes/register', registration('a'))).status).toBe(200);
    expect((await send(given, body.key, 'GET /v1/nodes')).body.nodes).toMatchObject([{ node_id: 'a' }]);
    expect((await send(given, FLEET_KEY, 'GET /v1/nodes')).body.nodes).toEqual([]);
    // Another isolate knows the fleet too, and so does one whose secret was replaced.
    expect((await send(setup(), body.key, 'GET /v1/nodes')).status).toBe(200);
    const replaced = setup({ BOOTPLANE_SECRET: `another ${SECRET}`, BOOTPLANE_SECRET_PREVIOUS: SECRET });
    expect((await send(replaced, body.key, 'GET /v1/nodes')).status).toBe(200);
    expect((await send(setup({ BOOTPLANE_SECRET: `another ${SECRET}` }), body.key, 'GET /v1/nodes')).status).toBe(200);
  });

  it('need no fleet in the settings', async () => {
    const given = setup({ BOOTPLANE_API_KEY: undefined });
    expect((await send(given, ADMIN_KEY, 'POST /v1/fleets', { fleet: 'default' })).status).toBe(201);
    expect((await send(given, FLEET_KEY, 'GET /v1/nodes')).status).toBe(401);
  });

  it('are none without the new settings: the routes are not there, and the fleet of the settings works alone', async () => {
    const given = setup({ BOOTPLANE_ADMIN_KEY: undefined, BOOTPLANE_SECRET: undefined });
    expect((await send(given, FLEET_KEY, 'GET /v1/fleets')).status).toBe(404);
    expect((await send(given, ADMIN_KEY, 'GET /v1/nodes')).status).toBe(401);
    expect((await send(given, FLEET_KEY, 'GET /v1/nodes')).status).toBe(200);
  });

  it.each([
    ['an admin key and no secret', { BOOTPLANE_SECRET: undefined }, /BOOTPLANE_SECRET is not/],
    ['a short admin key', { BOOTPLANE_ADMIN_KEY: 'short' }, /BOOTPLANE_ADMIN_KEY is too short/],
    ['a short secret', { BOOTPLANE_SECRET: 'short' }, /BOOTPLANE_SECRET is too short/],
    [
      'the key of another fleet',
      { BOOTPLANE_API_KEY: `bpk~shops~${'x'.repeat(43)}` },
      /BOOTPLANE_API_KEY has the form of a credential of another/,
    ],
  ])('with %s it says what to do', async (_name, more, detail) => {
    const reply = await send(setup(more), ADMIN_KEY, 'GET /v1/fleets');
    expect(reply).toMatchObject({ status: 503, body: { code: 'unavailable', detail: expect.stringMatching(detail) } });
    expect(reply.body.detail).not.toContain('short"');
  });
});
