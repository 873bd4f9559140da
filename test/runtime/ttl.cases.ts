import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { age, call, type Harness, heartbeat, register, type Start } from './harness.ts';

const url = (node_id: string) => `http://${node_id}.test:7420`;

/** Publishes a TTL, or none, as a Cluster Plan would. */
const planTtl = (harness: Harness, ttl_seconds: number | null) =>
  harness.database.batch([
    {
      sql: `insert into desired (fleet, kind, generation, hash, ttl_seconds) values ('default', 'plan', 3, 'h', ?)
        on conflict (fleet, kind) do update set ttl_seconds = excluded.ttl_seconds`,
      params: [ttl_seconds],
    },
  ]);

const ask = (harness: Harness) => ({
  beat: (node_id: string, more = {}, headers = {}) =>
    call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat(node_id, more), headers }),
  claim: (node_id: string, more = {}) => call(harness, 'POST /v1/leader/claim', { body: { node_id, url: url(node_id), ...more } }),
  record: async (node_id: string) => (await call(harness, `GET /v1/nodes/${node_id}`)).body,
});

export function ttlCases(start: Start): void {
  describe('a TTL that changes', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      await register(harness, 'a');
      await register(harness, 'b');
    });
    afterEach(() => harness.close());

    it('ends no lease sooner than its holder was told, also when the answer to a renewal got lost', async () => {
      const { claim } = ask(harness);
      await planTtl(harness, 60);
      expect((await claim('a')).body).toMatchObject({ granted: true, epoch: 1 });
      await planTtl(harness, null);
      // The holder does not hear that this was granted, and counts on the sixty seconds of before.
      await claim('a', { epoch: 1 });
      await age(harness, 40_000);
      expect((await claim('b')).body).toMatchObject({ granted: false, node_id: 'a' });
      const renewed = await claim('a', { epoch: 1 });
      expect(renewed.body).toMatchObject({ granted: true, epoch: 1 });
      await age(harness, 21_000);
      expect((await claim('b')).body, 'once it is over, the TTL of now holds').toMatchObject({ granted: true, epoch: 2 });
    });

    it('grants no more for a clock that was set back', async () => {
      const { claim } = ask(harness);
      await claim('a');
      await age(harness, -86_400_000);
      const renewed = await claim('a', { epoch: 1 });
      expect(renewed.body.expires_in_ms).toBeLessThanOrEqual(15_000);
    });

    it('is one that a node has to hear of before it is judged by it', async () => {
      const { beat, record } = ask(harness);
      await planTtl(harness, 60);
      await beat('a', { ttl_seconds: 60 });
      await planTtl(harness, null);
      await age(harness, 50_000);
      expect(await record('a')).toMatchObject({ liveness: 'online' });
      expect((await call(harness, 'GET /v1/state')).body.nodes).toMatchObject({ online: 1, lost: 1 });
      await beat('a', { ttl_seconds: 15 });
      await age(harness, 50_000);
      expect(await record('a')).toMatchObject({ liveness: 'lost' });
    });

    it('gives no place away of a node that has not heard of it', async () => {
      const body = { services: [{ name: 'api', version: '1', command: ['x'], placement: { count: 1, nodes: ['b'] } }], ttl_seconds: 60 };
      const { beat, claim } = ask(harness);
      await claim('a');
      await call(harness, 'PUT /v1/cluster/plan', { body, headers: { 'if-match': '"0"' } });
      const services_running = [{ name: 'api', version: '1', state: 'running' }];
      await beat('b', { ttl_seconds: 60, services_running });
      await call(harness, 'PUT /v1/cluster/plan', { body: { ...body, ttl_seconds: 5 }, headers: { 'if-match': '"1"' } });
      await age(harness, 40_000);
      await claim('a', { epoch: 1 });
      await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'a' } });
      const [rows] = await harness.database.batch([{ sql: 'select placed from placements', params: [] }]);
      expect(rows).toEqual([{ placed: '{"api":["b"]}' }]);
    });
  });

  stretchCases(start);
  unwrittenCases(start);
}

function stretchCases(start: Start): void {
  describe('the write budget', () => {
    let harness: Harness;
    afterEach(() => harness.close());
    const told = async () => {
      const { claim } = ask(harness);
      const lease = (await claim('n0')).body;
      const plan = (await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'n0' } })).body;
      return { ttl_seconds: plan.ttl_seconds, lease_seconds: Math.ceil(lease.expires_in_ms / 1000) };
    };

    it.each([
      [10, 40],
      [1000, 600],
    ])('stretches what %d nodes are told to %d s: plan, lease and liveness alike', async (count, seconds) => {
      harness = await start({ write_budget: 80_000 });
      await registerMany(harness, count);
      expect(await told(), 'until they are counted').toEqual({ ttl_seconds: 15, lease_seconds: 15 });
      await harness.supervisor.sweep();
      expect(await told()).toEqual({ ttl_seconds: seconds, lease_seconds: seconds });
      await age(harness, seconds * 1000 - 1000);
      expect(await ask(harness).record('n1')).toMatchObject({ liveness: 'online' });
      await age(harness, 2000);
      expect(await ask(harness).record('n1')).toMatchObject({ liveness: 'late' });
    });

    it('leaves a longer TTL of the plan as it is', async () => {
      harness = await start({ write_budget: 80_000 });
      await registerMany(harness, 10);
      await planTtl(harness, 90);
      await harness.supervisor.sweep();
      expect((await ask(harness).claim('n0')).body.expires_in_ms).toBeGreaterThan(89_000);
    });

    it('counts again only after ten minutes, and then without who was not heard', async () => {
      harness = await start({ write_budget: 80_000 });
      await registerMany(harness, 10);
      await harness.supervisor.sweep();
      await age(harness, 700_000);
      await harness.supervisor.sweep();
      expect(await told()).toEqual({ ttl_seconds: 36, lease_seconds: 36 });
      await harness.database.batch([{ sql: 'update pace set counted_at = counted_at - 700000', params: [] }]);
      await harness.supervisor.sweep();
      expect(await told()).toEqual({ ttl_seconds: 15, lease_seconds: 15 });
    });

    it('ends with the setting', async () => {
      harness = await start();
      await harness.database.batch([
        { sql: `insert into pace (fleet, stretch_seconds, writers, counted_rows, counted_at) values ('*', 600, 9, 9, 0)`, params: [] },
      ]);
      await harness.supervisor.sweep();
      await registerMany(harness, 1);
      expect(await told()).toEqual({ ttl_seconds: 15, lease_seconds: 15 });
    });
  });
}

function registerMany(harness: Harness, count: number) {
  const rows = JSON.stringify(Array.from({ length: count }, (_, index) => `n${index}`));
  return harness.database.batch([
    {
      sql: `insert into nodes (fleet, node_id, site, role, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
        select 'default', value, 'default', 'worker', 'h', '192.0.2.1', '[]', '{}', '[]', '[]', ${harness.database.now}, ${harness.database.now} from json_each(?)`,
      params: [rows],
    },
  ]);
}

function unwrittenCases(start: Start): void {
  describe('heartbeats that need not be written', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start({ unwritten_share: 0.7 });
      await register(harness, 'a', { instance_id: 'first' });
      await age(harness, 60_000);
      await ask(harness).beat('a', { instance_id: 'first', metrics: { sent: 0 } });
    });
    afterEach(() => harness.close());
    const own = { instance_id: 'first' };
    const heardAgo = async () => {
      const [rows] = await harness.database.batch([
        {
          sql: `select cast(round((${harness.database.now} - heard_at) / 1000.0) as integer) as ago from nodes where node_id = 'a'`,
          params: [],
        },
      ]);
      return rows?.[0]?.ago;
    };

    it('are answered as ever, and written when their share of the TTL is over', async () => {
      const { beat, claim } = ask(harness);
      await register(harness, 'lead');
      await claim('lead');
      await planTtl(harness, null);
      for (const ago of [5, 10]) {
        await age(harness, 5_000);
        const heard = await beat('a', { ...own, metrics: { sent: ago } });
        expect([heard.status, heard.headers.get('bootplane-epoch'), heard.headers.get('bootplane-desired')]).toEqual([
          204,
          '1/lead',
          'plan=3',
        ]);
        expect(await heardAgo()).toBe(ago);
      }
      await age(harness, 1_000);
      await beat('a', { ...own, metrics: { sent: 11 } });
      expect(await heardAgo()).toBe(0);
    });

    it.each([
      ['another role', { role: 'leader' }],
      ['a service', { services_running: [{ name: 'api', version: '1', state: 'running' }] }],
      ['another version', { versions: { bootplane: '0.2.0' } }],
      ['another TTL', { ttl_seconds: 60 }],
    ])('are written at once with %s', async (_what, more) => {
      await age(harness, 3_000);
      await ask(harness).beat('a', { ...own, ...more });
      expect(await heardAgo()).toBe(0);
    });

    it('are refused as ever: unknown, left, of another instance, behind a leader that was replaced', async () => {
      const { beat, claim } = ask(harness);
      expect(await beat('nobody')).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      expect(await beat('a', { instance_id: 'other' })).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      await register(harness, 'lead');
      await claim('lead', { epoch_seen: 3 });
      expect(await beat('a', own, { 'bootplane-epoch': '2/x' })).toMatchObject({ status: 409, body: { code: 'stale_epoch' } });
      expect((await beat('a', own, { 'bootplane-epoch': '4/lead' })).status).toBe(204);
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'a' } });
      expect(await beat('a', own)).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
    });

    it('leave a node online for as long as a heartbeat may have come unwritten', async () => {
      const { record } = ask(harness);
      const livenessAfter = async (ms: number) => {
        await age(harness, ms);
        return (await record('a')).liveness;
      };
      expect(await livenessAfter(25_000)).toBe('online');
      expect(await livenessAfter(1_000)).toBe('late');
      expect(await livenessAfter(29_000)).toBe('late');
      expect(await livenessAfter(1_000)).toBe('lost');
    });

    it('tell a clone as ever', async () => {
      const { beat } = ask(harness);
      await register(harness, 'a', { instance_id: 'second' });
      await age(harness, 15_000);
      await beat('a', { instance_id: 'second' });
      await age(harness, 4_000);
      await beat('a', { instance_id: 'second' });
      expect(await beat('a', own)).toMatchObject({ status: 409, body: { code: 'duplicate_node' } });
    });

    it('come in batches too', async () => {
      const batch = (ids: string[], more = {}) =>
        call(harness, 'POST /v1/nodes/heartbeats', {
          body: { heartbeats: ids.map((id) => heartbeat(id, { metrics: { sent: 1 }, ...more })) },
        });
      await age(harness, 5_000);
      expect((await batch(['a', 'nobody'])).body).toEqual({ accepted: 1, rejected: [{ node_id: 'nobody', code: 'unknown_node' }] });
      expect(await heardAgo()).toBe(5);
      await batch(['a'], { role: 'proxy' });
      expect(await heardAgo()).toBe(0);
      await age(harness, 11_000);
      await batch(['a'], { role: 'proxy' });
      expect(await heardAgo()).toBe(0);
    });
  });
}
