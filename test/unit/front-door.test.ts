import { describe, expect, it, vi } from 'vitest';
import { createFrontDoor } from '../../runtime-node/front-door.ts';

const LEADER = 'https://leader.example';

function doorTo(followed: string | undefined, answer: (request: Request) => Response | Promise<Response> = () => new Response('leader')) {
  const seen: Request[] = [];
  const door = createFrontDoor({
    own: async () => new Response('own'),
    fetch: async (request) => {
      seen.push(request);
      return answer(request);
    },
    followed: () => followed,
  });
  const call = (path: string, init?: RequestInit) => door(new Request(`http://127.0.0.1:7420${path}`, init));
  return { call, seen };
}

describe('the front door of a node', () => {
  it('answers everything itself while it follows nobody else', async () => {
    const { call, seen } = doorTo(undefined);
    expect(await (await call('/v1/nodes')).text()).toBe('own');
    expect(seen).toHaveLength(0);
  });

  it.each(['/healthz', '/readyz', '/metrics', '/v1/leader?challenge=x', '/v1/reconcile/diff'])('answers %s itself always', async (path) => {
    expect(await (await doorTo(LEADER).call(path)).text()).toBe('own');
  });

  it('passes a control call on with method, query, credential and body', async () => {
    const { call, seen } = doorTo(LEADER, async (request) => Response.json({ got: await request.json() }, { status: 202 }));
    const headers = { authorization: 'Bearer x', 'content-type': 'application/json', connection: 'close', expect: '100-continue' };
    const answer = await call('/v1/bootstrap/events?a=1', { method: 'POST', headers, body: '{"b":2}' });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ got: { b: 2 } });
    const [sent] = seen;
    expect([sent?.method, sent?.url]).toEqual(['POST', `${LEADER}/v1/bootstrap/events?a=1`]);
    expect(sent?.headers.get('authorization')).toBe('Bearer x');
    expect(sent?.headers.get('connection')).toBeNull();
    // curl asks so before a large body; fetch refuses to send it.
    expect(sent?.headers.get('expect')).toBeNull();
  });

  it('passes nothing on a second time', async () => {
    const { call, seen } = doorTo(LEADER);
    const answer = await call('/v1/nodes', { headers: { 'bootplane-forwarded': '1' } });
    expect([answer.status, seen.length]).toEqual([503, 0]);
  });

  it.each(['http://192.0.2.7:7420', 'http://leader.example'])('sends no credential to %s, which nothing proves', async (url) => {
    const { call, seen } = doorTo(url);
    const answer = await call('/v1/nodes', { headers: { authorization: 'Bearer the-fleet-key' } });
    expect([answer.status, seen.length]).toEqual([503, 0]);
    expect(await answer.json()).toMatchObject({ code: 'unavailable', detail: expect.stringContaining(url) });
  });

  it('passes on to this machine over plain http', async () => {
    expect(await (await doorTo('http://127.0.0.1:8787').call('/v1/nodes')).text()).toBe('leader');
  });

  it('passes a body on while it still comes in: nothing of it is gathered', async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const { call } = doorTo(LEADER, async (request) => {
      const first = await request.body?.getReader().read();
      return new Response(first?.value);
    });
    const init = { method: 'POST', body: readable, duplex: 'half' };
    const answer = call('/v1/bootstrap/events', init);
    void writable.getWriter().write(new TextEncoder().encode('the first piece'));
    expect(await (await answer).text()).toBe('the first piece');
  });

  it('gives up on a Supervisor that accepts a call and never answers, but not on an event stream', async () => {
    const waits: number[] = [];
    const timeout = vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      waits.push(ms);
      return AbortSignal.abort(new Error('it was time'));
    });
    const silent = (request: Request) => (request.signal.aborted ? Promise.reject(request.signal.reason) : new Response('stream'));
    try {
      const { call } = doorTo(LEADER, silent);
      const answer = await call('/v1/nodes');
      expect(await answer.json()).toMatchObject({ status: 503, detail: expect.stringContaining('it was time') });
      expect(await (await call('/v1/events', { headers: { accept: 'text/event-stream' } })).text()).toBe('stream');
      expect(waits).toHaveLength(1);
    } finally {
      timeout.mockRestore();
    }
  });

  it('says which Supervisor does not answer', async () => {
    const { call } = doorTo(LEADER, () => Promise.reject(new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })));
    const answer = await call('/v1/nodes');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: 'unavailable', detail: expect.stringMatching(/leader\.example.*ECONNREFUSED/) });
  });
});
