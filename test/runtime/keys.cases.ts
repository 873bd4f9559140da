import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { nodeProved } from '../../shared/contract/credential-proof.ts';
import { FORWARDED_HEADER, PASSED_ON } from '../../shared/contract/forward.ts';
import { type Fleets, startFleets } from './fleets.harness.ts';
import { age, call, FLEET_KEY, heartbeat, register, registration, type Start } from './harness.ts';

export function keyCases(start: Start): void {
  describe('issued keys', () => {
    let cloud: Fleets;
    beforeEach(async () => {
      cloud = await startFleets(start);
    });
    afterEach(() => cloud.close());
    const issue = (body: unknown, as = FLEET_KEY) => cloud.as(as, 'POST /v1/keys', { body });
    const rows = async () => (await cloud.harness.database.batch([{ sql: 'select * from issued_keys', params: [] }]))[0] ?? [];

    it('shows a key once, and keeps only its hash', async () => {
      const { status, body, headers } = await issue({ scope: 'viewer', label: 'dashboard in the hall', expires_in_seconds: 3600 });
      expect(status).toBe(201);
      expect(headers.get('cache-control')).toBe('no-store');
      const { key, ...shown } = body;
      expect(key).toMatch(new RegExp(`^bpi~default~${shown.key_id}~[\\w-]{43}$`));
      expect(shown).toMatchObject({ scope: 'viewer', state: 'active', label: 'dashboard in the hall', created_by: 'fleet-key' });
      expect(Date.parse(shown.expires_at) - Date.parse(shown.created_at)).toBe(3_600_000);
      expect((await cloud.as(FLEET_KEY, 'GET /v1/keys')).body).toEqual({ keys: [shown] });
      expect(await rows()).toMatchObject([{ hash: await sha256Hex(key) }]);
      const everything = JSON.stringify([await rows(), (await call(cloud.harness, 'GET /v1/events')).body, cloud.harness.emitted]);
      expect(everything).not.toContain(key.split('~')[3]);
    });

    it('a viewer reads and changes nothing, an operator does all, a node acts as itself', async () => {
      await register(cloud.harness, 'a');
      await register(cloud.harness, 'b');
      const viewer = (await issue({ scope: 'viewer' })).body.key;
      expect((await cloud.as(viewer, 'GET /v1/nodes')).body.nodes).toHaveLength(2);
      expect(await cloud.as(viewer, 'POST /v1/nodes/leave', { body: { node_id: 'a' } })).toMatchObject({ status: 403 });
      expect(await cloud.as(viewer, 'GET /v1/keys')).toMatchObject({ status: 403 });
      const operator = (await issue({ scope: 'operator', label: 'ci' })).body;
      const plan = { body: { services: [] }, headers: { 'if-match': '"0"' } };
      expect((await cloud.as(operator.key, 'PUT /v1/cluster/plan', plan)).status).toBe(200);
      expect((await cloud.as(viewer, 'GET /v1/cluster/plan')).body.published_by).toBe(`key ${operator.key_id} (ci)`);
      const node = (await issue({ scope: 'node', node_id: 'a' })).body.key;
      expect((await cloud.as(node, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') })).status).toBe(204);
      expect(await cloud.as(node, 'POST /v1/nodes/heartbeat', { body: heartbeat('b') })).toMatchObject({ status: 403 });
      expect(await cloud.as(node, 'GET /v1/nodes')).toMatchObject({ status: 403 });
    });

    it('is minted by an operator, for no longer than the operator has', async () => {
      const viewer = (await issue({ scope: 'viewer' })).body.key;
      const node = await cloud.harness.keys.nodeCredential('a');
      for (const credential of [viewer, node]) expect(await issue({ scope: 'viewer' }, credential)).toMatchObject({ status: 403 });
      const operator = (await issue({ scope: 'operator', expires_in_seconds: 3600 })).body;
      for (const body of [{ scope: 'viewer' }, { scope: 'operator', expires_in_seconds: 3700 }]) {
        expect(await issue(body, operator.key)).toMatchObject({ status: 403, body: { detail: expect.stringContaining('ends at') } });
      }
      const minted = await issue({ scope: 'operator', expires_in_seconds: 3000 }, operator.key);
      expect(minted).toMatchObject({ status: 201, body: { created_by: `key ${operator.key_id}` } });
    });

    it('says which field of a wrong request is wrong', async () => {
      const wrong: [unknown, string][] = [
        [{}, '/scope'],
        [{ scope: 'admin' }, '/scope'],
        [{ scope: 'service' }, '/scope'],
        [{ scope: 'node' }, '/node_id'],
        [{ scope: 'viewer', node_id: 'a' }, '/node_id'],
        [{ scope: 'viewer', max_uses: 1 }, '/max_uses'],
        [{ scope: 'viewer', site: 'a' }, '/site'],
        [{ scope: 'join', max_uses: 0 }, '/max_uses'],
        [{ scope: 'viewer', expires_in_seconds: 0 }, '/expires_in_seconds'],
        [{ scope: 'viewer', label: 'x'.repeat(129) }, '/label'],
        [{ scope: 'viewer', expires_at: 1 }, '/expires_at'],
      ];
      for (const [body, pointer] of wrong) {
        expect(await issue(body), JSON.stringify(body)).toMatchObject({
          status: 400,
          body: { code: 'invalid_body', errors: [{ pointer }] },
        });
      }
      expect(await rows()).toEqual([]);
    });

    it('ends at once where it is revoked, and everywhere within a minute', async () => {
      const { key, key_id } = (await issue({ scope: 'viewer' })).body;
      const elsewhere = await startFleets(start, {}, { wrap: () => cloud.harness.database });
      for (const each of [cloud, elsewhere]) expect((await each.as(key, 'GET /v1/nodes')).status).toBe(200);
      const revoked = await cloud.as(FLEET_KEY, `DELETE /v1/keys/${key_id}`);
      expect(revoked).toMatchObject({ status: 200, body: { key_id, state: 'revoked', revoked_at: expect.any(String) } });
      expect((await cloud.as(FLEET_KEY, `DELETE /v1/keys/${key_id}`)).body).toEqual(revoked.body);
      const refused = await cloud.as(key, 'GET /v1/nodes');
      const detail = `this key (${key_id}) was revoked at ${revoked.body.revoked_at}`;
      expect(refused).toMatchObject({ status: 401, body: { code: 'unauthenticated', detail } });
      expect(refused.headers.get('www-authenticate')).toBe('Bearer');
      // Who does not have the key itself learns nothing of it, not even that there was one.
      const guessed = await cloud.as(`bpi~default~${key_id}~${'x'.repeat(43)}`, 'GET /v1/nodes');
      expect(guessed).toMatchObject({ status: 401, body: { detail: 'the credential is not one of this fleet' } });
      expect((await elsewhere.as(key, 'GET /v1/nodes')).status).toBe(200);
      elsewhere.pass(60_000);
      expect((await elsewhere.as(key, 'GET /v1/nodes')).status).toBe(401);
      await elsewhere.close();
      const log = (await call(cloud.harness, 'GET /v1/events')).body.events.map(({ type, data }: { type: string; data: unknown }) => [
        type,
        data,
      ]);
      expect(log).toEqual([
        ['overlay.key', { action: 'created', key_id, scope: 'viewer', by: 'fleet-key' }],
        ['overlay.key', { action: 'revoked', key_id, scope: 'viewer', by: 'fleet-key' }],
      ]);
      expect(await cloud.as(FLEET_KEY, 'DELETE /v1/keys/nothing')).toMatchObject({ status: 404, body: { code: 'unknown_key' } });
    });

    it('ends when its time is over, and is gone from the list a month later', async () => {
      const { key, key_id } = (await issue({ scope: 'viewer', expires_in_seconds: 60 })).body;
      expect((await cloud.as(key, 'GET /v1/nodes')).status).toBe(200);
      await age(cloud.harness, 60_000);
      cloud.pass(60_000);
      const [{ expires_at }] = (await cloud.as(FLEET_KEY, 'GET /v1/keys')).body.keys;
      expect(await cloud.as(key, 'GET /v1/nodes')).toMatchObject({
        ...{ status: 401, body: { detail: `this key (${key_id}) expired at ${expires_at}` } },
      });
      const state = async () => (await cloud.as(FLEET_KEY, 'GET /v1/keys')).body.keys.map((one: { state: string }) => one.state);
      await cloud.harness.supervisor.sweep();
      expect(await state()).toEqual(['expired']);
      await age(cloud.harness, 31 * 86_400_000);
      await cloud.harness.supervisor.sweep();
      expect(await state()).toEqual([]);
    });

    it('writes that it was used once an hour', async () => {
      const { key } = (await issue({ scope: 'viewer' })).body;
      const used = async () => {
        cloud.pass(60_000);
        await cloud.as(key, 'GET /v1/nodes');
        return (await rows())[0]?.last_used_at;
      };
      expect((await rows())[0]?.last_used_at).toBeNull();
      const first = await used();
      expect(first).toEqual(expect.any(Number));
      expect(await used()).toBe(first);
      expect((await cloud.as(FLEET_KEY, 'GET /v1/keys')).body.keys[0].last_used_at).toEqual(expect.any(String));
      await age(cloud.harness, 3_600_000);
      expect(await used()).not.toBe(Number(first) - 3_600_000);
    });

    it('is refused with another secret, fleet or id, and writes nothing then', async () => {
      const { key, key_id } = (await issue({ scope: 'viewer' })).body;
      const [, , , secret] = key.split('~');
      const wrong = [
        `bpi~default~${key_id}~${'A'.repeat(43)}`,
        `bpi~shops~${key_id}~${secret}`,
        `bpi~default~other~${secret}`,
        `bpi~default~${key_id}~`,
      ];
      for (const credential of wrong) expect((await cloud.as(credential, 'GET /v1/nodes')).status).toBe(401);
      expect((await rows())[0]?.last_used_at).toBeNull();
    });
  });

  describe('join keys', () => {
    let cloud: Fleets;
    beforeEach(async () => {
      cloud = await startFleets(start);
    });
    afterEach(() => cloud.close());
    const issue = async (body: object) => (await cloud.as(FLEET_KEY, 'POST /v1/keys', { body: { scope: 'join', ...body } })).body;
    const join = (key: string, node_id: string, more: object = {}) => cloud.secured(key, 'POST /v1/nodes/join', { node_id, ...more });

    it('gives a node what it needs to be of the fleet, and not the fleet key', async () => {
      const { key, expires_at, created_at } = await issue({ site: 'berlin' });
      expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(86_400_000);
      const { status, body, headers } = await join(key, 'a', { site: 'other' });
      const { keys } = cloud.harness;
      expect(status).toBe(200);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(body).toEqual({
        node_id: 'a',
        fleet: 'default',
        site: 'berlin',
        credential: await keys.nodeCredential('a'),
        credential_proof: expect.any(String),
        discovery_key: keys.discovery_key,
        document_keys: [keys.documents.public_key],
      });
      const { fleet, credential, credential_proof } = body;
      expect(await nodeProved({ fleet, documents: keys.documents }, credential, credential_proof)).toEqual({
        node_id: 'a',
        isByOldKey: false,
      });
      expect(await nodeProved({ fleet, documents: cloud.harness.foreign.documents }, credential, credential_proof)).toBeUndefined();
      expect((await cloud.as(body.credential, 'POST /v1/nodes/register', { body: registration('a') })).status).toBe(200);
    });

    it('opens nothing else', async () => {
      const { key } = await issue({});
      await register(cloud.harness, 'a');
      const { routes } = cloud.harness.supervisor;
      const closed = routes.filter(({ scope, path }) => scope !== 'open' && path !== '/v1/nodes/join');
      for (const { method, path } of closed) {
        const request = `${method.toUpperCase()} ${path.replaceAll(/\{[^}]+\}/g, 'a')}`;
        expect(await cloud.as(key, request, method === 'get' ? {} : { body: {} }), request).toMatchObject({
          status: 403,
          body: { code: 'forbidden' },
        });
      }
      expect((await cloud.as(key, 'GET /healthz')).body).toEqual({ status: 'ok' });
    });

    it('lets in as many nodes as it may; of many at one moment exactly those; and a node that asks again is no second one', async () => {
      const { key, key_id } = await issue({ max_uses: 2 });
      const nodes = Array.from({ length: 12 }, (_, index) => `n${index}`);
      const replies = await Promise.all(nodes.map((node_id) => join(key, node_id)));
      const won = nodes.filter((_, index) => replies[index]?.status === 200);
      expect(won).toHaveLength(2);
      for (const reply of replies) if (reply.status !== 200) expect(reply).toMatchObject({ status: 403, body: { code: 'key_used_up' } });
      for (const node_id of won) expect((await join(key, node_id)).status).toBe(200);
      expect((await join(key, 'late')).status).toBe(403);
      const [listed] = (await cloud.as(FLEET_KEY, 'GET /v1/keys')).body.keys;
      expect(listed).toMatchObject({ key_id, state: 'used_up', max_uses: 2, uses: 2 });
    });

    it('gives nobody the credential of a node that is there already', async () => {
      await register(cloud.harness, 'a');
      const { key } = await issue({ max_uses: 5 });
      expect(await join(key, 'a')).toMatchObject({ status: 403, body: { detail: expect.stringContaining('registered already') } });
      expect((await join(key, 'b')).status).toBe(200);
      await register(cloud.harness, 'b');
      expect((await join(key, 'b')).status).toBe(403);
      // The holder of a key for one node has lost what it was given, and nobody else holds that key.
      const single = await issue({ max_uses: 1 });
      expect((await join(single.key, 'c')).status).toBe(200);
      await register(cloud.harness, 'c');
      expect((await join(single.key, 'c')).status).toBe(200);
      expect((await join(single.key, 'a')).status).toBe(403);
    });

    it('a key for one node that nobody has used yet does not open a node that is there already', async () => {
      await register(cloud.harness, 'a');
      const { key } = await issue({ max_uses: 1 });
      expect(await join(key, 'a')).toMatchObject({ status: 403, body: { detail: expect.stringContaining('registered already') } });
      // It was not used up by that.
      expect((await join(key, 'b')).status).toBe(200);
    });

    it('ends when its time is over, or it is revoked, also for the nodes that it has let in', async () => {
      const [short, revoked] = [await issue({ expires_in_seconds: 60 }), await issue({})];
      for (const { key } of [short, revoked]) expect((await join(key, 'a')).status).toBe(200);
      await cloud.as(FLEET_KEY, `DELETE /v1/keys/${revoked.key_id}`);
      await age(cloud.harness, 60_000);
      cloud.pass(60_000);
      for (const { key } of [short, revoked]) expect((await join(key, 'a')).status).toBe(401);
    });

    it('a node renews what it was given; who has a credential with an end does not get one without', async () => {
      const { keys } = cloud.harness;
      const derived = await keys.nodeCredential('a');
      expect((await join(derived, 'a')).body).toMatchObject({ credential: derived, discovery_key: keys.discovery_key });
      expect((await join(derived, 'b')).status).toBe(403);
      const issued = (await cloud.as(FLEET_KEY, 'POST /v1/keys', { body: { scope: 'node', node_id: 'a', expires_in_seconds: 60 } })).body
        .key;
      const answer = await join(issued, 'a');
      expect(answer).toMatchObject({ status: 200, body: { document_keys: [keys.documents.public_key] } });
      expect(answer.body).not.toHaveProperty('credential');
      expect(answer.body).not.toHaveProperty('credential_proof');
      const viewer = (await cloud.as(FLEET_KEY, 'POST /v1/keys', { body: { scope: 'viewer' } })).body.key;
      expect((await join(viewer, 'a')).status).toBe(403);
    });

    it('answers over https, or inside one machine', async () => {
      const { key } = await issue({});
      const send = (origin: string, headers: Record<string, string> = {}) =>
        cloud.harness.supervisor.fetch(
          new Request(`${origin}/v1/nodes/join`, {
            method: 'POST',
            headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
            body: JSON.stringify({ node_id: 'a' }),
          }),
        );
      const open = await send('http://192.0.2.7:7420');
      expect(open.status).toBe(403);
      expect(await open.json()).toMatchObject({ code: 'https_required' });
      expect((await send('http://127.0.0.1:7420')).status).toBe(200);
      // A node that passes it on has it over https, and its caller may not.
      const passedOn = await send('https://cloud.example', { [FORWARDED_HEADER]: PASSED_ON });
      expect(passedOn.status).toBe(421);
      expect(await passedOn.json()).toMatchObject({ code: 'misdirected' });
    });

    it('while a fleet key is replaced it gives what the new one gives, and says which documents are good', async () => {
      const { key } = await cloud.makeFleet('shops');
      const first = (await cloud.secured(key, 'POST /v1/nodes/join', { node_id: 'a' })).body;
      const rotated = await cloud.as(key, 'POST /v1/fleets/shops/rotate', { body: { overlap_seconds: 3600 } });
      const second = (await cloud.secured(first.credential, 'POST /v1/nodes/join', { node_id: 'a' })).body;
      expect(second).toMatchObject({ replaces_until: rotated.body.replaces_until });
      expect(second.credential).not.toBe(first.credential);
      expect(second.document_keys).toEqual([expect.any(String), first.document_keys[0]]);
      await age(cloud.harness, 3_600_000);
      cloud.pass(60_000);
      expect((await cloud.secured(first.credential, 'POST /v1/nodes/join', { node_id: 'a' })).status).toBe(401);
      const third = (await cloud.secured(second.credential, 'POST /v1/nodes/join', { node_id: 'a' })).body;
      expect(third).toMatchObject({ credential: second.credential, document_keys: [second.document_keys[0]] });
      expect(third).not.toHaveProperty('replaces_until');
    });
  });
}
