import { describe, expect, it } from 'vitest';
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
    const headers = { authorization: 'Bearer x', 'content-type': 'application/json', connection: 'close' };
    const answer = await call('/v1/bootstrap/events?a=1', { method: 'POST', headers, body: '{"b":2}' });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ got: { b: 2 } });
    const [sent] = seen;
    expect([sent?.method, sent?.url]).toEqual(['POST', `${LEADER}/v1/bootstrap/events?a=1`]);
    expect(sent?.headers.get('authorization')).toBe('Bearer x');
    expect(sent?.headers.get('connection')).toBeNull();
  });

  it('passes nothing on a second time', async () => {
    const { call, seen } = doorTo(LEADER);
    const answer = await call('/v1/nodes', { headers: { 'bootplane-forwarded': '1' } });
    expect([answer.status, seen.length]).toEqual([503, 0]);
  });

  it('says which Supervisor does not answer', async () => {
    const { call } = doorTo(LEADER, () => Promise.reject(new Error('connect ECONNREFUSED')));
    const answer = await call('/v1/nodes');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: 'unavailable', detail: expect.stringContaining(LEADER) });
  });
});
