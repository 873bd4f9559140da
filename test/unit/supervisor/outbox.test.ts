import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { EventRecord } from '../../../shared/contract/event.ts';
import type { Database, Statement } from '../../../shared/ports/database.ts';
import { BusError } from '../../../shared/ports/event-bus.ts';
import { createOutboxStore } from '../../../shared/supervisor/store/outbox.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { until } from '../../support/until.ts';
import { FOREVER_MS, OutboxWorld } from './outbox.harness.ts';

const AWAY = new BusError('backend_away', 'the broker is away');

let world: OutboxWorld;
beforeEach(async () => {
  world = new OutboxWorld();
  await world.listen();
});
afterEach(() => world.close());

const some = (heard: string[]) => (heard.length === 0 ? undefined : heard);
const idsHeard = async () => (await world.heard()).map(({ message_id }) => message_id);

describe('an event of the log', () => {
  it('goes to the bus as the event log shows it, under its own name', async () => {
    world.boot();
    const data = { leader_url: 'http://a:1', epoch: 3 };
    await world.write({ type: 'overlay.leader', site: 'paris', node_id: 'a', data, dedupe: 'leader/paris/3' });
    await world.clock.advance(0);
    const [heard] = await world.heard();
    expect(heard).toMatchObject({ key: 'overlay.leader', message_id: 'leader/paris/3' });
    expect(EventRecord.parse(heard?.body)).toEqual({
      cursor: '1',
      type: 'overlay.leader',
      site: 'paris',
      node_id: 'a',
      at: '2026-01-01T00:00:00.000Z',
      data,
    });
    expect(heard?.body).toMatchObject({ fleet: 'default', leader_url: 'http://a:1', epoch: 3 });
  });

  it('that was committed before the process started is published then, and no event twice', async () => {
    for (let n = 0; n < 250; n += 1) await world.write();
    world.boot();
    await world.clock.advance(0);
    expect(await idsHeard()).toEqual(Array.from({ length: 250 }, (_, n) => `event/${n + 1}`));
    world.crash();
    world.boot();
    await world.write();
    await world.clock.advance(0);
    expect(await idsHeard()).toEqual(['event/251']);
  });

  it('that nobody wants is done', async () => {
    world.bus.dropQueue('everything');
    world.boot();
    await world.write();
    await world.clock.advance(0);
    world.crash();
    await world.listen();
    world.boot();
    await world.clock.advance(60_000);
    expect(await world.heard()).toEqual([]);
  });

  it('waits while the bus is away, for as long as that takes, and each then comes once, in order', async () => {
    world.faults.bus = () => AWAY;
    world.boot();
    for (let n = 0; n < 20; n += 1) {
      await world.write();
      await world.clock.advance(60_000);
    }
    expect(await world.heard()).toEqual([]);
    world.faults.bus = () => undefined;
    await world.clock.advance(30_000);
    expect(await idsHeard()).toEqual(Array.from({ length: 20 }, (_, n) => `event/${n + 1}`));
    const told = world.log.lines.map(({ level, message }) => `${level}: ${message}`);
    expect(told).toEqual([
      'warn: overlay events wait in the event log until the bus takes them',
      'info: overlay events reach the bus again',
    ]);
  });

  it('is not asked for while nothing happens, and new ones do not hurry a bus that is away', async () => {
    let calls = 0;
    const counted = () => {
      calls += 1;
      return undefined;
    };
    world.faults.database = counted;
    world.boot();
    await world.clock.advance(3_599_999);
    expect(calls).toBeLessThanOrEqual(2);
    world.faults.bus = () => {
      calls += 1;
      return AWAY;
    };
    await world.write();
    await world.clock.advance(3_600_000);
    calls = 0;
    for (let n = 0; n < 50; n += 1) await world.write();
    await world.clock.advance(0);
    expect(calls).toBe(0);
  });

  it('with a name that is too long for a message gets its hash for an id, always the same', async () => {
    world.boot();
    await world.write({ dedupe: `report/${'ü'.repeat(200)}` });
    // Hashing is work of another thread, which simulated time knows nothing of.
    const [first] = await until('the event', async () => some(await idsHeard()));
    expect(first).toMatch(/^sha256\/[0-9a-f]{64}$/);
    await world.forget();
    await world.write({ dedupe: `report/${'ü'.repeat(200)}` });
    expect(await until('the same event', async () => some(await idsHeard()))).toEqual([first]);
    await world.write({ dedupe: `report/${'ü'.repeat(201)}` });
    expect(await until('another event', async () => some(await idsHeard()))).not.toEqual([first]);
  });

  it('that no bus can take is passed over, counted and told, and does not hold up the others', async () => {
    world.faults.bus = (method) => {
      if (method !== 'publish') return undefined;
      world.faults.bus = () => undefined;
      return new BusError('unsupported', 'too large');
    };
    world.boot();
    await world.write();
    await world.write();
    await world.clock.advance(0);
    expect(await idsHeard()).toEqual(['event/2']);
    expect(world.log.lines).toMatchObject([{ level: 'error', fields: { cursor: 1, type: 'overlay.register' } }]);
    expect(world.metrics.render()).toContain('bootplane_overlay_dropped_total{reason="refused"} 1\n');
  });
});

describe('the exchange', () => {
  it('is declared with the first event and not before', async () => {
    const other = new OutboxWorld();
    other.boot();
    await other.clock.advance(0);
    expect(other.bus.everything().exchanges).toEqual([]);
    await other.write();
    await other.clock.advance(0);
    expect(other.bus.everything().exchanges).toEqual([{ name: 'overlay', type: 'topic' }]);
    await other.close();
  });

  it('is declared again when it has been deleted, and nothing is lost by that', async () => {
    world.boot();
    await world.write();
    await world.clock.advance(0);
    let declared = 0;
    let isGone = true;
    world.faults.bus = (method) => {
      if (method === 'ensureExchange') declared += 1;
      if (method === 'ensureExchange') isGone = false;
      return method === 'publish' && isGone ? new BusError('no_such_exchange', 'there is no exchange overlay') : undefined;
    };
    await world.write();
    await world.clock.advance(0);
    expect(declared).toBe(1);
    expect(await idsHeard()).toEqual(['event/1', 'event/2']);
    expect(world.log.lines).toEqual([]);
  });

  it.each(['incompatible', 'unauthorized'] as const)('that can not be declared (%s) but is there takes the events', async (kind) => {
    world.faults.bus = (method) => (method === 'ensureExchange' ? new BusError(kind, 'PRECONDITION_FAILED') : undefined);
    world.boot();
    await world.write();
    await world.write();
    await world.clock.advance(0);
    expect(await idsHeard()).toEqual(['event/1', 'event/2']);
    expect(world.log.lines).toMatchObject([{ level: 'warn', fields: { error: 'PRECONDITION_FAILED' } }]);
  });
});

describe('the log', () => {
  const LIMITS = { kept: 5, waiting: 20 };

  beforeEach(async () => {
    await world.close();
    world = new OutboxWorld(LIMITS);
    await world.listen();
  });

  it('keeps what waits beyond what it keeps otherwise, and drops it when it has been published', async () => {
    world.faults.bus = () => AWAY;
    world.boot();
    for (let n = 0; n < 20; n += 1) await world.write();
    await world.outbox.trim();
    expect(await world.logged()).toHaveLength(20);
    world.faults.bus = () => undefined;
    await world.clock.advance(30_000);
    await world.outbox.trim();
    expect((await world.logged()).map(({ seq }) => seq)).toEqual([16, 17, 18, 19, 20]);
    expect(await idsHeard()).toHaveLength(20);
  });

  it('drops what is too old once it was published, and never the newest', async () => {
    await world.close();
    world = new OutboxWorld({ kept: 100, kept_ms: 60_000, waiting: 200 });
    await world.listen();
    world.faults.bus = () => AWAY;
    world.boot();
    for (let n = 0; n < 3; n += 1) await world.write();
    await world.clock.advance(61_000);
    await world.write();
    await world.outbox.trim();
    expect(await world.logged()).toHaveLength(4);
    world.faults.bus = () => undefined;
    await world.clock.advance(30_000);
    await world.outbox.trim();
    expect((await world.logged()).map(({ seq }) => seq)).toEqual([4]);
    await world.clock.advance(600_000);
    await world.outbox.trim();
    expect((await world.logged()).map(({ seq }) => seq)).toEqual([4]);
  });

  it('drops the oldest that wait beyond a number of them, counted and told', async () => {
    world.faults.bus = () => AWAY;
    for (let n = 0; n < 33; n += 1) await world.write();
    world.boot();
    await world.outbox.trim();
    await world.outbox.trim();
    expect((await world.logged())[0]).toEqual({ seq: 14, dedupe: 'event/14' });
    expect(world.metrics.render()).toContain('bootplane_overlay_dropped_total{reason="too_many"} 13\n');
    expect(world.log.lines.filter(({ level }) => level === 'error')).toMatchObject([{ fields: { dropped: 13 } }]);
    world.faults.bus = () => undefined;
    await world.clock.advance(30_000);
    expect((await idsHeard())[0]).toBe('event/14');
  });

  it('that begins anew, since its database was damaged, is published from its start', async () => {
    for (let n = 0; n < 4; n += 1) await world.write();
    world.boot();
    await world.clock.advance(0);
    await world.forget();
    await world.write();
    await world.clock.advance(0);
    expect(await idsHeard()).toEqual(['event/1', 'event/2', 'event/3', 'event/4', 'event/5']);
  });
});

it('no pass and no sweep reads a whole log', async () => {
  const ran: Statement[] = [];
  const observed: Database = {
    now: world.database.now,
    batch: (statements) => {
      ran.push(...statements);
      return world.database.batch(statements);
    },
    close: async () => undefined,
  };
  const store = createOutboxStore(observed, { kept: 5, kept_ms: FOREVER_MS, waiting: 20 });
  await store.published('default');
  await store.advance('default', 3);
  await store.trim('default');
  const explained = ran.map(({ sql, params }) => ({ sql: `explain query plan ${sql}`, params }));
  const steps = (await world.database.batch(explained)).flat().map(({ detail }) => String(detail));
  expect(steps.filter((step) => step.includes('events')).length).toBeGreaterThan(0);
  expect(steps.filter((step) => /^SCAN (events|outbox)/.test(step))).toEqual([]);
});

describe('a database of before', () => {
  it('publishes what is written from now on, and an empty one everything', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bootplane-outbox-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'supervisor.sqlite');
    const open = (count?: number) => openSqlite({ path, clock: world.clock, migrations: migrations.slice(0, count) });
    const before = open(3);
    const sql = `insert into events (fleet, seq, type, site, at, dedupe, data) values (?, ?, 'overlay.plan', 's', 0, ?, '{}')`;
    await before.batch([1, 2, 7].map((seq) => ({ sql, params: ['default', seq, `e${seq}`] })));
    await before.close();
    const after = open();
    const store = createOutboxStore(after, { kept: 5, kept_ms: FOREVER_MS, waiting: 20 });
    expect([await store.published('default'), await store.published('another')]).toEqual([7, 0]);
    await after.close();
  });
});

describe('a node that stops in order', () => {
  it('sends what is left before it ends', async () => {
    world.boot();
    await world.write();
    await world.stop();
    expect(await idsHeard()).toEqual(['event/1']);
  });

  it('is not held up by a bus that is away or does not answer', async () => {
    world.faults.bus = () => AWAY;
    world.boot();
    await world.write();
    await world.clock.advance(0);
    await world.stop();
    world.faults.bus = () => 'never';
    world.boot();
    await world.clock.advance(0);
    await world.stop();
    world.faults.bus = () => undefined;
    world.boot();
    await world.clock.advance(0);
    expect(await idsHeard()).toEqual(['event/1']);
  });

  it('does not take the end for an answer of a bus that has not answered', async () => {
    world.faults.bus = () => AWAY;
    world.boot();
    await world.write();
    await world.clock.advance(0);
    world.faults.bus = () => 'never';
    await world.clock.advance(1000);
    await world.stop();
    expect(world.log.lines.map(({ message }) => message)).not.toContain('overlay events reach the bus again');
  });
});
