import { afterEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { FLEET_KEY, heartbeat, register } from '../runtime/harness.ts';
import { CLOUD, type FrontDoor, LEADER, startFrontDoor } from './front-door.harness.ts';

let node: FrontDoor;
afterEach(() => node.close());

const KEY = 'bpi~default~1f0c2d3e4a5b6c7d~secret';
const as = (credential: string, init: RequestInit = {}) => ({ ...init, headers: { authorization: `Bearer ${credential}` } });
const issue = async (body: object) => (await node.call('POST /v1/keys', { method: 'POST', body: JSON.stringify(body) })).json();
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

  it("are the leader's without a cloud: a follower says who holds one, and the key itself stays with it", async () => {
    node = await startFrontDoor();
    const { key, created_by, leader_node_id } = await issue({ scope: 'viewer' });
    expect([created_by, leader_node_id]).toEqual(['fleet-key', 'b']);
    for (const headers of [{ authorization: `Bearer ${key}` }, { authorization: `bearer ${key}` }]) {
      expect((await node.call('GET /v1/nodes', { headers })).status).toBe(200);
    }
    expect((await node.withoutCredential('GET /v1/nodes', { 'x-api-key': key })).status).toBe(200);
    expect(await node.call('POST /v1/keys', { ...create, ...as(key, create) })).toMatchObject({ status: 403 });
    const said = node.sent.map((request) => [...request.headers].flat().join('\n')).join('\n');
    for (const secret of [FLEET_KEY, key, key.split('~')[3]]) expect(said).not.toContain(secret);
    expect(node.sent.at(-1)?.headers.get('authorization')).toMatch(/^Bearer bpf~default~me~/);
  });

  it('are judged by the leader at each call: what they allow, who they are, when they end and that they are revoked', async () => {
    node = await startFrontDoor();
    const { key, key_id } = await issue({ scope: 'operator', label: 'ci', expires_in_seconds: 3600 });
    const plan = { ...as(key, { method: 'PUT', body: '{"services":[]}' }) };
    expect((await node.call('PUT /v1/cluster/plan', { ...plan, headers: { ...plan.headers, 'if-match': '"0"' } })).status).toBe(200);
    expect((await (await node.call('GET /v1/cluster/plan', as(key))).json()).published_by).toBe(`key ${key_id} (ci)`);
    const endless = await node.call('POST /v1/keys', as(key, create));
    expect([endless.status, (await endless.json()).detail]).toEqual([403, expect.stringContaining('ends at')]);
    expect(await (await node.call('DELETE /v1/keys/1f0c', { method: 'DELETE' })).json()).toMatchObject({
      ...{ code: 'unknown_key', detail: expect.stringContaining('can be revoked only then') },
    });
    expect((await node.call(`DELETE /v1/keys/${key_id}`, { method: 'DELETE' })).status).toBe(200);
    const refused = await node.call('GET /v1/cluster/plan', as(key));
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
    expect(await refused.json()).toMatchObject({
      code: 'unauthenticated',
      detail: expect.stringMatching(`this key \\(${key_id}\\) was revoked at 20`),
    });
  });

  it('of a node let it act as itself through another one, and join keys nothing', async () => {
    node = await startFrontDoor();
    await register(node.leader, 'c');
    const { key } = await issue({ scope: 'node', node_id: 'c' });
    const beat = (node_id: string) => as(key, { method: 'POST', body: JSON.stringify(heartbeat(node_id)) });
    expect((await node.call('POST /v1/nodes/heartbeat', beat('c'))).status).toBe(204);
    expect((await node.call('POST /v1/nodes/heartbeat', beat('d'))).status).toBe(403);
    const join = await issue({ scope: 'join' });
    expect((await node.call('GET /v1/nodes', as(join.key))).status).toBe(403);
  });

  it('that the leader does not know are refused once, and those of another fleet and what only looks like one go nowhere', async () => {
    node = await startFrontDoor();
    expect((await node.call('GET /v1/nodes', as(KEY))).status).toBe(401);
    expect(node.sent).toHaveLength(1);
    for (const other of ['bpi~other~1f0c~secret', 'bpi~default~1f0c, scope=operator~secret', `bpi~default~1f0c~${'x'.repeat(1100)}`]) {
      expect((await node.call('GET /v1/nodes', as(other))).status, other).toBe(401);
    }
    expect(node.sent).toHaveLength(1);
  });

  it('get nothing of what is kept here while nobody leads, also where this node led before and knows them', async () => {
    node = await startFrontDoor({ isGateway: true });
    const { key } = await issue({ scope: 'viewer' });
    expect((await node.call('GET /v1/cluster/plan', as(key))).status).toBe(404);
    await node.own.fetch('/v1/cluster/plan', {
      method: 'PUT',
      body: '{"services":[]}',
      headers: { authorization: `Bearer ${FLEET_KEY}`, 'if-match': '"0"', 'content-type': 'application/json' },
    });
    const headers = { ...as(FLEET_KEY).headers, 'content-type': 'application/json' };
    const issueHere = async () => (await node.own.fetch('/v1/keys', { ...create, headers })).json();
    // The first is the same as the leader's: both draw the same random bytes.
    expect((await issueHere()).key).toBe(key);
    const { key: ownKey } = await issueHere();
    expect((await node.call('GET /v1/nodes', as(ownKey))).status).toBe(401);
    node.decider = { kind: 'nobody' };
    for (const answer of await Promise.all([key, ownKey].map((one) => node.call('GET /v1/cluster/plan', as(one))))) {
      expect([answer.status, answer.headers.get('retry-after'), (await answer.json()).code]).toEqual([503, '1', 'no_leader']);
    }
  });

  it.each([
    ['of the cloud', { cloud_url: CLOUD }, `the cloud (${CLOUD})`],
    ['of the leader', {}, 'the node that issued them'],
  ])('%s that come to what a node answers itself are told who knows them', async (_whose, options, who) => {
    node = await startFrontDoor(options);
    const refused = await node.call('GET /healthz', as(KEY));
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect((await refused.json()).detail).toContain(`issued keys are known to ${who} alone`);
    expect(node.sent).toEqual([]);
  });

  it('that nobody has looked at yet do not take the place of callers who are known', async () => {
    node = await startFrontDoor();
    const go = Promise.withResolvers<void>();
    node.wire = async (request, send) => {
      await go.promise;
      return send(request);
    };
    const many = Array.from({ length: 60 }, () => node.call('GET /v1/nodes', as(KEY)));
    const known = node.call('GET /v1/nodes');
    await expect.poll(() => node.sent.length).toBe(51);
    go.resolve();
    const statuses = (await Promise.all(many)).map(({ status }) => status);
    expect([statuses.filter((one) => one === 401).length, statuses.filter((one) => one === 503).length]).toEqual([50, 10]);
    expect((await known).status).toBe(200);
  });

  it('are vouched for in one request only, and for no other key', async () => {
    node = await startFrontDoor();
    const [one, other] = [await issue({ scope: 'viewer' }), await issue({ scope: 'operator' })];
    node.sent.length = 0;
    await node.call('GET /v1/nodes', as(one.key));
    const [sent] = node.sent;
    const said = sent?.headers.get('bootplane-forwarded') ?? '';
    expect(said).toBe(`scope=issued, key_id=${one.key_id}, key_sha256=${await sha256Hex(one.key)}, ${said.slice(said.indexOf('to='))}`);
    const changed = (text: string) =>
      new Request(`${LEADER}/v1/nodes`, { headers: { ...Object.fromEntries(sent!.headers), 'bootplane-forwarded': text } });
    const forged = [
      said,
      said.replace(one.key_id, other.key_id).replace(await sha256Hex(one.key), await sha256Hex(other.key)),
      said.replace(/scope=issued, key_id=\w+, key_sha256=\w+/, 'scope=operator'),
    ];
    for (const text of forged) expect((await node.leader.supervisor.fetch(changed(text))).status).toBe(401);
    const byHash = await node.leader.supervisor.fetch(
      new Request(`${LEADER}/v1/nodes`, as(`bpi~default~${one.key_id}~${await sha256Hex(one.key)}`)),
    );
    expect(byHash.status).toBe(401);
  });
});
