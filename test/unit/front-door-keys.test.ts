import { afterEach, describe, expect, it } from 'vitest';
import { FLEET_KEY } from '../runtime/harness.ts';
import { CLOUD, type FrontDoor, LEADER, startFrontDoor } from './front-door.harness.ts';

let node: FrontDoor;
afterEach(() => node.close());

const KEY = 'bpi~default~1f0c2d3e4a5b6c7d~secret';
const as = (credential: string, init: RequestInit = {}) => ({ ...init, headers: { authorization: `Bearer ${credential}` } });
const create = { method: 'POST', body: JSON.stringify({ scope: 'viewer' }) };

describe('keys at the door of a node', () => {
  it('are those of the cloud where there is one, whoever leads the site', async () => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.wire = async () => new Response('{}', { headers: { 'content-type': 'application/json' } });
    for (const decider of [{ kind: 'own' }, { kind: 'leader', url: LEADER, epoch: 1, node_id: 'b' }] as const) {
      node.decider = decider;
      node.sent.length = 0;
      await node.call('POST /v1/keys', create);
      await node.call('DELETE /v1/keys/1f0c');
      await node.call('GET /v1/nodes', as(KEY));
      await node.call('GET /v1/nodes', { headers: { authorization: '', 'x-api-key': KEY } });
      expect(node.sent.slice(0, 3).map(({ method, url }) => `${method} ${url}`)).toEqual([
        `POST ${CLOUD}/v1/keys`,
        `DELETE ${CLOUD}/v1/keys/1f0c`,
        `GET ${CLOUD}/v1/nodes`,
      ]);
      expect(node.sent[2]?.headers.get('authorization')).toBe(`Bearer ${KEY}`);
    }
  });

  it('of a node that joins are not asked for on its behalf: the way to the node may be open', async () => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.wire = async () => Response.json({ discovery_key: 'for whoever listens' });
    const derived = await node.own.keys.nodeCredential('a');
    for (const decider of [
      { kind: 'own' },
      { kind: 'cloud', url: CLOUD },
      { kind: 'leader', url: LEADER, epoch: 1, node_id: 'b' },
    ] as const) {
      node.decider = decider;
      const join = (credential: string) =>
        node.call('POST /v1/nodes/join', as(credential, { method: 'POST', body: JSON.stringify({ node_id: 'a' }) }));
      expect((await join(KEY)).status, decider.kind).toBe(401);
      // What a node may have, it is told by the one that is asked, who sees how the question came.
      expect(await (await join(derived)).json(), decider.kind).toMatchObject({ credential: derived });
      expect(node.sent, decider.kind).toEqual([]);
    }
  });

  it("are the leader's without a cloud, to which a follower passes on who is known", async () => {
    node = await startFrontDoor();
    const created = await node.call('POST /v1/keys', create);
    expect(created.status).toBe(201);
    const { key, created_by } = await created.json();
    expect(created_by).toBe('fleet-key');
    expect(node.sent.every(({ headers }) => !(headers.get('authorization') ?? '').includes(FLEET_KEY))).toBe(true);
    // The follower does not know it: the rows are the leader's.
    expect((await node.call('GET /v1/nodes', as(key))).status).toBe(401);
    const atLeader = new Request(`${LEADER}/v1/nodes`, as(key));
    expect((await node.leader.supervisor.fetch(atLeader)).status).toBe(200);
  });
});
