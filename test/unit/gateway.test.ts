import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, heartbeat, register } from '../runtime/harness.ts';
import { type FrontDoor, LEADER, startFrontDoor } from './front-door.harness.ts';

describe('a gateway', () => {
  let node: FrontDoor;
  beforeEach(async () => {
    node = await startFrontDoor({ isGateway: true });
    await register(node.leader, 'b');
    await register(node.leader, 'me', { capabilities: ['proxy'] });
    await call(node.leader, 'POST /v1/leader/claim', { body: { node_id: 'b', url: LEADER } });
  });
  afterEach(() => node.close());
  const beat = async (node_id: string, headers = {}) =>
    node.call('POST /v1/nodes/heartbeat', {
      body: JSON.stringify(heartbeat(node_id)),
      headers: { authorization: `Bearer ${await node.own.keys.nodeCredential(node_id)}`, ...headers },
    });

  it('sends the heartbeats of many nodes as one, and each gets the answer that it would have got', async () => {
    for (const id of ['n1', 'n2']) await register(node.leader, id);
    const [first, second, unknown, stale] = await Promise.all([
      beat('n1', { 'bootplane-epoch': '1/b' }),
      beat('n2'),
      beat('nobody'),
      beat('b', { 'bootplane-epoch': '0/x' }),
    ]);
    expect([first.status, second.status, unknown.status, stale.status]).toEqual([204, 204, 404, 409]);
    expect(first.headers.get('bootplane-epoch')).toBe('1/b');
    expect(first.headers.has('bootplane-desired')).toBe(true);
    const batches = node.sent.filter(({ url }) => url.includes('/v1/nodes/heartbeats'));
    expect(batches).toHaveLength(1);
    expect((await batches[0]!.json()).heartbeats.map((one: { node_id: string }) => one.node_id).sort()).toEqual(['n1', 'n2', 'nobody']);
  });

  it('takes no heartbeat for a node from another', async () => {
    const authorization = `Bearer ${await node.own.keys.nodeCredential('n2')}`;
    const answer = await node.call('POST /v1/nodes/heartbeat', { body: JSON.stringify(heartbeat('n1')), headers: { authorization } });
    expect(answer.status).toBe(403);
  });

  it.each(['/v1/nodes', '/v1/state', '/v1/devices', '/v1/nodes/b'])(
    'answers %s as it was while nobody leads, marked with its age',
    async (path) => {
      const before = await (await node.call(`GET ${path}`)).json();
      node.decider = { kind: 'nobody' };
      const answer = await node.call(`GET ${path}`);
      expect([answer.status, await answer.json()]).toEqual([200, before]);
      expect(answer.headers.get('bootplane-stale')).toMatch(/^\d+$/);
      const authorization = `Bearer ${await node.own.keys.nodeCredential('n1')}`;
      expect((await node.call(`GET ${path}`, { headers: { authorization } })).status).toBe(503);
    },
  );

  it('answers a read at once when the leader does not', async () => {
    await node.call('GET /v1/nodes');
    node.wire = () => Promise.reject(new TypeError('fetch failed'));
    expect((await node.call('GET /v1/nodes')).headers.has('bootplane-stale')).toBe(true);
  });
});
