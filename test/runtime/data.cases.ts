import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toBase64 } from '../../shared/contract/base64.ts';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { isDataPath } from '../../shared/contract/data.ts';
import { chunked } from '../conformance/artifact-store.suite.ts';
import { type DataPortsUnderTest, type DataWorld, NODE, startData } from './data.harness.ts';
import { FLEET_KEY } from './harness.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);

/** The data API over whatever stands behind the ports. */
export function dataCases(open: () => Promise<DataPortsUnderTest>): void {
  let world: DataWorld;
  beforeEach(async () => {
    world = await startData(open);
  });
  afterEach(() => world.close());

  // biome-ignore lint/suspicious/noExplicitAny: the cases assert on the shape of what came
  const told = async (answer: Response | Promise<Response>): Promise<{ status: number; body: any }> => {
    const response = await answer;
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  };
  const post = (path: string, body: unknown, init: RequestInit = {}) =>
    told(world.fetch(`POST ${path}`, { ...init, body: JSON.stringify(body) }));
  const put = (key: string, body: string, headers: Record<string, string> = {}) =>
    told(world.fetch(`PUT /v1/objects/captures/${key}`, { body, headers }));
  const publish = (message: object) => post('/v1/messages/cameras', { key: 'frame.new', message_id: crypto.randomUUID(), ...message });
  const pull = (request: object = {}) => post('/v1/queues/frames/messages', request);

  describe('objects', () => {
    it('come back as they were put, with what is known of them', async () => {
      const { status, body } = await put('raw/a%20b', 'picture', { 'content-type': 'image/png' });
      const sha256 = await sha256Hex(utf8('picture'));
      expect([status, body]).toMatchObject([200, { key: 'raw/a b', size: 7, content_type: 'image/png', sha256 }]);
      expect(body).toMatchObject({ version_id: expect.any(String), modified_at: expect.stringMatching(/Z$/) });
    });

    it.each(['plain', 'a/b/c', 'with space', 'ü/✓', '100%', 'a%2Fb', 'what?', 'no#1', 'line\nbreak', '\\', "it's", 'a+b', '~'])(
      'have the key %j, whatever that is in a path',
      async (key) => {
        const path = key.split('/').map(encodeURIComponent).join('/');
        expect((await put(path, key)).body).toMatchObject({ key });
        expect(await (await world.fetch(`GET /v1/objects/captures/${path}`)).text()).toBe(key);
        expect((await told(world.fetch('GET /v1/objects/captures'))).body.objects).toMatchObject([{ key }]);
        expect((await world.fetch(`DELETE /v1/objects/captures/${path}`)).status).toBe(204);
        expect((await told(world.fetch(`GET /v1/objects/captures/${path}`))).body).toMatchObject({ code: 'no_such_key', status: 404 });
      },
    );

    it('tell their size, hash, type and version in headers, also to a HEAD', async () => {
      await put('k', 'picture', { 'content-type': 'image/png' });
      const sha256 = await sha256Hex(utf8('picture'));
      for (const method of ['GET', 'HEAD']) {
        const answer = await world.fetch(`${method} /v1/objects/captures/k`);
        expect(Object.fromEntries(answer.headers)).toMatchObject({
          ...{ 'content-length': '7', 'content-type': 'image/png', etag: `"${sha256}"`, 'accept-ranges': 'bytes' },
          ...{ 'bootplane-sha256': sha256, 'bootplane-version': expect.any(String), 'bootplane-modified-at': expect.stringMatching(/Z$/) },
        });
        expect(await answer.text()).toBe(method === 'GET' ? 'picture' : '');
      }
    });

    it.each([
      ['bytes=0-0', 206, 'p', 'bytes 0-0/7'],
      ['bytes=3-', 206, 'ture', 'bytes 3-6/7'],
      ['bytes=-2', 206, 're', 'bytes 5-6/7'],
      ['bytes=5-500', 206, 're', 'bytes 5-6/7'],
      ['bytes=5-4', 200, 'picture', null],
      ['lines=0-1', 200, 'picture', null],
    ])('Range: %s is answered with %d', async (range, status, text, contentRange) => {
      await put('k', 'picture');
      const answer = await world.fetch('GET /v1/objects/captures/k', { headers: { range } });
      expect([answer.status, await answer.text(), answer.headers.get('content-range')]).toEqual([status, text, contentRange]);
    });

    it('have no byte beyond their end, and give the whole where If-Range means another one', async () => {
      await put('k', 'picture');
      const beyond = await world.fetch('GET /v1/objects/captures/k', { headers: { range: 'bytes=7-' } });
      expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */7']);
      const other = await world.fetch('GET /v1/objects/captures/k', { headers: { range: 'bytes=0-1', 'if-range': '"old"' } });
      expect([other.status, await other.text()]).toEqual([200, 'picture']);
    });

    it('are left as they are with If-None-Match: *', async () => {
      expect((await put('k', 'first', { 'if-none-match': '*' })).status).toBe(201);
      expect((await put('k', 'second', { 'if-none-match': '*' })).body).toMatchObject({ code: 'already_exists', status: 412 });
      expect(await (await world.fetch('GET /v1/objects/captures/k')).text()).toBe('first');
      expect((await put('k', 'third', { 'if-none-match': '"tag"' })).body).toMatchObject({ code: 'bad_request' });
    });

    it('are compared with the hash that comes along', async () => {
      const right = await sha256Hex(utf8('picture'));
      expect((await put('k', 'pictures', { 'bootplane-sha256': right })).body).toMatchObject({ code: 'checksum_mismatch', status: 422 });
      expect((await world.fetch('GET /v1/objects/captures/k')).status).toBe(404);
      expect((await put('k', 'picture', { 'bootplane-sha256': right })).status).toBe(200);
      expect((await put('k', 'picture', { 'bootplane-sha256': 'abc' })).body).toMatchObject({
        code: 'bad_request',
        detail: /Bootplane-Sha256/,
      });
    });

    it('come as a stream of unknown length', async () => {
      const bytes = crypto.getRandomValues(new Uint8Array(50_000));
      const init = { body: chunked(bytes), duplex: 'half' } as RequestInit;
      expect((await told(world.fetch('PUT /v1/objects/captures/k', init))).body).toMatchObject({
        size: 50_000,
        sha256: await sha256Hex(bytes),
      });
      expect(new Uint8Array(await (await world.fetch('GET /v1/objects/captures/k')).arrayBuffer())).toEqual(bytes);
    });

    it('are listed by prefix, in pages', async () => {
      for (const key of ['b/1', 'a/2', 'a/1', 'c']) await put(key, key);
      const keys = async (query: string) => {
        const { body } = await told(world.fetch(`GET /v1/objects/captures${query}`));
        return [body.objects.map(({ key }: { key: string }) => key), body.next];
      };
      expect(await keys('')).toEqual([['a/1', 'a/2', 'b/1', 'c'], undefined]);
      expect(await keys('?prefix=a%2F')).toEqual([['a/1', 'a/2'], undefined]);
      expect(await keys('?limit=2')).toEqual([['a/1', 'a/2'], 'a/2']);
      expect(await keys('?limit=2&after=a/2')).toEqual([['b/1', 'c'], undefined]);
      expect((await told(world.fetch('GET /v1/objects/captures?limit=0'))).body.errors[0].pointer).toBe('/limit');
      expect((await told(world.fetch('GET /v1/objects/captures?marker=a'))).body.errors[0].pointer).toBe('/marker');
    });

    it.each([
      ['GET /v1/objects/elsewhere/k', 404, 'no_such_bucket'],
      ['GET /v1/objects/elsewhere', 404, 'no_such_bucket'],
      ['PUT /v1/objects/elsewhere/k', 404, 'no_such_bucket'],
      ['DELETE /v1/objects/elsewhere/k', 404, 'no_such_bucket'],
      ['GET /v1/objects/Not_A_Name/k', 400, 'invalid_parameter'],
      ['PUT /v1/objects/captures/a//b', 400, 'invalid_parameter'],
      ['PUT /v1/objects/captures/a%2F..%2Fb', 400, 'invalid_parameter'],
      ['PUT /v1/objects/captures/a/', 400, 'invalid_parameter'],
      [`PUT /v1/objects/captures/${'k'.repeat(1025)}`, 400, 'invalid_parameter'],
      ['GET /v1/objects/captures/%FF', 400, 'bad_request'],
      ['GET /v1/objects/captures/100%', 400, 'bad_request'],
      ['GET /v1/objects/captures/', 404, 'not_found'],
      ['POST /v1/objects/captures/k', 405, 'method_not_allowed'],
      ['GET /v1/objects/bootplane-artifacts', 403, 'forbidden'],
      ['PUT /v1/objects/bootplane-artifacts/k', 403, 'forbidden'],
    ])('%.60s is refused with %d', async (request, status, code) => {
      const init = request.startsWith('PUT') ? { body: 'bytes' } : {};
      expect((await told(world.fetch(request, init))).body).toMatchObject({ status, code, detail: expect.stringMatching(/\w{3}/) });
    });
  });

  describe('messages', () => {
    it('are delivered field by field, and gone once they are settled', async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const message = { message_id: 'id-1', body: toBase64(bytes), content_type: 'text/plain', headers: { a: 'ü', b: 1.5, c: true } };
      expect(await publish(message)).toEqual({ status: 200, body: { routed: true } });
      const { body } = await pull();
      const expected = {
        ...message,
        exchange: 'cameras',
        queue: 'frames',
        key: 'frame.new',
        redelivered: false,
        token: expect.any(String),
      };
      expect(body).toEqual({ messages: [expected] });
      const [{ token }] = body.messages;
      expect((await pull()).body).toEqual({ messages: [] });
      expect((await post('/v1/queues/frames/messages/ack', { token })).status).toBe(204);
      expect((await post('/v1/queues/frames/messages/ack', { token })).body).toMatchObject({ code: 'unknown_delivery', status: 409 });
    });

    it('say whether somebody got them', async () => {
      expect((await publish({ key: 'other' })).body).toEqual({ routed: false });
    });

    it('come again, marked, when nobody settles them in time', async () => {
      await publish({ message_id: 'slow' });
      const first = (await pull({ visibility_ms: 3000 })).body.messages[0];
      expect((await pull()).body.messages).toEqual([]);
      await world.elapse(3001);
      expect((await pull({ wait_ms: 30_000 })).body.messages).toMatchObject([{ message_id: 'slow', redelivered: true }]);
      expect((await post('/v1/queues/frames/messages/ack', { token: first.token })).body).toMatchObject({ code: 'unknown_delivery' });
    });

    it('are put back or dropped', async () => {
      await publish({ message_id: 'm' });
      const reject = async (requeue: boolean) => {
        const { token } = (await pull()).body.messages[0];
        return (await post('/v1/queues/frames/messages/reject', { token, requeue })).status;
      };
      expect(await reject(true)).toBe(204);
      expect(await reject(false)).toBe(204);
      expect((await pull()).body.messages).toEqual([]);
    });

    it('are waited for', async () => {
      const waiting = pull({ wait_ms: 30_000, limit: 10 });
      await publish({ message_id: 'later' });
      await world.elapse(100);
      expect((await waiting).body.messages).toMatchObject([{ message_id: 'later' }]);
    });

    it('are left to others by one who went away while it waited', async () => {
      const ending = new AbortController();
      const gone = world.fetch('POST /v1/queues/frames/messages', { body: '{"wait_ms":30000}', signal: ending.signal });
      await untilWaiting();
      ending.abort();
      await expect(gone).rejects.toThrow();
      await untilWaiting(1);
      await publish({ message_id: 'm' });
      await world.elapse(100);
      expect((await pull()).body.messages).toMatchObject([{ message_id: 'm' }]);
    });

    it.each([
      ['/v1/messages/nowhere', { message_id: 'm' }, 404, 'no_such_exchange', undefined],
      ['/v1/messages/cameras', {}, 400, 'invalid_body', '/message_id'],
      ['/v1/messages/cameras', { message_id: 'm', body: '?' }, 400, 'invalid_body', '/body'],
      ['/v1/messages/cameras', { message_id: 'm', key: 'k'.repeat(256) }, 400, 'invalid_body', '/key'],
      ['/v1/messages/cameras', { message_id: 'm', headers: { a: [] } }, 400, 'invalid_body', '/headers/a'],
      ['/v1/messages/cameras', { message_id: 'm', routing_key: 'x' }, 400, 'invalid_body', '/routing_key'],
      ['/v1/messages/cameras', { message_id: 'm', body: toBase64(new Uint8Array(65_537)) }, 413, 'too_large', '/body'],
      ['/v1/messages/cameras', { message_id: 'm', body: 'A'.repeat(200_000) }, 413, 'too_large', undefined],
      ['/v1/messages/overlay', { message_id: 'm', key: 'overlay.leader' }, 403, 'forbidden', undefined],
      ['/v1/queues/nowhere/messages', {}, 404, 'no_such_queue', undefined],
      ['/v1/queues/frames/messages', { limit: 101 }, 400, 'invalid_body', '/limit'],
      ['/v1/queues/frames/messages', { wait_ms: 30_001 }, 400, 'invalid_body', '/wait_ms'],
      ['/v1/queues/frames/messages', { visiblity_ms: 1 }, 400, 'invalid_body', '/visiblity_ms'],
      ['/v1/queues/frames/messages/ack', { token: 'none' }, 409, 'unknown_delivery', undefined],
      ['/v1/queues/frames/messages/reject', { token: 'none' }, 400, 'invalid_body', '/requeue'],
      [`/v1/queues/${'q'.repeat(256)}/messages`, {}, 400, 'invalid_parameter', '/queue'],
    ])('POST %.40s with %.60j is refused with %d', async (path, body, status, code, pointer) => {
      const answer = await post(path, body);
      expect(answer.body).toMatchObject({ status, code });
      if (pointer !== undefined) expect(answer.body.errors).toMatchObject([{ pointer }]);
    });

    it('of the largest size go through', async () => {
      const body = toBase64(crypto.getRandomValues(new Uint8Array(65_536)));
      await publish({ message_id: 'large', body });
      expect((await pull()).body.messages).toMatchObject([{ message_id: 'large', body }]);
    });
  });

  describe('vectors', () => {
    const objects = [
      { id: 'north', vector: [0, 1, 0], meta: { camera: 'door' } },
      { id: 'east', vector: [1, 0, 0], meta: { camera: 'yard' } },
    ];
    beforeEach(async () => {
      expect((await post('/v1/vectors/Frame', { objects })).status).toBe(204);
    });

    it('are found by what is nearest, and by what they say', async () => {
      const search = async (query: object) => (await post('/v1/vectors/Frame/search', { vector: [0.1, 1, 0], ...query })).body.hits;
      expect(await search({})).toMatchObject([{ id: 'north', meta: { camera: 'door' } }, { id: 'east' }]);
      expect(await search({ limit: 1 })).toMatchObject([{ id: 'north', distance: expect.closeTo(0.005, 3) }]);
      expect(await search({ where: { camera: 'yard' } })).toMatchObject([{ id: 'east' }]);
    });

    it('are read, replaced, counted, listed and removed by id', async () => {
      const id = encodeURIComponent('a/b %');
      const init = { body: JSON.stringify({ vector: [0, 0, 1] }), headers: { 'content-type': 'application/json' } };
      expect((await world.fetch(`PUT /v1/vectors/Frame/${id}`, init)).status).toBe(204);
      expect(await told(world.fetch(`GET /v1/vectors/Frame/${id}`))).toEqual({
        status: 200,
        body: { id: 'a/b %', vector: [0, 0, 1], meta: {} },
      });
      expect((await told(world.fetch('POST /v1/vectors/Frame/count'))).body).toEqual({ count: 3 });
      const page = (await told(world.fetch('GET /v1/vectors/Frame?limit=2'))).body;
      expect([page.objects.map((one: { id: string }) => one.id), page.next]).toEqual([['a/b %', 'east'], 'east']);
      expect((await told(world.fetch('GET /v1/vectors/Frame?limit=2&after=east'))).body).toEqual({ objects: [objects[0]] });
      expect((await world.fetch(`DELETE /v1/vectors/Frame/${id}`)).status).toBe(204);
      expect((await told(world.fetch(`GET /v1/vectors/Frame/${id}`))).body).toMatchObject({ code: 'no_such_vector', status: 404 });
    });

    it.each([
      ['/v1/vectors/Nothing', { objects }, 404, 'no_such_class'],
      ['/v1/vectors/Nothing/search', { vector: [1] }, 404, 'no_such_class'],
      ['/v1/vectors/Nothing/count', undefined, 404, 'no_such_class'],
      ['/v1/vectors/frame', { objects }, 400, 'invalid_parameter'],
      ['/v1/vectors/Frame', { objects: [] }, 400, 'invalid_body'],
      ['/v1/vectors/Frame', { objects: [{ id: '..', vector: [1, 0, 0] }] }, 400, 'invalid_body'],
      ['/v1/vectors/Frame', { objects: [{ id: 'short', vector: [1, 0] }] }, 400, 'invalid_body'],
      ['/v1/vectors/Frame', { objects: [{ id: 'typed', vector: [1, 0, 0], meta: { camera: 7 } }] }, 400, 'invalid_body'],
      ['/v1/vectors/Frame', { objects: [{ id: 'x', vector: [1, '2', 0] }] }, 400, 'invalid_body'],
      ['/v1/vectors/Frame/search', { vector: [1, 0] }, 400, 'invalid_body'],
      ['/v1/vectors/Frame/search', { vector: [1, 0, 0], limit: 0 }, 400, 'invalid_body'],
    ])('POST %s with %.60j is refused with %d', async (path, body, status, code) => {
      expect((await post(path, body)).body).toMatchObject({ status, code });
      expect((await told(world.fetch('POST /v1/vectors/Frame/count'))).body).toEqual({ count: 2 });
    });
  });

  describe('access', () => {
    const EACH = [
      'GET /v1/objects/captures',
      'PUT /v1/objects/captures/k',
      'POST /v1/messages/cameras',
      'POST /v1/queues/frames/messages',
      'GET /v1/vectors/Frame',
    ];
    const refusals = (as: string) =>
      Promise.all(
        EACH.map(
          async (request) => (await told(world.fetch(request, { as, ...(request.startsWith('GET') ? {} : { body: '{}' }) }))).body.code,
        ),
      );

    it('is for services of this node and for the operator', async () => {
      expect((await world.fetch('GET /v1/objects/captures', { as: FLEET_KEY })).status).toBe(200);
      const { keys, foreign } = world.harness;
      expect(await refusals(await keys.nodeCredential(NODE))).toEqual(EACH.map(() => 'forbidden'));
      expect(await refusals(await keys.serviceToken('n2', 'api'))).toEqual(EACH.map(() => 'forbidden'));
      expect(await refusals(await foreign.serviceToken(NODE, 'api'))).toEqual(EACH.map(() => 'unauthenticated'));
      const other = (await keys.serviceToken(NODE, 'other')).split('~').with(3, 'api').join('~');
      expect(await refusals(other)).toEqual(EACH.map(() => 'unauthenticated'));
    });

    it('is for the machine of the node', async () => {
      world.here = false;
      expect(await refusals(world.token)).toEqual(EACH.map(() => 'forbidden'));
      expect((await told(world.fetch('GET /v1/objects/captures', { as: FLEET_KEY }))).body).toMatchObject({
        code: 'forbidden',
        detail: /on the machine of the node/,
      });
    });

    it.each(['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Proto', 'X-Real-IP', 'Via'])(
      'is for the machine of the node also where a proxy there passes calls on, as %s tells',
      async (name) => {
        const { status, body } = await told(world.fetch('GET /v1/objects/captures', { headers: { [name]: '203.0.113.7' } }));
        expect([status, body]).toMatchObject([403, { code: 'forbidden', detail: expect.stringContaining(name.toLowerCase()) }]);
        const elsewhere = await world.fetch('GET /v1/nodes', { as: FLEET_KEY, headers: { [name]: '203.0.113.7' } });
        expect(elsewhere.status).toBe(200);
      },
    );

    it('has the paths that nodes keep to themselves, and no other route has one', () => {
      const { routes } = world.harness.supervisor;
      expect(routes.filter(({ tag }) => tag === 'data').length).toBeGreaterThan(10);
      for (const { path, tag } of routes) expect([path, isDataPath(path)]).toEqual([path, tag === 'data']);
    });

    it('opens nothing else', async () => {
      const { routes } = world.harness.supervisor;
      const control = routes.filter(({ tag, scope }) => tag !== 'data' && scope !== 'open');
      expect(control.length).toBeGreaterThan(20);
      for (const { method, path } of control) {
        const init = method === 'get' ? {} : { body: '{}', headers: { 'content-type': 'application/json' } };
        const answer = await told(world.fetch(`${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, 'a')}`, init));
        expect([path, answer.status, answer.body.code]).toEqual([path, 403, 'forbidden']);
      }
      expect((await told(world.fetch('GET /healthz'))).body).toEqual({ status: 'ok' });
    });

    it('is described in OpenAPI', async () => {
      const { body } = await told(world.fetch('GET /v1/openapi.json', { as: FLEET_KEY }));
      expect(body.paths['/v1/objects/{bucket}/{key}'].put).toMatchObject({ 'x-scope': 'service', tags: ['data'] });
      expect(Object.keys(body.paths).filter((path) => /^\/v1\/(objects|messages|queues|vectors)/.test(path))).toHaveLength(10);
    });
  });

  /** Until as many pulls wait as were asked for; a pull that ended does not. */
  async function untilWaiting(rounds = 3): Promise<void> {
    for (let round = 0; round < rounds * 100; round += 1) await new Promise((resolve) => setImmediate(resolve));
    await world.elapse(100);
  }
}
