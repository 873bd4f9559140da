import { describe, expect, test } from 'vitest';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import { startAmqpProxy } from '../support/servers/amqp-proxy.ts';
import { whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { until } from '../support/until.ts';
import { rabbitTests } from './event-bus.rabbitmq.support.ts';

const why = whyNoRabbitMq();
if (why !== undefined) test.skip(`faults of RabbitMQ (${why})`, () => {});

const encode = (text: string) => new TextEncoder().encode(text);
const kindOf = (error: unknown) => (error instanceof Error && 'kind' in error ? error.kind : String(error));

describe.skipIf(why !== undefined)('faults of a real RabbitMQ', () => {
  const rabbit = rabbitTests();
  const queue = async (bus: EventBus, name: string, options: Record<string, string | number> = {}) => {
    await bus.ensureQueue({ name, type: 'classic', arguments: options });
    return name;
  };
  const send = (bus: EventBus, key: string, message_id: string) => bus.publish({ exchange: '', key, message_id, body: encode(message_id) });
  /** Publishes a message until a queue has it. */
  const insist = (bus: EventBus, key: string, message_id: string) =>
    until(`the confirm of ${message_id}`, async () => (await send(bus, key, message_id)).routed || undefined).catch((error) =>
      telling(error),
    );
  /** What is to be known where something did not come. */
  const outlook = async () => {
    const queues = await rabbit.server.ctl('list_queues', 'name', 'state', 'messages_ready', 'messages_unacknowledged', 'consumers');
    return `${queues}\n${JSON.stringify(rabbit.lines.slice(-20))}`;
  };
  const telling = async (error: Error) => {
    throw new Error(`${error.message}\n${await outlook()}`);
  };

  test('killed and started again in the middle of publishing: nothing confirmed is lost, consumers go on', async () => {
    const bus = rabbit.open();
    const [stored, handled] = [await queue(bus, 'stored'), await queue(bus, 'handled')];
    await rabbit.server.persist();
    const seen = new Set<string>();
    const consumer = await bus.consume(handled, async ({ message_id }) => void seen.add(message_id), { prefetch: 10 });
    const confirmed: string[] = [];
    const failures = new Set<unknown>();
    const stopping = new AbortController();
    const publishing = Array.from({ length: 8 }, async (_, worker) => {
      for (let number = 0; !stopping.signal.aborted; number += 1) {
        const id = `${worker}-${number}`;
        await send(bus, stored, id).then(
          () => confirmed.push(id),
          (error) => {
            failures.add(kindOf(error));
            return new Promise((resolve) => setTimeout(resolve, 20));
          },
        );
      }
    });
    await until('some confirms', async () => confirmed.length > 200);
    await rabbit.server.kill();
    await until('a failure', async () => failures.size > 0);
    const before = confirmed.length;
    await rabbit.server.start();
    await until('more confirms', async () => confirmed.length > before + 200);
    stopping.abort();
    await Promise.all(publishing);
    expect([...failures]).toEqual(['backend_away']);

    const found = new Set<string>();
    for (;;) {
      // Its connection is another one than that of the publishes, and may come back later.
      const taken = await until('an answer', () => bus.receive(stored, { limit: 500 }));
      if (taken.length === 0) break;
      for (const { message_id } of taken) found.add(message_id);
    }
    expect(confirmed.filter((id) => !found.has(id))).toEqual([]);

    await insist(bus, handled, 'after the restart');
    await until('the consumer', async () => seen.has('after the restart')).catch(telling);
    await consumer.stop();
  });

  test('a line that is cut gives back what was held, and its tokens are worth nothing', async () => {
    const proxy = await startAmqpProxy(rabbit.server.port);
    const bus = rabbit.open({ url: rabbit.server.url({ port: proxy.port }) });
    const held = await queue(bus, 'held');
    await send(bus, held, 'one');
    const [first] = await bus.receive(held);
    proxy.cut();
    const again = await until('the message', async () => (await bus.receive(held, { wait_ms: 1000 }))[0]);
    expect(again).toMatchObject({ message_id: 'one', redelivered: true });
    await expect(bus.ack(held, first?.token ?? '')).rejects.toMatchObject({ kind: 'unknown_delivery' });
    await bus.ack(held, again.token);
    expect(rabbit.lines.some(({ message }) => message === 'The connection to RabbitMQ was lost')).toBe(true);
    await bus.close();
    await proxy.stop();
  });

  test('what is published at once and cut in the middle arrives from the first on without a gap, however much of it had to wait', async () => {
    const proxy = await startAmqpProxy(rabbit.server.port);
    const bus = rabbit.open({ url: rabbit.server.url({ port: proxy.port }) });
    const long = await queue(bus, 'long');
    const all = Array.from({ length: 20_000 }, (_, index) => send(bus, long, `${index}`));
    const outcomes = Promise.allSettled(all);
    await until('some', async () => (proxy.counts()['basic.publish'] ?? 0) > 1000);
    proxy.cut();
    const taken = (await outcomes).map(({ status }) => status === 'fulfilled');
    expect(taken.lastIndexOf(true)).toBeLessThan(taken.indexOf(false));
    // What was on its way then and was not confirmed may be there, too.
    const { ready } = await rabbit.open().queueStats(long);
    expect(ready).toBeGreaterThanOrEqual(taken.indexOf(false));
    expect(ready).toBeLessThan(taken.indexOf(false) + 4097);
    await bus.close();
    await proxy.stop();
  });

  test('short of disk: publishes are refused as full, the rest goes on, and with room they are taken again', async () => {
    const bus = rabbit.open();
    const full = await queue(bus, 'disk');
    await send(bus, full, 'before');
    await rabbit.server.ctl('set_disk_free_limit', '99999GB');
    // The first one after the alarm makes the broker say so, and waits.
    const waiting = send(bus, full, 'waits');
    await until('the alarm', async () => rabbit.lines.some(({ message }) => message === 'RabbitMQ takes no messages at present'));
    await expect(send(bus, full, 'refused')).rejects.toMatchObject({ kind: 'full', message: expect.stringContaining('low on disk') });
    await queue(bus, 'declared-meanwhile');
    const [taken] = await bus.receive(full);
    await bus.ack(full, taken?.token ?? '');
    expect(taken?.message_id).toBe('before');
    await rabbit.server.ctl('set_disk_free_limit', '50MB');
    expect(await waiting).toEqual({ routed: true });
    await insist(bus, full, 'after');
  });

  test('a queue that refuses when it is full says so', async () => {
    const bus = rabbit.open();
    const small = await queue(bus, 'small', { 'x-max-length': 1, 'x-overflow': 'reject-publish' });
    await send(bus, small, 'fits');
    await expect(send(bus, small, 'does not')).rejects.toMatchObject({ kind: 'full' });
  });

  test('an exchange that is deleted under the publisher costs its own messages only', async () => {
    const [bus, other] = [rabbit.open(), rabbit.open()];
    const bound = await queue(bus, 'kept');
    for (const name of ['gone', 'stays']) {
      await bus.ensureExchange({ name, type: 'fanout' });
      await bus.ensureBinding({ exchange: name, queue: bound, key: '', arguments: {} });
      await other.publish({ exchange: name, key: '', message_id: `first through ${name}`, body: encode('') });
    }
    const response = await fetch(`${rabbit.server.management_url}/api/exchanges/%2F/gone`, {
      method: 'DELETE',
      headers: { authorization: `Basic ${btoa('guest:guest')}` },
    });
    expect(response.ok).toBe(true);
    const through = (exchange: string, number: number) =>
      other.publish({ exchange, key: '', message_id: `${exchange} ${number}`, body: encode('') }).then(({ routed }) => routed, kindOf);
    const numbers = Array.from({ length: 50 }, (_, number) => number);
    const answers = await Promise.all(numbers.flatMap((number) => [through('stays', number), through('gone', number)]));
    expect(answers.filter((_, index) => index % 2 === 0)).toEqual(numbers.map(() => true));
    expect(new Set(answers.filter((_, index) => index % 2 === 1))).toEqual(new Set(['no_such_exchange']));
  });

  test('a queue that is deleted under its consumer and made again is consumed again', async () => {
    const bus = rabbit.open();
    const name = await queue(bus, 'back-again');
    const seen: string[] = [];
    const consumer = await bus.consume(name, async ({ message_id }) => void seen.push(message_id));
    await rabbit.server.ctl('delete_queue', name);
    await until('its end', async () => (await bus.queueStats(name).catch(kindOf)) === 'no_such_queue');
    await queue(bus, name);
    await send(bus, name, 'for the new one');
    await until('the message', async () => seen.includes('for the new one'));
    await consumer.stop();
  });

  test('a header that the broker would take for routing keys is refused before it costs the channel', async () => {
    const bus = rabbit.open();
    const name = await queue(bus, 'carbon');
    const copy = { exchange: '', key: name, message_id: 'cc', body: encode(''), headers: { CC: 'elsewhere' } };
    await expect(bus.publish(copy)).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('CC') });
  });

  test('away from the start: every call says so, and it works once the broker is there', async () => {
    const bus = rabbit.open();
    await rabbit.server.kill();
    for (const call of [() => queue(bus, 'late'), () => send(bus, 'late', 'x'), () => bus.receive('late'), () => bus.ensureConfirms()]) {
      await expect(call()).rejects.toMatchObject({ kind: 'backend_away', message: expect.stringContaining('nothing listens there') });
    }
    await rabbit.server.start();
    await until('the broker', () => queue(bus, 'late'));
    await insist(bus, 'late', 'x');
  });
});
