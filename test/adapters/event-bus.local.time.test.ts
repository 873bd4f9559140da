import { describe, expect, it } from 'vitest';
import { clock, countRows, idsIn, open, queue, send } from './event-bus.local.support.ts';

describe('local bus, time', () => {
  it('lets nothing expire while the clock is not trusted', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work', { ttl_ms: 1000 }));
    await send(bus, 'work', 'kept');
    clock.jump(clock.now() + 86_400_000, false);
    await clock.advance(60_000);
    expect(await bus.queueStats('work')).toEqual({ ready: 1, unacked: 0 });
    expect(await idsIn(bus, 'work')).toEqual(['kept']);
  });

  it('gives what came without trusted time its whole lifetime from the first trusted moment', async () => {
    const bus = open();
    const start = clock.now();
    await bus.ensureQueue(queue('work', { ttl_ms: 60_000 }));
    clock.jump(0, false);
    await send(bus, 'work', 'from 1970');
    clock.jump(start, true);
    await clock.advance(15_000);
    expect((await bus.queueStats('work')).ready).toBe(1);
    await clock.advance(40_000);
    expect((await bus.queueStats('work')).ready).toBe(1);
    await clock.advance(21_000);
    expect((await bus.queueStats('work')).ready).toBe(0);
  });

  it('moves what expires to its dead-letter queue when nobody asks for either', async () => {
    const bus = open();
    await bus.ensureExchange({ name: 'dead', type: 'fanout' });
    await bus.ensureQueue(queue('delay', { ttl_ms: 5000, dlx: 'dead' }));
    await bus.ensureQueue(queue('work'));
    await bus.ensureBinding({ exchange: 'dead', queue: 'work', key: '', arguments: {} });
    const arrivals: number[] = [];
    const begin = clock.now();
    const consumer = await bus.consume('work', async () => {
      arrivals.push(clock.now() - begin);
    });
    await send(bus, 'delay', 'later');
    await clock.advance(30_000);
    expect(arrivals).toEqual([5000]);
    await consumer.stop();
  });

  it('expires more messages than it takes out at a time', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work', { ttl_ms: 1000 }));
    await Promise.all(Array.from({ length: 2500 }, (_, index) => send(bus, 'work', `${index}`)));
    await clock.advance(2000);
    expect(await idsIn(bus, 'work')).toEqual([]);
    await clock.advance(1);
    await bus.close();
    expect([countRows('entries'), countRows('messages')]).toEqual([0, 0]);
  });

  it('applies a shorter lifetime to what a queue holds, and a longer one too', async () => {
    const bus = open();
    await bus.ensureQueue(queue('short', { ttl_ms: 60_000 }));
    await bus.ensureQueue(queue('long', { ttl_ms: 10_000 }));
    await bus.ensureQueue(queue('open', { ttl_ms: 10_000 }));
    for (const name of ['short', 'long', 'open']) await send(bus, name, name);
    await clock.advance(5000);
    await bus.ensureQueue(queue('short', { ttl_ms: 4000 }));
    await bus.ensureQueue(queue('long', { ttl_ms: 60_000 }));
    await bus.ensureQueue(queue('open'));
    await clock.advance(20_000);
    expect((await bus.queueStats('short')).ready).toBe(0);
    expect((await bus.queueStats('long')).ready).toBe(1);
    expect((await bus.queueStats('open')).ready).toBe(1);
  });

  it('hands out a delivery that has run out to one of those who ask at once', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work'));
    await send(bus, 'work', 'one');
    await bus.receive('work', { visibility_ms: 1000 });
    clock.jump(clock.now() - 3_600_000, false);
    await clock.advance(999);
    expect(await bus.receive('work')).toEqual([]);
    await clock.advance(1);
    const answers = await Promise.all([bus.receive('work'), bus.receive('work'), bus.receive('work')]);
    expect(answers.flat().map(({ message_id }) => message_id)).toEqual(['one']);
  });

  it('wakes a waiting receiver when a delivery has run out', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work'));
    await send(bus, 'work', 'one');
    await bus.receive('work', { visibility_ms: 1000 });
    const waiting = bus.receive('work', { wait_ms: 60_000 });
    await clock.advance(1000);
    expect((await waiting)[0]).toMatchObject({ message_id: 'one', redelivered: true });
  });

  it('does not keep the machine busy with a message that no handler can take', async () => {
    const bus = open();
    await bus.ensureQueue(queue('work'));
    let calls = 0;
    const consumer = await bus.consume('work', async () => {
      calls += 1;
      throw new Error('never');
    });
    await send(bus, 'work', 'poison');
    await clock.advance(10_000);
    expect(calls).toBeGreaterThan(8);
    expect(calls).toBeLessThan(30);
    const stopping = consumer.stop();
    await clock.advance(2000);
    await stopping;
    expect(await bus.queueStats('work')).toEqual({ ready: 1, unacked: 0 });
  });
});
