import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Problem } from '../../shared/contract/problem.ts';
import { DatabaseError } from '../../shared/ports/database.ts';
import { call, FLEET_KEY, type Harness, heartbeat, type Reply, register, registration, type Start } from './harness.ts';

function expectProblem(reply: Reply, status: number, code: string): void {
  expect([reply.status, reply.body.code], JSON.stringify(reply.body)).toEqual([status, code]);
  expect(reply.headers.get('content-type')).toBe('application/problem+json');
  expect(Problem.safeParse(reply.body).success).toBe(true);
}

export function errorCases(start: Start): void {
  describe('bad requests', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      await register(harness, 'a');
    });
    afterEach(() => harness.close());
    const post = (body: unknown, headers = {}) => call(harness, 'POST /v1/nodes/register', { body, headers });

    it.each(['{', '', '{"node_id":"a",}', '\u0000', 'undefined'])('that are not JSON (%j) say so', async (body) => {
      const reply = await post(body, { 'content-type': 'application/json' });
      expectProblem(reply, 400, 'malformed_json');
    });

    it('in another form than JSON are refused by their content type', async () => {
      expectProblem(await post('node_id=a', { 'content-type': 'application/x-www-form-urlencoded' }), 415, 'unsupported_media_type');
      expectProblem(await post('{}', { 'content-type': 'application/jsonp' }), 415, 'unsupported_media_type');
      expect((await post(registration('a'), { 'content-type': 'Application/JSON; charset=utf-8' })).status).toBe(200);
    });

    it.each(['[]', 'null', '1', '"a"'])('whose body is %s have no fields to check', async (body) => {
      const reply = await post(body, { 'content-type': 'application/json' });
      expectProblem(reply, 400, 'invalid_body');
      expect(reply.body.errors[0].pointer).toBe('');
    });

    it('point at every wrong field', async () => {
      const reply = await post(registration('-bad', { ip: 'nowhere', capabilities: ['ok', 7], versions: { 'a/b~c': 1 }, site: null }));
      expectProblem(reply, 400, 'invalid_body');
      expect(reply.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
        '/node_id',
        '/site',
        '/capabilities/1',
        '/ip',
        '/versions/a~1b~0c',
      ]);
      expect(reply.body.errors[0].detail).toContain('must start with a letter or digit');
    });

    it('are refused above 64 KiB, and a message just below is read', async () => {
      const padded = (length: number) => {
        const text = JSON.stringify(registration('a', { from_tomorrow: '' }));
        return text.replace('"from_tomorrow":""', `"from_tomorrow":"${'x'.repeat(length - text.length)}"`);
      };
      const json = { 'content-type': 'application/json' };
      expectProblem(await post(padded(65_537), json), 413, 'too_large');
      expect((await post(padded(65_536), json)).status).toBe(200);
    });

    it('are counted while they come when they say no length', async () => {
      const chunk = new TextEncoder().encode('x'.repeat(16_384));
      let sent = 0;
      const body = new ReadableStream({
        pull: (controller) => {
          sent += 1;
          if (sent > 64) controller.close();
          else controller.enqueue(chunk);
        },
      });
      const init = {
        method: 'POST',
        body,
        duplex: 'half',
        headers: { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json' },
      };
      const response = await harness.supervisor.fetch(new Request('http://bootplane.test/v1/nodes/register', init));
      expect([response.status, ((await response.json()) as Problem).code]).toEqual([413, 'too_large']);
      expect(sent).toBeLessThan(64);
    });

    it('a chunked body of the right size is read', async () => {
      const bytes = new TextEncoder().encode(JSON.stringify(registration('chunked', { host: 'höst' })));
      const body = new ReadableStream({
        start: (controller) => {
          for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
          controller.close();
        },
      });
      const init = {
        method: 'POST',
        body,
        duplex: 'half',
        headers: { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json' },
      };
      expect((await harness.fetch('/v1/nodes/register', init)).status).toBe(200);
      expect((await call(harness, 'GET /v1/nodes/chunked')).body.host).toBe('höst');
    });

    it.each(['limit=0', 'limit=501', 'limit=x', 'limit=1.5', 'site=a%20b', 'after=..'])(
      'with the parameter %s point at it',
      async (query) => {
        const reply = await call(harness, `GET /v1/nodes?${query}`);
        expectProblem(reply, 400, 'invalid_parameter');
        expect(reply.body.errors[0].pointer).toBe(`/${query.split('=')[0]}`);
      },
    );

    it('with a parameter that nobody knows are taken, except where they publish', async () => {
      expect((await call(harness, 'GET /v1/nodes?limt=1')).status).toBe(200);
      const headers = { 'if-match': '"0"' };
      const reply = await call(harness, 'PUT /v1/cluster/plan?dryrun=true', { body: { services: [] }, headers });
      expectProblem(reply, 400, 'invalid_parameter');
      expect((await call(harness, 'GET /v1/cluster/plan')).status).toBe(404);
    });

    it('with a bad name in the path point at it', async () => {
      const reply = await call(harness, 'GET /v1/nodes/a%20b');
      expectProblem(reply, 400, 'invalid_parameter');
      expect(reply.body.errors[0].pointer).toBe('/node_id');
    });

    it('to unknown routes and with wrong methods say what there is', async () => {
      expectProblem(await call(harness, 'GET /v2/nodes'), 404, 'not_found');
      expectProblem(await call(harness, 'GET /v1/nodes/a/b'), 404, 'not_found');
      const reply = await call(harness, 'DELETE /v1/nodes');
      expectProblem(reply, 405, 'method_not_allowed');
      expect(reply.headers.get('allow')).toBe('GET, HEAD');
      expect((await call(harness, 'PUT /v1/nodes/heartbeat')).headers.get('allow')).toContain('POST');
    });

    it('change nothing', async () => {
      await post(registration('a', { host: 'changed', ip: 'nowhere' }));
      await post('{"node_id":"a"', { 'content-type': 'application/json' });
      expect((await call(harness, 'GET /v1/nodes')).body.nodes).toMatchObject([{ node_id: 'a', host: 'a.test' }]);
    });

    it('HEAD answers as GET, without a body', async () => {
      const reply = await call(harness, 'HEAD /v1/nodes');
      expect([reply.status, reply.headers.get('content-type')]).toEqual([200, 'application/json']);
    });

    it('texts with NUL, emoji and quotes come back as they were', async () => {
      const versions = { "o'brien; drop table nodes; --": '\u0000 "x" 🛰️' };
      await register(harness, 'odd', { versions });
      expect((await call(harness, 'GET /v1/nodes/odd')).body.versions).toEqual(versions);
    });
  });

  databaseErrorCases(start);
}

function databaseErrorCases(start: Start): void {
  describe('a database that fails', () => {
    it.each([
      ['busy', 503, 'unavailable'],
      ['full', 507, 'storage_full'],
      ['corrupt', 500, 'storage_corrupt'],
      ['constraint', 500, 'internal'],
      ['failed', 500, 'internal'],
    ] as const)('with %s gives %d %s and leaks nothing', async (kind, status, code) => {
      const failing = () => Promise.reject(new DatabaseError(kind, 'secret: near "nodes" at /var/lib/db'));
      const harness = await start({ wrap: (database) => ({ now: database.now, batch: failing, close: () => database.close() }) });
      const reply = await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') });
      expectProblem(reply, status, code);
      expect(JSON.stringify(reply.body)).not.toMatch(/secret|\/var/);
      await harness.close();
    });

    it('with an error that nobody expected gives 500 internal and leaks nothing', async () => {
      const failing = () => Promise.reject(new RangeError('secret of the inside'));
      const harness = await start({ wrap: (database) => ({ now: database.now, batch: failing, close: () => database.close() }) });
      const reply = await call(harness, 'GET /v1/nodes');
      expectProblem(reply, 500, 'internal');
      expect(JSON.stringify(reply.body)).not.toContain('secret');
      await harness.close();
    });
  });
}
