import { describe, expect, it } from 'vitest';
import { withRetries } from '../../../functions/adapters/d1-retry.ts';
import { type Database, DatabaseError, type Statement } from '../../../shared/ports/database.ts';
import { createKeyStore } from '../../../shared/supervisor/store/keys.ts';
import { createNodeStore } from '../../../shared/supervisor/store/nodes.ts';
import { createPlacementStore } from '../../../shared/supervisor/store/placement.ts';
import { createStatusStore } from '../../../shared/supervisor/store/status.ts';
import { heartbeat } from '../../runtime/harness.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const LOST = new DatabaseError('busy', 'D1_ERROR: Network connection lost.');
const RESET = new DatabaseError('busy', 'D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.');
const OVERLOADED = new DatabaseError('busy', 'D1_ERROR: D1 DB is overloaded. Requests queued for too long.');

const read: Statement = { sql: '\n  select 1 as one', params: [] };
const write: Statement = { sql: 'update t set x = 1', params: [] };
const marked: Statement = { ...write, repeatable: true };

/** A database that fails with each of `errors` in turn and then answers; `slow_ms` pass in each try. */
function failing(errors: readonly Error[], slow_ms = 0) {
  const clock = new SimulatedClock();
  const waits: number[] = [];
  const log = recordingLog();
  let tries = 0;
  const now = { elapsed: 0 };
  const inner: Database = {
    now: 'now',
    batch: async (statements) => {
      now.elapsed += slow_ms;
      const error = errors[tries];
      tries += 1;
      if (error !== undefined) throw error;
      return statements.map(() => [{ one: 1 }]);
    },
    close: async () => undefined,
  };
  const database = withRetries(inner, {
    clock: {
      monotonic: () => now.elapsed,
      sleep: async (ms) => {
        waits.push(ms);
        now.elapsed += ms;
      },
    },
    // The longest wait that jitter may choose.
    random: { next: () => 0.999_999 },
    log,
  });
  return { clock, database, waits, tries: () => tries };
}

describe('D1 with retries', () => {
  it('tries a read again after a transient error, each time after a longer wait', async () => {
    const { database, tries, waits } = failing([LOST, RESET, LOST]);
    expect(await database.batch([read, read])).toEqual([[{ one: 1 }], [{ one: 1 }]]);
    expect(tries()).toBe(4);
    expect(waits).toEqual([49, 99, 199]);
  });

  it('gives up after four tries, with the error as it came', async () => {
    const { database, tries } = failing([LOST, LOST, LOST, RESET, LOST]);
    await expect(database.batch([read])).rejects.toBe(RESET);
    expect(tries()).toBe(4);
  });

  it('gives up when it took too long already', async () => {
    const { database, tries } = failing([LOST, LOST, LOST], 1_500);
    await expect(database.batch([read])).rejects.toBe(LOST);
    expect(tries()).toBe(2);
  });

  it('never repeats a write that does not say that it may run twice, nor a batch that has one', async () => {
    for (const statements of [[write], [read, write], [marked, write], [{ sql: 'with x as (select 1) delete from t', params: [] }]]) {
      const { database, tries } = failing([LOST]);
      await expect(database.batch(statements)).rejects.toBe(LOST);
      expect(tries()).toBe(1);
    }
  });

  it('repeats a write that says so', async () => {
    const { database, tries } = failing([LOST]);
    await database.batch([marked, read]);
    expect(tries()).toBe(2);
  });

  it.each([
    ['an overloaded database', OVERLOADED],
    ['a full one', new DatabaseError('full', 'D1_ERROR: Exceeded maximum DB size.')],
    ['a fault of the statement', new DatabaseError('failed', 'D1_ERROR: no such table: Network connection lost')],
    ['what is no error of a database', new TypeError('Network connection lost')],
  ])('fails at once with %s', async (_name, error) => {
    const { database, tries } = failing([error]);
    await expect(database.batch([read])).rejects.toBe(error);
    expect(tries()).toBe(1);
  });
});

describe('which statements of the stores may run twice', () => {
  const seen: Statement[] = [];
  const database: Database = {
    now: '0',
    batch: async (statements) => {
      seen.push(...statements);
      return statements.map(() => []);
    },
    close: async () => undefined,
  };
  const isRepeated = async (call: () => Promise<unknown>) => {
    seen.length = 0;
    await call();
    return seen.map(({ sql, repeatable }) => repeatable === true || /^\s*select\b/i.test(sql));
  };

  it('a heartbeat, a batch of them, a report, a placement and the look-up and use of a key do', async () => {
    const nodes = createNodeStore(database, { ttl_seconds: 15 });
    const placement = createPlacementStore(database, { ttl_seconds: 15 });
    const row = {
      fleet: 'f',
      site: 's',
      plan_hash: '',
      epoch: 1,
      leader_node_id: 'a',
      takeover: 0,
      placed: {},
      proxies: [],
      successors: [],
    };
    const token = { epoch: 1, node_id: 'a' };
    const report = { node_id: 'a', component: 'storage', action: 'reconcile', status: 'applied', dedupe: 'x' } as const;
    const calls = [
      () => nodes.heartbeat('f', heartbeat('a') as never, undefined),
      () => nodes.heartbeat('f', heartbeat('a') as never, token),
      () => nodes.heartbeats('f', 's', [heartbeat('a') as never]),
      () => createStatusStore(database).report('f', [report]),
      () => placement.members('f', 's'),
      () => placement.save(row),
      () => createKeyStore(database).use({ fleet: 'f', key_id: 'k' }, 'hash'),
      () => createKeyStore(database).join({ fleet: 'f', key_id: 'k' }, 'a'),
    ];
    for (const call of calls) expect((await isRepeated(call)).every(Boolean), String(call)).toBe(true);
  });
});
