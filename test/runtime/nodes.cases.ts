import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { age, call, type Harness, heartbeat, register, registration, type Start } from './harness.ts';

export function nodeCases(start: Start): void {
  describe('nodes', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
    });
    afterEach(() => harness.close());
    const beat = (node_id: string, more = {}, headers = {}) =>
      call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat(node_id, more), headers });
    const read = async (node_id: string) => (await call(harness, `GET /v1/nodes/${node_id}`)).body;

    it('registers a node, and its heartbeat is accepted', async () => {
      const reply = await call(harness, 'POST /v1/nodes/register', { body: registration('a') });
      expect(reply).toMatchObject({ status: 200, body: { registered: true } });
      const heard = await beat('a');
      expect(heard).toMatchObject({ status: 204, body: '' });
      expect(heard.headers.get('bootplane-epoch')).toBeNull();
      expect(heard.headers.get('bootplane-desired')).toBe('');
    });

    it('answers the heartbeat of a node that never registered with unknown_node', async () => {
      const reply = await beat('nobody');
      expect(reply).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      expect(reply.headers.get('content-type')).toBe('application/problem+json');
    });

    it('shows a node as it registered and as its last heartbeat says, with nothing null', async () => {
      const devices = [{ id: 'cam-1', kind: 'camera', labels: { door: 'north' } }];
      await register(harness, 'a', { site: 'shop-1', capabilities: ['camera'], devices, url: 'http://192.0.2.1:7420', instance_id: 'i1' });
      const services_running = [{ name: 'api', version: '1.0.0', state: 'running', restarts: 2 }];
      await beat('a', { role: 'leader', services_running, versions: { bootplane: '0.2.0' }, metrics: { load: 0.5 }, instance_id: 'i1' });
      const { registered_at, heard_at, ...record } = await read('a');
      expect(record).toEqual({
        node_id: 'a',
        site: 'shop-1',
        instance_id: 'i1',
        role: 'leader',
        capabilities: ['camera'],
        host: 'a.test',
        ip: '192.0.2.1',
        url: 'http://192.0.2.1:7420',
        versions: { bootplane: '0.2.0' },
        devices,
        liveness: 'online',
        services_running,
        metrics: { load: 0.5 },
      });
      expect([registered_at, heard_at].every((text) => /^\d{4}-\d\d-\d\dT.*Z$/.test(text))).toBe(true);
      await register(harness, 'b');
      expect(Object.keys(await read('b')).sort()).toEqual(
        [
          'capabilities',
          'heard_at',
          'host',
          'ip',
          'liveness',
          'node_id',
          'registered_at',
          'role',
          'services_running',
          'site',
          'versions',
        ].sort(),
      );
    });

    it('ignores fields that it does not know in the messages of nodes', async () => {
      await register(harness, 'a', { from_a_newer_version: { x: 1 } });
      expect((await beat('a', { from_a_newer_version: true })).status).toBe(204);
    });

    it('lists those of some liveness alone, of a site and of the fleet, by pages', async () => {
      for (const [id, site] of [
        ['a', 'x'],
        ['b', 'x'],
        ['c', 'y'],
        ['d', 'x'],
      ] as const)
        await register(harness, id, { site });
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'd' } });
      await age(harness, 20_000);
      await register(harness, 'b', { site: 'x' });
      const ids = async (query: string) => {
        const { nodes, next } = (await call(harness, `GET /v1/nodes?${query}`)).body;
        return [nodes.map(({ node_id }: { node_id: string }) => node_id).join(), next];
      };
      expect(await ids('liveness=late')).toEqual(['a,c', undefined]);
      expect(await ids('liveness=late&site=x')).toEqual(['a', undefined]);
      expect(await ids('liveness=online,left&limit=1')).toEqual(['b', 'b']);
      expect(await ids('liveness=online,left&limit=1&after=b')).toEqual(['d', undefined]);
      expect(await ids('liveness=lost')).toEqual(['', undefined]);
      const wrong = await call(harness, 'GET /v1/nodes?liveness=late,gone');
      expect(wrong).toMatchObject({ status: 400, body: { code: 'invalid_parameter', errors: [{ pointer: '/liveness/1' }] } });
    });

    it('tells liveness from the silence against the TTL', async () => {
      await register(harness, 'a');
      const livenessAfter = async (ms: number) => {
        await age(harness, ms);
        return (await read('a')).liveness;
      };
      expect(await livenessAfter(14_000)).toBe('online');
      expect(await livenessAfter(2_000)).toBe('late');
      expect(await livenessAfter(30_000)).toBe('lost');
      await beat('a');
      expect(await livenessAfter(0)).toBe('online');
    });

    it('takes the TTL of the published Cluster Plan over its own', async () => {
      const publish = {
        sql: `insert into desired (fleet, kind, generation, hash, ttl_seconds) values ('default', 'plan', 3, 'h', 60)`,
        params: [],
      };
      await harness.database.batch([publish]);
      await register(harness, 'a');
      await age(harness, 50_000);
      expect(await read('a')).toMatchObject({ liveness: 'online' });
      expect((await beat('a')).headers.get('bootplane-desired')).toBe('plan=3');
    });

    it('pages the registry by cursor, of all sites or of one', async () => {
      for (const id of ['a', 'b', 'c', 'd']) await register(harness, id, { site: id === 'c' ? 'other' : 'default' });
      const page = async (query: string) => {
        const { body } = await call(harness, `GET /v1/nodes?${query}`);
        return [body.nodes.map((node: { node_id: string }) => node.node_id), body.next];
      };
      expect(await page('limit=2')).toEqual([['a', 'b'], 'b']);
      expect(await page('limit=2&after=b')).toEqual([['c', 'd'], undefined]);
      expect(await page('site=default&limit=2')).toEqual([['a', 'b'], 'b']);
      expect(await page('site=default&limit=2&after=b')).toEqual([['d'], undefined]);
      expect(await page('site=nowhere')).toEqual([[], undefined]);
      expect(await call(harness, 'GET /v1/nodes/zzz')).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
    });

    it('lets a node leave, tells it once, and wants a registration before it is heard again', async () => {
      await register(harness, 'a');
      expect((await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'a' } })).status).toBe(204);
      expect((await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'a' } })).status).toBe(204);
      expect(harness.emitted.filter(({ topic }) => topic === 'overlay.leave')).toHaveLength(1);
      expect(await read('a')).toMatchObject({ liveness: 'left' });
      expect(await beat('a')).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      await register(harness, 'a');
      expect(await read('a')).toMatchObject({ liveness: 'online' });
      expect(await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'zzz' } })).toMatchObject({ status: 404 });
    });

    it('tells the overlay of registrations and heartbeats', async () => {
      await register(harness, 'a');
      await beat('a');
      expect(harness.emitted.map(({ topic, body }) => [topic, body.node_id])).toEqual([
        ['overlay.register', 'a'],
        ['overlay.heartbeat', 'a'],
      ]);
      expect(new Set(harness.emitted.map(({ key }) => key)).size).toBe(2);
    });
  });

  instanceCases(start);
  batchCases(start);
}

function instanceCases(start: Start): void {
  describe('instances of one node', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      await register(harness, 'a', { instance_id: 'first' });
    });
    afterEach(() => harness.close());
    const beat = (instance_id: string) => call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a', { instance_id }) });
    const events = async () => (await call(harness, 'GET /v1/events')).body.events;

    it('takes no restart for a clone: the instance before is silent', async () => {
      await register(harness, 'a', { instance_id: 'second' });
      await age(harness, 20_000);
      expect((await beat('second')).status).toBe(204);
    });

    it('lets the instance that was put out finish for a TTL, without a write', async () => {
      await register(harness, 'a', { instance_id: 'second', host: 'second.test' });
      await age(harness, 5_000);
      const before = (await call(harness, 'GET /v1/nodes/a')).body.heard_at;
      expect((await beat('first')).status).toBe(204);
      expect((await call(harness, 'GET /v1/nodes/a')).body.heard_at).toBe(before);
    });

    it('writes nothing of the instance that was put out, and hints at nothing, also when it follows a leader that was replaced', async () => {
      await call(harness, 'POST /v1/leader/claim', {
        as: await harness.keys.nodeCredential('a'),
        body: { node_id: 'a', url: 'http://a.test:1', epoch_seen: 3 },
      });
      const stale = (instance_id: string) =>
        call(harness, 'POST /v1/nodes/heartbeat', {
          body: heartbeat('a', { instance_id, metrics: { sent: 1 } }),
          headers: { 'bootplane-epoch': '2/a' },
        });
      expect(await stale('first'), 'while it has the id').toMatchObject({ status: 409, body: { code: 'stale_epoch' } });
      await register(harness, 'a', { instance_id: 'second' });
      await age(harness, 5_000);
      const before = (await call(harness, 'GET /v1/nodes/a')).body;
      const { status, headers } = await stale('first');
      expect({ status, epoch: headers.get('bootplane-epoch'), desired: headers.get('bootplane-desired') }).toEqual({
        status: 204,
        epoch: null,
        desired: null,
      });
      expect((await call(harness, 'GET /v1/nodes/a')).body).toEqual(before);
    });

    it('tells a clone, and the event log, once, while the other is heard', async () => {
      await register(harness, 'a', { instance_id: 'second' });
      await age(harness, 15_000);
      await beat('second');
      for (let round = 0; round < 2; round += 1) {
        expect(await beat('first')).toMatchObject({ status: 409, body: { code: 'duplicate_node' } });
      }
      const again = await call(harness, 'POST /v1/nodes/register', { body: registration('a', { instance_id: 'first' }) });
      expect(again).toMatchObject({ status: 409, body: { code: 'duplicate_node' } });
      expect((await beat('second')).status).toBe(204);
      const refused = (await events()).filter(({ type }: { type: string }) => type === 'overlay.refused');
      expect(refused).toMatchObject([{ node_id: 'a', data: { code: 'duplicate_node', instance_id: 'first', runs_as: 'second' } }]);
      expect(harness.emitted.filter(({ topic }) => topic === 'overlay.refused')).toHaveLength(1);
      expect((await call(harness, 'GET /metrics')).body).toContain('bootplane_events_total{type="overlay.refused"} 1\n');
    });

    it('gives the id back to the first when the second has fallen silent', async () => {
      await register(harness, 'a', { instance_id: 'second' });
      await age(harness, 20_000);
      expect(await beat('first')).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      await register(harness, 'a', { instance_id: 'first' });
      expect((await beat('first')).status).toBe(204);
    });

    it('keeps no grudge against a restart that names the instance before', async () => {
      await register(harness, 'a', { instance_id: 'second', previous_instance_id: 'first' });
      await age(harness, 15_000);
      await beat('second');
      expect(await beat('first')).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
    });
  });
}

function batchCases(start: Start): void {
  describe('batches of heartbeats', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      for (const id of ['lead', 'a', 'b']) await register(harness, id);
      await register(harness, 'far', { site: 'other' });
    });
    afterEach(() => harness.close());
    const send = (as: string | undefined, ids: string[], headers = {}, query = '') =>
      call(harness, `POST /v1/nodes/heartbeats${query}`, {
        ...(as === undefined ? {} : { as }),
        headers,
        body: { heartbeats: ids.map((id) => heartbeat(id, { metrics: { sent: 1 } })) },
      });
    const lead = () => call(harness, 'POST /v1/leader/claim', { body: { node_id: 'lead', url: 'http://lead.test:1' } });

    it('writes those of known nodes and names the others', async () => {
      const { status, body } = await send(undefined, ['a', 'b', 'far', 'nobody']);
      expect([status, body]).toEqual([200, { accepted: 3, rejected: [{ node_id: 'nobody', code: 'unknown_node' }] }]);
      expect((await call(harness, 'GET /v1/nodes/far')).body.metrics).toEqual({ sent: 1 });
    });

    it('writes 500 at a time and refuses 501', async () => {
      const ids = Array.from({ length: 500 }, (_, index) => `n${index}`);
      const rows = JSON.stringify(ids);
      await harness.database.batch([
        {
          sql: `insert into nodes (fleet, node_id, site, role, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
            select 'default', value, 'default', 'worker', 'h', '192.0.2.1', '[]', '{}', '[]', '[]', 0, 0 from json_each(?)`,
          params: [rows],
        },
      ]);
      expect((await send(undefined, ids)).body).toEqual({ accepted: 500, rejected: [] });
      expect((await call(harness, 'GET /v1/nodes/n499')).body).toMatchObject({ liveness: 'online', versions: { bootplane: '0.1.0' } });
      expect(await send(undefined, [...ids, 'a'])).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
    });

    it('takes them from the leader of the site and from a proxy, for their own site only', async () => {
      const leader = await harness.keys.nodeCredential('lead');
      expect(await send(leader, ['a'])).toMatchObject({ status: 403, body: { code: 'forbidden' } });
      await lead();
      expect((await send(leader, ['a', 'far'])).body).toEqual({ accepted: 1, rejected: [{ node_id: 'far', code: 'forbidden' }] });
      expect(await send(leader, ['far'], {}, '?site=other')).toMatchObject({ status: 403 });
      await age(harness, 16_000);
      expect(await send(leader, ['a'])).toMatchObject({ status: 403 });
      const proxy = await harness.keys.nodeCredential('b');
      await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('b', { role: 'proxy' }) });
      expect(await send(proxy, ['a']), 'a role that a node gives itself').toMatchObject({ status: 403 });
      await register(harness, 'b', { capabilities: ['proxy'] });
      expect((await send(proxy, ['a'])).body).toEqual({ accepted: 1, rejected: [] });
    });

    it('refuses a batch of a leader that was replaced', async () => {
      const leader = await harness.keys.nodeCredential('lead');
      await lead();
      expect((await send(leader, ['a'], { 'bootplane-epoch': '1/lead' })).status).toBe(200);
      expect(await send(leader, ['a'], { 'bootplane-epoch': '0/lead' })).toMatchObject({
        status: 409,
        body: { code: 'stale_epoch', leader: { node_id: 'lead', epoch: 1, leader_url: 'http://lead.test:1' } },
      });
    });
  });
}
