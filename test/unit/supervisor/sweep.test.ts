import { afterAll, describe, expect, it } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { RETENTION_DEFAULTS, toRetention } from '../../../shared/decide/retention.ts';
import type { Database, Statement } from '../../../shared/ports/database.ts';
import { createSupervisor } from '../../../shared/supervisor/app.ts';
import { createSweepStore } from '../../../shared/supervisor/store/sweep.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const DAY_MS = 86_400_000;
const clock = new SimulatedClock();
const database = openSqlite({ path: ':memory:', clock, migrations });
afterAll(() => database.close());

const ran: Statement[] = [];
const observed: Database = {
  now: database.now,
  batch: (statements) => {
    ran.push(...statements);
    return database.batch(statements);
  },
  close: async () => undefined,
};

async function planOf({ sql, params }: Statement): Promise<string[]> {
  const [rows = []] = await database.batch([{ sql: `explain query plan ${sql}`, params }]);
  return rows.map(({ detail }) => String(detail));
}

describe('housekeeping', () => {
  const store = createSweepStore(observed, toRetention(RETENTION_DEFAULTS));

  it('looks at the ends of each log, and reads none of them whole', async () => {
    ran.length = 0;
    await store.trimEvents();
    const steps = (await Promise.all(ran.map(planOf))).flat();
    expect(steps.filter((step) => /^SCAN events/.test(step))).toEqual([]);
    expect(steps.filter((step) => step.includes('SEARCH events')).length).toBeGreaterThan(0);
  });

  it('finds each node that it drops by its key', async () => {
    ran.length = 0;
    await store.dropNodes([{ fleet: 'default', node_id: 'a', site: 'default', heard_at: 0, reason: 'lost' }]);
    const steps = (await Promise.all(ran.map(planOf))).flat();
    expect(steps.filter((step) => /^SCAN (nodes|component_status|events)/.test(step))).toEqual([]);
  });

  it('leaves a node that was heard after it was chosen', async () => {
    const insert = `insert into nodes (fleet, node_id, site, role, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
      values ('default', 'a', 's', 'worker', 'h', '192.0.2.1', '[]', '{}', '[]', '[]', 0, 0)`;
    await database.batch([{ sql: insert, params: [] }]);
    const gone = await store.goneNodes();
    expect(gone).toMatchObject([{ fleet: 'default', node_id: 'a', heard_at: 0, reason: 'lost' }]);
    await database.batch([{ sql: `update nodes set heard_at = ${database.now}`, params: [] }]);
    expect(await store.dropNodes(gone)).toEqual([]);
    expect((await database.batch([{ sql: 'select node_id from nodes', params: [] }]))[0]).toEqual([{ node_id: 'a' }]);
  });
});

describe('the sweep of a Supervisor', () => {
  const sweeper = (over: Database = database) => {
    const log = recordingLog();
    const fleets = { default_fleet: 'default', keysOf: async () => undefined };
    const { sweep } = createSupervisor({ database: over, clock, random: seededRandom(), log, fleets, version: '0', ttl_seconds: 15 });
    return { sweep, log };
  };

  it('waits while the clock is not trusted: by one that comes from 1970 everybody has been lost for long', async () => {
    clock.jump(clock.now() + 400 * DAY_MS, false);
    await sweeper().sweep();
    expect((await database.batch([{ sql: 'select node_id from nodes', params: [] }]))[0]).toHaveLength(1);
    clock.jump(clock.now(), true);
    await sweeper().sweep();
    expect((await database.batch([{ sql: 'select node_id from nodes', params: [] }]))[0]).toEqual([]);
  });

  it('does its other parts when one fails, and tells of it', async () => {
    const done: string[] = [];
    const { sweep, log } = sweeper({
      ...database,
      now: database.now,
      batch: async (statements) => {
        const sql = statements.map((one) => one.sql).join();
        if (sql.includes('delete from events')) throw new Error('the log is locked');
        if (sql.includes('from nodes')) done.push('nodes');
        return database.batch(statements);
      },
      close: async () => undefined,
    });
    await expect(sweep()).rejects.toThrow('the log is locked');
    expect(done).toEqual(['nodes']);
    expect(log.lines.filter(({ level }) => level === 'warn')).toMatchObject([{ fields: { part: 'events' } }]);
  });
});
