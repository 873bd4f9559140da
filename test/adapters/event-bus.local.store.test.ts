import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { clock, countRows, folder, idsIn, open, path, queue, rejection, send } from './event-bus.local.support.ts';

describe('local bus, restart', () => {
  it('keeps topology and messages, and delivers again what was not settled', async () => {
    const first = open();
    await first.ensureExchange({ name: 'events', type: 'topic' });
    await first.ensureQueue(queue('work', { ttl_ms: 60_000, dlx: 'events', type: 'quorum', arguments: { 'x-max-length': 9 } }));
    await first.ensureBinding({ exchange: 'events', queue: 'work', key: 'a.#', arguments: {} });
    for (const id of ['1', '2', '3']) await first.publish({ exchange: 'events', key: 'a.b', message_id: id, body: new Uint8Array(3) });
    const [one, two] = await first.receive('work', { limit: 2 });
    await first.ack('work', one!.token);
    await first.close();

    const second = open();
    const wanted = {
      exchanges: ['events'],
      queues: ['work'],
      bindings: [{ exchange: 'events', queue: 'work', key: 'a.#', arguments: {} }],
    };
    expect(await second.readTopology(wanted)).toMatchObject({
      exchanges: [{ name: 'events', type: 'topic' }],
      queues: [queue('work', { ttl_ms: 60_000, dlx: 'events', type: 'quorum', arguments: { 'x-max-length': 9 } })],
      bindings: wanted.bindings,
    });
    await expect(second.ack('work', two!.token)).rejects.toEqual(rejection('unknown_delivery'));
    const again = await second.receive('work', { limit: 10 });
    expect(again.map(({ message_id, redelivered }) => [message_id, redelivered])).toEqual([
      ['2', true],
      ['3', false],
    ]);
  });

  it('remembers message ids, as many as its window holds', async () => {
    const first = open({ deduplication_window: 3 });
    await first.ensureQueue(queue('work'));
    for (const id of ['1', '2', '3', '4']) await send(first, 'work', id);
    await first.close();
    const second = open({ deduplication_window: 3 });
    expect(await send(second, 'work', '2')).toEqual({ routed: true });
    await send(second, 'work', '1');
    expect(await idsIn(second, 'work')).toEqual(['1', '2', '3', '4', '1']);
    await second.close();
    expect(countRows('published')).toBe(3);
  });

  it('ages messages while it is closed', async () => {
    const first = open();
    await first.ensureQueue(queue('work', { ttl_ms: 1000 }));
    await send(first, 'work', 'old');
    await first.close();
    await clock.advance(2000);
    const second = open();
    expect(await second.queueStats('work')).toEqual({ ready: 0, unacked: 0 });
  });

  it('keeps the file to one process and says who is in the way', async () => {
    open();
    expect(() => open()).toThrow(rejection('failed', 'used by another process'));
  });

  it('keeps the file private', async () => {
    await open().ensureQueue(queue('work'));
    expect(statSync(path).mode & 0o077).toBe(0);
  });

  it('refuses a damaged file and one of another version', async () => {
    const damaged = join(folder, 'damaged.db');
    writeFileSync(damaged, 'no database at all'.repeat(100));
    expect(() => open({ path: damaged })).toThrow(rejection('failed', 'damaged'));
    await open().close();
    const database = new Sqlite(path);
    database.pragma('user_version = 99');
    database.close();
    expect(() => open()).toThrow(rejection('failed', 'another version'));
  });
});

describe('local bus, store', () => {
  it('writes nothing when what is declared is there', async () => {
    const bus = open();
    const declare = async () => {
      await bus.ensureExchange({ name: 'events', type: 'direct' });
      await bus.ensureQueue(queue('work', { ttl_ms: 1000, arguments: { a: 1, b: 2 } }));
      await bus.ensureBinding({ exchange: 'events', queue: 'work', key: 'k', arguments: {} });
      await bus.ensureConfirms();
    };
    await declare();
    await send(bus, 'work', 'one');
    const written = statSync(`${path}-wal`).size;
    await declare();
    expect(statSync(`${path}-wal`).size).toBe(written);
  });

  it('declares and reads 10,000 queues and bindings', async () => {
    const bus = open();
    const names = Array.from({ length: 10_000 }, (_, index) => `q-${index}`);
    const bindings = names.map((name) => ({ exchange: 'events', queue: name, key: name, arguments: {} }));
    await bus.ensureExchange({ name: 'events', type: 'direct' });
    await Promise.all([...names.map((name) => bus.ensureQueue(queue(name))), ...bindings.map((one) => bus.ensureBinding(one))]);
    const topology = await bus.readTopology({ exchanges: ['events'], queues: names, bindings });
    expect([topology.queues.length, topology.bindings.length]).toEqual([10_000, 10_000]);
    expect(await bus.publish({ exchange: 'events', key: 'q-9999', message_id: 'm', body: new Uint8Array() })).toEqual({ routed: true });
    expect((await bus.queueStats('q-9999')).ready).toBe(1);
  });

  it('stores a body once for all its queues and removes it with the last', async () => {
    const bus = open();
    await bus.ensureExchange({ name: 'all', type: 'fanout' });
    for (const name of ['a', 'b', 'c']) {
      await bus.ensureQueue(queue(name));
      await bus.ensureBinding({ exchange: 'all', queue: name, key: '', arguments: {} });
    }
    await bus.publish({ exchange: 'all', key: '', message_id: 'm', body: new Uint8Array(5) });
    for (const name of ['a', 'b']) await bus.ack(name, (await bus.receive(name))[0]!.token);
    await bus.close();
    expect([countRows('entries'), countRows('messages')]).toEqual([1, 1]);
    const again = open();
    await again.ack('c', (await again.receive('c'))[0]!.token);
    await again.close();
    expect([countRows('entries'), countRows('messages')]).toEqual([0, 0]);
  });

  it('fails one of a group alone', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work'));
    const settled = await Promise.allSettled([
      send(bus, 'work', '1'),
      bus.publish({ exchange: 'missing', key: '', message_id: 'x', body: new Uint8Array() }),
      bus.ensureQueue(queue('work', { dlx: 'other' })),
      send(bus, 'work', '2'),
      bus.ensureQueue(queue('late')),
      send(bus, 'late', '3'),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
    expect(settled[5]).toMatchObject({ value: { routed: true } });
    expect(await idsIn(bus, 'work')).toEqual(['1', '2']);
  });

  it('says full when there is no room, keeps what it had, and goes on once there is room', async () => {
    const bus = open({ max_bytes: 400_000 });
    await bus.ensureQueue(queue('work'));
    const sizes = [1000, 5_000_000, 2000];
    const settled = await Promise.allSettled(sizes.map((bytes, index) => send(bus, 'work', `${index}`, bytes)));
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(settled[1]).toMatchObject({ reason: rejection('full', 'room') });

    const filling = await Promise.allSettled(Array.from({ length: 40 }, (_, index) => send(bus, 'work', `fill-${index}`, 20_000)));
    expect(filling.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
    for (const delivery of await bus.receive('work', { limit: 1000 })) await bus.ack('work', delivery.token);
    expect(await send(bus, 'work', 'after', 20_000)).toEqual({ routed: true });
    expect(await idsIn(bus, 'work')).toEqual(['after']);
  });

  it('takes the body as it was when publish was called', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work'));
    const body = Uint8Array.of(1, 2, 3);
    const publishing = bus.publish({ exchange: '', key: 'work', message_id: 'm', body });
    body.fill(9);
    await publishing;
    expect([...(await bus.receive('work'))[0]!.body]).toEqual([1, 2, 3]);
  });

  it('hands out at most 32 MiB at a time', async () => {
    const bus = open({ path: ':memory:' });
    await bus.ensureQueue(queue('work'));
    for (const id of ['1', '2', '3']) await send(bus, 'work', id, 15 * 1024 * 1024);
    expect((await bus.receive('work', { limit: 3 })).length).toBe(2);
    expect((await bus.receive('work', { limit: 3 })).length).toBe(1);
  });

  it.each([
    ['a body over 16 MiB', { body: new Uint8Array(16 * 1024 * 1024 + 1) }, 'unsupported'],
    ['no message_id', { message_id: '' }, 'bad_name'],
    ['a key over 255 bytes', { key: 'ü'.repeat(128) }, 'bad_name'],
    ['a key that is no Unicode', { key: 'a\ud800' }, 'bad_name'],
    ['a header that is not finite', { headers: { n: Number.NaN } }, 'unsupported'],
    ['headers over 64 KiB', { headers: { long: 'x'.repeat(70_000) } }, 'unsupported'],
  ] as const)('refuses %s', async (_what, difference, kind) => {
    const bus = open({ path: ':memory:' });
    const message = { exchange: '', key: 'k', message_id: 'm', body: new Uint8Array(), ...difference };
    await expect(bus.publish(message)).rejects.toEqual(rejection(kind));
  });

  it('refuses options out of range and an unknown x-match', async () => {
    const bus = open({ path: ':memory:' });
    await bus.ensureQueue(queue('work'));
    await bus.ensureExchange({ name: 'h', type: 'headers' });
    for (const options of [{ limit: 0 }, { limit: 1001 }, { wait_ms: -1 }, { visibility_ms: 0.5 }]) {
      await expect(bus.receive('work', options)).rejects.toEqual(rejection('unsupported'));
    }
    const binding = { exchange: 'h', queue: 'work', key: '', arguments: { 'x-match': 'some' } };
    await expect(bus.ensureBinding(binding)).rejects.toEqual(rejection('incompatible', 'x-match'));
  });
});

describe('local bus, deaths and close', () => {
  it('counts deaths by queue and reason, newest first, and keeps the first', async () => {
    const bus = open();
    await bus.ensureExchange({ name: 'dead', type: 'fanout' });
    await bus.ensureQueue(queue('work', { dlx: 'dead', ttl_ms: 1000 }));
    await bus.ensureBinding({ exchange: 'dead', queue: 'work', key: '', arguments: {} });
    await bus.publish({ exchange: '', key: 'work', message_id: 'm', body: new Uint8Array(), headers: { 'x-death': 'not ours' } });
    for (const _round of [1, 2]) await bus.reject('work', (await bus.receive('work'))[0]!.token, { requeue: false });
    const [delivery] = await bus.receive('work');
    expect(JSON.parse(String(delivery!.headers['x-death']))).toEqual([
      { queue: 'work', reason: 'rejected', count: 2, exchange: '', routing_key: 'work' },
    ]);
    expect(delivery!.headers).toMatchObject({
      'x-first-death-queue': 'work',
      'x-first-death-reason': 'rejected',
      'x-first-death-exchange': '',
    });
  });

  it('waits at close for a handler, lets it publish and settle, and ends waiting receivers', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work'));
    await bus.ensureQueue(queue('results'));
    let finish = () => {};
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    await bus.consume('work', async ({ message_id }) => {
      await gate;
      await send(bus, 'results', `${message_id}-done`);
    });
    await send(bus, 'work', 'job');
    await clock.advance(1);
    const waiting = bus.receive('results', { wait_ms: 60_000 });
    await clock.advance(1);
    const closing = bus.close();
    expect(await waiting).toEqual([]);
    finish();
    await closing;
    const again = open();
    expect(await again.queueStats('work')).toEqual({ ready: 0, unacked: 0 });
    expect(await idsIn(again, 'results')).toEqual(['job-done']);
  });
});
