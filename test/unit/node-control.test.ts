import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HttpServer, listen } from '../../runtime-node/http-server.ts';
import { createNodeControl } from '../../runtime-node/node-control.ts';

const KEY = 'a fleet key for this test only';
let left: number;
let untold: 'copy' | 'alone' | undefined;
const control = createNodeControl({
  node_id: 'node-1',
  fleetKey: KEY,
  answer: async () => new Response('passed on'),
  leave: () => {
    left += 1;
  },
  untold: () => untold,
});
beforeEach(() => {
  left = 0;
  untold = undefined;
});

const request = (path: string, { method = 'POST', key = KEY } = {}) =>
  new Request(`http://node${path}`, { method, headers: { authorization: `Bearer ${key}` } });

const from = (here: boolean) => ({ here, address: here ? '127.0.0.1' : '192.0.2.7', secure: false });

describe('the control of a node', () => {
  it('leaves for the fleet key, from its own machine', async () => {
    const answer = await control(request('/v1/node/leave'), from(true));
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ node_id: 'node-1', leaving: true });
    expect(left).toBe(1);
  });

  it('says why nobody is told of it', async () => {
    untold = 'copy';
    const answer = await control(request('/v1/node/leave'), from(true));
    expect([await answer.json(), left]).toEqual([{ node_id: 'node-1', leaving: true, untold: 'copy' }, 1]);
  });

  it.each([
    ['from another machine', request('/v1/node/leave'), false, 403],
    ['with another key', request('/v1/node/leave', { key: `${KEY}!` }), true, 401],
    ['without one', new Request('http://node/v1/node/leave', { method: 'POST' }), true, 401],
    ['with another method', request('/v1/node/leave', { method: 'GET' }), true, 405],
  ])('does not leave %s', async (_name, asked, here, status) => {
    const answer = await control(asked, from(here));
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(left).toBe(0);
  });

  it.each(['/v1/nodes/leave', '/v1/node/leave/', '/x/v1/node/leave', '/v1/nodes?x=/v1/node/leave'])('passes %s on', async (path) => {
    expect(await (await control(request(path), from(true))).text()).toBe('passed on');
    expect(left).toBe(0);
  });
});

describe('who calls from here', () => {
  let server: HttpServer;
  const seen: boolean[] = [];
  beforeEach(async () => {
    server = await listen(
      (_request, { here }) => {
        seen.push(here);
        return new Response();
      },
      '0.0.0.0',
      0,
    );
  });
  afterEach(() => server.close());

  it('is told by the connection', async () => {
    await fetch(`http://127.0.0.1:${server.port}/`);
    expect(seen).toEqual([true]);
  });
});
