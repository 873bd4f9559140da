import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseError } from '../../shared/ports/database.ts';
import { publish, service } from './documents.cases.ts';
import { bootstrapEvent } from './events.cases.ts';
import { age, call, type Harness, heartbeat, register, type Start } from './harness.ts';

export function stateCases(start: Start): void {
  describe('the logical state', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
    });
    afterEach(() => harness.close());
    const beat = (node_id: string, services_running: unknown[]) =>
      call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat(node_id, { services_running }) });

    it('of a site without nodes is empty, and complete', async () => {
      expect((await call(harness, 'GET /v1/state?site=nowhere')).body).toEqual({
        fleet: 'default',
        site: 'nowhere',
        nodes: { online: 0, late: 0, lost: 0, left: 0 },
        desired: {},
        conflicts: { plan: 0, profile: 0 },
        services: [],
        components: {},
        devices: 0,
      });
    });

    it('sums a site up: leader, nodes by liveness, services, components, devices', async () => {
      const camera = { id: 'cam', kind: 'camera' };
      await register(harness, 'lost', { devices: [camera] });
      await age(harness, 50_000);
      await register(harness, 'late', { devices: [camera] });
      await beat('late', [{ name: 'api', version: '1.0.0', state: 'running' }]);
      await age(harness, 20_000);
      await register(harness, 'on', { devices: [camera, { ...camera, id: 'cam-2' }] });
      await beat('on', [
        { name: 'api', version: '1.0.0', state: 'backoff' },
        { name: 'web', version: '2.0.0', state: 'running' },
      ]);
      await register(harness, 'gone');
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'gone' } });
      await register(harness, 'elsewhere', { site: 'other', devices: [camera] });
      await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'on', url: 'http://on.test:1' } });
      await call(harness, 'POST /v1/bootstrap/events', {
        body: [bootstrapEvent('on'), bootstrapEvent('late', { status: 'failed' }), bootstrapEvent('elsewhere')],
      });
      expect((await call(harness, 'GET /v1/state')).body).toEqual({
        fleet: 'default',
        site: 'default',
        leader: { node_id: 'on', leader_url: 'http://on.test:1', epoch: 1, provisional: false },
        nodes: { online: 1, late: 1, lost: 1, left: 1 },
        desired: {},
        conflicts: { plan: 0, profile: 0 },
        services: [
          { name: 'api', version: '1.0.0', running: 1, nodes: ['late', 'on'] },
          { name: 'web', version: '2.0.0', running: 1, nodes: ['on'] },
        ],
        components: { storage: { applied: 1, failed: 1 } },
        devices: 3,
      });
    });

    it('says how many of a service the plan wants, and names what is planned for the site and runs nowhere', async () => {
      await register(harness, 'on');
      await beat('on', [{ name: 'api', version: '1', state: 'running' }]);
      const here = service('api', { version: '1', placement: { count: 2 } });
      const idle = service('idle', { version: '3', placement: { sites: ['default'] } });
      const away = service('away', { placement: { sites: ['other'] } });
      await publish(harness, 'plan', { services: [idle, away, here] }, 0);
      expect((await call(harness, 'GET /v1/state')).body.services).toEqual([
        { name: 'api', version: '1', wanted: 2, running: 1, nodes: ['on'] },
        { name: 'idle', version: '3', running: 0, nodes: [] },
      ]);
    });

    it('pools the devices of all nodes with the liveness of their node', async () => {
      await register(harness, 'a', { devices: [{ id: 'cam', kind: 'camera', labels: { door: 'n' } }] });
      await register(harness, 'b', { site: 'other', devices: [{ id: 'cam', kind: 'camera' }] });
      const page = async (query: string) => (await call(harness, `GET /v1/devices${query}`)).body;
      expect(await page('?limit=1')).toEqual({
        devices: [{ id: 'cam', kind: 'camera', labels: { door: 'n' }, node_id: 'a', site: 'default', liveness: 'online' }],
        next: 'a',
      });
      expect((await page('?site=other')).devices).toMatchObject([{ node_id: 'b' }]);
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'b' } });
      expect((await page('')).devices).toHaveLength(1);
      await age(harness, 20_000);
      expect((await page('')).devices).toMatchObject([{ node_id: 'a', liveness: 'late' }]);
      await age(harness, 40_000);
      expect((await page('')).devices).toEqual([]);
    });
  });

  healthCases(start);
}

function healthCases(start: Start): void {
  describe('health, readiness, metrics', () => {
    let harness: Harness;
    afterEach(() => harness.close());

    it('says ok alone without a credential, and everything the node knows with one', async () => {
      const health = { status: 'degraded', node_id: 'me', waiting_for: ['amqp://broker'] } as const;
      harness = await start({ health: async () => ({ ...health, waiting_for: [...health.waiting_for] }) });
      expect((await call(harness, 'GET /healthz', { as: null })).body).toEqual({ status: 'degraded' });
      expect((await call(harness, 'GET /healthz')).body).toEqual({
        ...{ fleet: 'default', scope: 'operator', version: '0.0.0-test' },
        ...health,
      });
      expect(await call(harness, 'GET /healthz', { as: 'wrong' })).toMatchObject({ status: 401 });
    });

    it('is ok and ready where no node gives its health', async () => {
      harness = await start();
      expect((await call(harness, 'GET /healthz', { as: null })).body).toEqual({ status: 'ok' });
      expect(await call(harness, 'GET /readyz', { as: null })).toMatchObject({ status: 200, body: { status: 'ok' } });
    });

    it('is not ready when the database does not answer', async () => {
      const broken = async () => Promise.reject(new DatabaseError('busy', 'database is locked'));
      harness = await start({ wrap: (database) => ({ ...database, now: database.now, batch: broken, close: () => database.close() }) });
      const reply = await call(harness, 'GET /readyz', { as: null });
      expect(reply).toMatchObject({ status: 503, body: { code: 'unavailable' } });
      expect(reply.headers.get('retry-after')).toBe('1');
    });

    it('is not ready when the database lacks migrations, and names them', async () => {
      harness = await start();
      const ledger = (from: string, to: string) =>
        harness.database.batch([{ sql: `update d1_migrations set name = '${to}' where name = '${from}'`, params: [] }]);
      await ledger('0003_lan.sql', 'another');
      const reply = await call(harness, 'GET /readyz', { as: null });
      await ledger('another', '0003_lan.sql');
      expect(reply).toMatchObject({ status: 503, body: { detail: 'the database lacks migrations: 0003_lan.sql' } });
    });

    it('is not ready when nothing was ever applied to the database', async () => {
      const none = async () => Promise.reject(new DatabaseError('failed', 'no such table: d1_migrations'));
      harness = await start({ wrap: (database) => ({ ...database, now: database.now, batch: none, close: () => database.close() }) });
      const reply = await call(harness, 'GET /readyz', { as: null });
      expect(reply).toMatchObject({ status: 503, body: { detail: expect.stringContaining('lacks migrations: 0001_registry.sql, ') } });
    });

    it('counts in the text format of Prometheus', async () => {
      harness = await start();
      await register(harness, 'a');
      await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') });
      await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('zzz') });
      await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://a.test:1' } });
      const { headers, body } = await call(harness, 'GET /metrics');
      expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      const lines = String(body).split('\n');
      for (const line of [
        'bootplane_info{version="0.0.0-test",fleet="default"} 1',
        'bootplane_nodes{liveness="online"} 1',
        'bootplane_nodes{liveness="lost"} 0',
        'bootplane_leader_epoch{site="default"} 1',
        'bootplane_heartbeats_total 1',
        'bootplane_claims_total{granted="true"} 1',
        'bootplane_events_total{type="overlay.register"} 1',
        'bootplane_events_total{type="overlay.leader"} 1',
        'bootplane_http_requests_total{method="POST",route="/v1/nodes/heartbeat",status="204"} 1',
        'bootplane_http_requests_total{method="POST",route="/v1/nodes/heartbeat",status="404"} 1',
        '# TYPE bootplane_heartbeats_total counter',
      ]) {
        expect(lines).toContain(line);
      }
    });
  });
}
