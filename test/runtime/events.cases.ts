import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, FLEET_KEY, type Harness, register, type Start } from './harness.ts';

const HASH = 'a'.repeat(64);
const KEY = 'b'.repeat(64);

export function bootstrapEvent(node_id: string, more: Record<string, unknown> = {}) {
  return { node_id, component: 'storage', action: 'reconcile', status: 'applied', ...more };
}

export function eventCases(start: Start): void {
  reportCases(start);
  logCases(start);
  streamCases(start);
}

function reportCases(start: Start): void {
  describe('bootstrap events and status', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      for (const id of ['a', 'b']) await register(harness, id);
    });
    afterEach(() => harness.close());
    const report = (body: unknown, headers = {}) => call(harness, 'POST /v1/bootstrap/events', { body, headers });
    const status = async (query: string) => (await call(harness, `GET /v1/bootstrap/status${query}`)).body;
    const reports = async () =>
      (await call(harness, 'GET /v1/events')).body.events.filter(({ type }: { type: string }) => type === 'overlay.bootstrap');

    it('takes the least that the specification asks for', async () => {
      expect(await report(bootstrapEvent('a'))).toMatchObject({ status: 202, body: '' });
      const { components, last_generation } = await status('?node_id=a');
      expect(last_generation).toBe(0);
      expect(components.storage).toMatchObject({ status: 'applied', action: 'reconcile', generation: 0, attempt: 0, incompatible: [] });
    });

    it('keeps the last whole apply of each component as its status', async () => {
      const incompatible = [{ subject: 'queue frames', detail: 'is classic' }];
      const full = { generation: 4, hash: HASH, idempotency_key: KEY, attempt: 2, duration_ms: 12.5 };
      await report([
        bootstrapEvent('a', { action: 'ensure-bucket', ...full }),
        bootstrapEvent('a', full),
        bootstrapEvent('a', { component: 'broker', status: 'failed', message: 'refused', incompatible, ...full, generation: 3 }),
      ]);
      const { components, ...rest } = await status('?node_id=a');
      expect(rest).toEqual({ node_id: 'a', last_generation: 4 });
      const { at, ...broker } = components.broker;
      expect(at).toMatch(/Z$/);
      expect(broker).toEqual({
        status: 'failed',
        action: 'reconcile',
        generation: 3,
        hash: HASH,
        attempt: 2,
        duration_ms: 12.5,
        message: 'refused',
        incompatible,
      });
      expect(components.storage.message).toBeUndefined();
      expect(await reports()).toHaveLength(3);
    });

    it('counts a repeated report once, also when it comes late', async () => {
      const first = bootstrapEvent('a', { idempotency_key: KEY, attempt: 1, generation: 1, hash: HASH });
      await report([first, first]);
      await report({ ...first, attempt: 2, status: 'unchanged' });
      await report(first);
      expect(await reports()).toHaveLength(2);
      expect((await status('?node_id=a')).components.storage).toMatchObject({ status: 'unchanged', attempt: 2 });
      expect(harness.emitted.filter(({ topic }) => topic === 'overlay.bootstrap')).toHaveLength(2);
    });

    it("does not let one node's key hide the report of another", async () => {
      await report(bootstrapEvent('a', { idempotency_key: KEY }));
      await report(bootstrapEvent('b', { idempotency_key: KEY }));
      expect(await reports()).toHaveLength(2);
    });

    it('refuses reports of nodes that are not registered, all or none', async () => {
      expect(await report([bootstrapEvent('a'), bootstrapEvent('zzz')])).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      expect(await reports()).toHaveLength(0);
    });

    it('refuses a report that follows a leader which was replaced', async () => {
      await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://a.test:1', epoch_seen: 4 } });
      expect((await report(bootstrapEvent('b'), { 'bootplane-epoch': '5/a' })).status).toBe(202);
      const reply = await report(bootstrapEvent('b'), { 'bootplane-epoch': '4/b' });
      expect(reply).toMatchObject({ status: 409, body: { code: 'stale_epoch', leader: { node_id: 'a', epoch: 5 } } });
      expect(await reports()).toHaveLength(1);
    });

    it('lists all nodes, paged, also those that have reported nothing', async () => {
      await report(bootstrapEvent('b', { generation: 2 }));
      expect(await status('?limit=1')).toEqual({ nodes: [{ node_id: 'a', components: {} }], next: 'a' });
      expect(await status('?limit=1&after=a')).toMatchObject({ nodes: [{ node_id: 'b', last_generation: 2 }] });
      expect(await call(harness, 'GET /v1/bootstrap/status?node_id=zzz')).toMatchObject({ status: 404 });
    });

    it('shows a node its own status and not that of others', async () => {
      const as = await harness.keys.nodeCredential('a');
      expect((await call(harness, 'GET /v1/bootstrap/status?node_id=a', { as })).status).toBe(200);
      expect((await call(harness, 'GET /v1/bootstrap/status?node_id=b', { as })).status).toBe(403);
      expect((await call(harness, 'GET /v1/bootstrap/status', { as })).status).toBe(403);
    });

    it('points at what is wrong inside an array of reports', async () => {
      const reply = await report([bootstrapEvent('a'), bootstrapEvent('a', { component: 'wheels' })]);
      expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body', errors: [{ pointer: '/1/component' }] } });
    });
  });
}

function logCases(start: Start): void {
  describe('the event log', () => {
    let harness: Harness;
    afterEach(() => harness.close());
    const cursors = async (query = '') => {
      const { body } = await call(harness, `GET /v1/events${query}`);
      return [body.events.map(({ cursor }: { cursor: string }) => cursor), body.next];
    };

    it('pages by cursor, oldest first', async () => {
      harness = await start();
      for (const id of ['a', 'b', 'c']) await register(harness, id);
      expect(await cursors('?limit=2')).toEqual([['1', '2'], '2']);
      expect(await cursors('?limit=2&after=2')).toEqual([['3'], undefined]);
      expect(await cursors('?after=3')).toEqual([[], undefined]);
      expect((await call(harness, 'GET /v1/events?after=x')).body).toMatchObject({
        code: 'invalid_parameter',
        errors: [{ pointer: '/after' }],
      });
    });

    it('gives the newest, oldest first, of all sites and of one', async () => {
      harness = await start();
      for (const id of ['a', 'b', 'c']) await register(harness, id, { site: id === 'b' ? 'shop-2' : 'shop-1' });
      expect(await cursors('?last=2')).toEqual([['2', '3'], undefined]);
      expect(await cursors('?last=2&site=shop-1')).toEqual([['1', '3'], undefined]);
      expect(await cursors('?last=500&site=shop-2')).toEqual([['2'], undefined]);
      for (const query of ['last=0', 'last=501', 'last=2&after=1']) {
        expect((await call(harness, `GET /v1/events?${query}`)).body).toMatchObject({
          code: 'invalid_parameter',
          errors: [{ pointer: '/last' }],
        });
      }
    });

    it('shows a site its own events and those of the documents', async () => {
      harness = await start();
      await register(harness, 'a', { site: 'shop-1' });
      await register(harness, 'b', { site: 'shop-2' });
      await harness.database.batch([
        { sql: `insert into events values ('default', 3, 'overlay.plan', 'default', null, 0, 'plan/1', '{"generation":1}')`, params: [] },
        { sql: `insert into events values ('another', 4, 'overlay.plan', 'default', null, 0, 'plan/1', '{}')`, params: [] },
      ]);
      expect((await cursors('?site=shop-2'))[0]).toEqual(['2', '3']);
    });

    it('keeps the newest events when it is swept, and the cursor goes on', async () => {
      harness = await start({ retention: { events: 2 } });
      for (const id of ['a', 'b', 'c']) await register(harness, id);
      await harness.supervisor.sweep();
      expect((await cursors())[0]).toEqual(['2', '3']);
      await register(harness, 'd');
      expect((await cursors())[0]).toEqual(['2', '3', '4']);
    });
  });
}

/** Reads a stream until `enough` is true of its text, then leaves. */
async function readStream(
  harness: Harness,
  path: string,
  headers: Record<string, string>,
  enough: (text: string) => boolean,
  during?: () => Promise<unknown>,
) {
  const leave = new AbortController();
  const all = { accept: 'text/event-stream', authorization: `Bearer ${FLEET_KEY}`, ...headers };
  const response = await harness.fetch(path, { headers: all, signal: leave.signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (let chunk = await reader?.read(); chunk !== undefined && !chunk.done; chunk = await reader?.read()) {
    if (text === '') await during?.();
    text += chunk.value;
    if (enough(text)) break;
  }
  await reader?.cancel().catch(() => undefined);
  leave.abort();
  return { text, type: response.headers.get('content-type') };
}

function streamCases(start: Start): void {
  describe('the event stream', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      await register(harness, 'a');
      await register(harness, 'b');
    });
    afterEach(() => harness.close());

    it('resumes behind Last-Event-ID, and before that behind ?after', async () => {
      const { text, type } = await readStream(harness, '/v1/events?after=0', { 'last-event-id': '1' }, (seen) => seen.includes('id: 2'));
      expect(type).toBe('text/event-stream');
      expect(text).toContain('id: 2\nevent: overlay.register\ndata: {"cursor":"2"');
      expect(text).not.toContain('id: 1\n');
    });

    it('starts with what comes next, and is woken by what this process writes', async () => {
      // The harness's clock does not move: nothing but the write itself can wake the stream.
      const { text } = await readStream(
        harness,
        '/v1/events',
        {},
        (seen) => seen.includes('id: 3'),
        () => register(harness, 'c'),
      );
      expect(text).not.toContain('id: 2\nevent:');
      expect(text).toContain('"node_id":"c"');
    });

    it('refuses last, which is of a page, and does not leave it out', async () => {
      const headers = { accept: 'text/event-stream' };
      expect(await call(harness, 'GET /v1/events?last=2', { headers })).toMatchObject({
        status: 400,
        body: { code: 'invalid_parameter', errors: [{ pointer: '/last' }] },
      });
    });

    it('answers a malformed Last-Event-ID with bad_request', async () => {
      const headers = { accept: 'text/event-stream', 'last-event-id': 'x' };
      expect(await call(harness, 'GET /v1/events', { headers })).toMatchObject({ status: 400, body: { code: 'bad_request' } });
    });
  });

  it('an event stream ends after its time, so that a Worker is not held', async () => {
    const harness = await start({ stream_seconds: 0 });
    const { text } = await readStream(harness, '/v1/events', {}, () => false);
    // With the cursor from which a reader that has seen nothing yet resumes.
    expect(text).toBe('id: 0\n: open\n\n');
    const resumed = await readStream(harness, '/v1/events', { 'last-event-id': '0' }, () => false);
    expect(resumed.text).toBe(': open\n\n');
    await harness.close();
  });
}
