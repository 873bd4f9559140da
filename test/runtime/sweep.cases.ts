import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DROPPED_AT_ONCE } from '../../shared/supervisor/store/sweep.ts';
import { bootstrapEvent } from './events.cases.ts';
import { age, call, type Harness, heartbeat, register, type Start } from './harness.ts';

const DAY_MS = 86_400_000;

/** Housekeeping: what it drops, and what it leaves. */
export function sweepCases(start: Start): void {
  describe('the sweep of nodes', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start({ retention: { lost_ms: 30 * DAY_MS, left_ms: 7 * DAY_MS } });
    });
    afterEach(() => harness.close());
    const nodes = async () => (await call(harness, 'GET /v1/nodes')).body.nodes.map(({ node_id }: { node_id: string }) => node_id);
    const drops = async () =>
      (await call(harness, 'GET /v1/events')).body.events.filter(
        ({ type, data }: { type: string; data: object }) => type === 'overlay.leave' && 'dropped' in data,
      );

    it('drops who was lost or has left for long, with the status, and tells of each once', async () => {
      for (const id of ['heard', 'lost', 'left', 'left-now']) await register(harness, id, { site: 'shop' });
      await call(harness, 'POST /v1/bootstrap/events', { body: bootstrapEvent('lost') });
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'left' } });
      await age(harness, 8 * DAY_MS);
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'left-now' } });
      await age(harness, 23 * DAY_MS);
      await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('heard') });
      await age(harness, -17 * DAY_MS);
      await harness.supervisor.sweep();
      expect(await nodes()).toEqual(['heard', 'left-now', 'lost']);
      await age(harness, 17 * DAY_MS);
      await harness.supervisor.sweep();
      expect(await nodes()).toEqual(['heard']);
      const told = await drops();
      expect(told).toMatchObject([
        { node_id: 'left', site: 'shop', data: { reason: 'left', dropped: true } },
        { node_id: 'left-now', data: { reason: 'left' } },
        { node_id: 'lost', site: 'shop', data: { reason: 'lost', last_heard_at: expect.stringMatching(/^\d{4}-.*Z$/) } },
      ]);
      expect(new Set(told.map(({ cursor }: { cursor: string }) => cursor)).size).toBe(3);
      expect(await call(harness, 'GET /v1/bootstrap/status?node_id=lost')).toMatchObject({ status: 404 });
      const [status] = await harness.database.batch([{ sql: 'select node_id from component_status', params: [] }]);
      expect(status).toEqual([]);
      await harness.supervisor.sweep();
      expect(await drops()).toHaveLength(3);
    });

    it('lets a node that comes back register as it did the first time, and be dropped and told of again', async () => {
      await register(harness, 'a');
      await age(harness, 31 * DAY_MS);
      await harness.supervisor.sweep();
      expect(await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') })).toMatchObject({ body: { code: 'unknown_node' } });
      await register(harness, 'a');
      expect(await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') })).toMatchObject({ status: 204 });
      await age(harness, 32 * DAY_MS);
      await harness.supervisor.sweep();
      expect(await drops()).toHaveLength(2);
    });

    it('keeps the nodes that their leader spoke for lately', async () => {
      await register(harness, 'a');
      await age(harness, 31 * DAY_MS);
      const { now } = harness.database;
      await harness.database.batch([
        { sql: `update nodes set uplink_epoch = 7`, params: [] },
        {
          sql: `insert into leases (fleet, site, node_id, url, epoch, expires_at, renewals, uplink_epoch, uplinked_at)
            values ('default', 'default', 'b', 'http://b.test:1', 7, ${now} + 5000, 0, 7, ${now})`,
          params: [],
        },
      ]);
      await harness.supervisor.sweep();
      expect(await nodes()).toEqual(['a']);
    });

    it('does so for every fleet of the database, each with its own events', async () => {
      const { now } = harness.database;
      await harness.database.batch(
        ['one', 'two'].map((fleet) => ({
          sql: `insert into nodes (fleet, node_id, site, role, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
            select '${fleet}', value, 'default', 'worker', 'h', '192.0.2.1', '[]', '{}', '[]', '[]', 0, ${now} - ${40 * DAY_MS} from json_each('["a","b"]')`,
          params: [],
        })),
      );
      await harness.supervisor.sweep();
      const [left, events] = await harness.database.batch([
        { sql: 'select fleet, node_id from nodes', params: [] },
        { sql: 'select fleet, seq, node_id from events order by fleet, seq', params: [] },
      ]);
      expect(left).toEqual([]);
      expect(events).toEqual(
        ['one', 'two'].flatMap((fleet) => [
          { fleet, seq: 1, node_id: 'a' },
          { fleet, seq: 2, node_id: 'b' },
        ]),
      );
    });

    it('drops so many at once and no more; the next run goes on', async () => {
      const ids = JSON.stringify(Array.from({ length: DROPPED_AT_ONCE + 3 }, (_, index) => `n${index}`));
      await harness.database.batch([
        {
          sql: `insert into nodes (fleet, node_id, site, role, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
            select 'default', value, 'default', 'worker', 'h', '192.0.2.1', '[]', '{}', '[]', '[]', 0, 0 from json_each(?)`,
          params: [ids],
        },
      ]);
      const left = async () => (await harness.database.batch([{ sql: 'select count(*) as n from nodes', params: [] }]))[0]?.[0]?.n;
      await harness.supervisor.sweep();
      expect(await left()).toBe(3);
      await harness.supervisor.sweep();
      expect(await left()).toBe(0);
    });
  });

  describe('the sweep of events', () => {
    let harness: Harness;
    afterEach(() => harness.close());
    const write = (fleet: string, first: number, ages_days: readonly number[]) =>
      harness.database.batch(
        ages_days.map((days, index) => ({
          sql: `insert into events (fleet, seq, type, site, at, dedupe, data)
            values ('${fleet}', ${first + index}, 'overlay.register', 's', ${harness.database.now} - ${days * DAY_MS}, '${first + index}', '{}')`,
          params: [],
        })),
      );
    const kept = async (fleet: string) => {
      const [rows] = await harness.database.batch([{ sql: `select seq from events where fleet = '${fleet}' order by seq`, params: [] }]);
      return rows?.map(({ seq }) => seq);
    };

    it('drops those that are too old and those beyond the number, of each fleet by itself', async () => {
      harness = await start({ retention: { events: 3, events_ms: 10 * DAY_MS } });
      await write('aged', 5, [30, 11, 9]);
      await write('all-old', 1, [30, 20]);
      await write('full', 1, [5, 5, 5, 4, 3]);
      await write('young', 1, [1]);
      await harness.supervisor.sweep();
      expect([await kept('aged'), await kept('all-old'), await kept('full'), await kept('young')]).toEqual([[7], [2], [3, 4, 5], [1]]);
    });

    it('keeps the newest event, however old it is, so that no cursor comes twice', async () => {
      harness = await start({ retention: { events_ms: DAY_MS } });
      await write('default', 41, [9]);
      await harness.supervisor.sweep();
      await register(harness, 'a');
      expect(await kept('default')).toEqual([41, 42]);
    });

    it('stops at the first event that is young enough: a clock that was wrong for a while drops nothing behind it', async () => {
      harness = await start({ retention: { events_ms: 10 * DAY_MS } });
      await write('f', 1, [20, 1, 9000, 1]);
      await harness.supervisor.sweep();
      expect(await kept('f')).toEqual([2, 3, 4]);
    });
  });
}
