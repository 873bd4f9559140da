import { describe, expect, test } from 'vitest';
import { whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { until } from '../support/until.ts';
import { rabbitTests } from './event-bus.rabbitmq.support.ts';

const why = whyNoRabbitMq();

describe.skipIf(why !== undefined)(`removals on RabbitMQ${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  const tests = rabbitTests();
  const send = (key: string) => tests.open().publish({ exchange: '', key, message_id: crypto.randomUUID(), body: new Uint8Array([1]) });

  // RabbitMQ ends the connection of whoever removes a quorum queue with a condition.
  test('of a quorum queue costs no connection but its own', async () => {
    const bus = tests.open();
    await bus.ensureQueue({ name: 'held', type: 'classic', arguments: {} });
    await bus.ensureQueue({ name: 'doomed', type: 'quorum', arguments: {} });
    await send('held');
    const [delivery] = await bus.receive('held', { wait_ms: 3000 });
    await bus.removeQueue('doomed', { if_empty: true, if_unused: true });
    // Had its connection been lost, the delivery would be open no more.
    await bus.ack('held', delivery?.token ?? '');
    expect(tests.lines.filter(({ message }) => message.includes('lost'))).toEqual([]);
    expect((await bus.readTopology({ exchanges: [], queues: ['doomed'], bindings: [] })).queues).toEqual([]);
  });

  // What takes messages by basic.get has no consumer: the broker lets its queue be removed as unused.
  test.each(['classic', 'quorum'] as const)('can be decided with who asks a %s queue for messages one by one', async (type) => {
    const [bus, others, blind] = [tests.openManaged(), tests.open(), tests.open()];
    const [polled, taken, idle] = [`polled-${type}`, `taken-${type}`, `idle-${type}`];
    for (const name of [polled, taken, idle]) await bus.ensureQueue({ name, type, arguments: {} });
    for (const queue of [polled, polled]) await others.receive(queue);
    for (const _ of [1, 2]) await send(taken);
    const [delivery] = await until('a message', async () => {
      const found = await others.receive(taken, { visibility_ms: 600_000 });
      return found.length > 0 && found;
    });
    // Of a new queue its management interface tells nothing but the name at first, and of what went through some seconds later.
    expect(await bus.queueUse(idle)).toMatchObject({ consumers: 0, lately: { seconds: 600, came: 0, taken: 0, asked_in_vain: 0 } });
    await until('its figures', async () => (await bus.queueUse(idle)).unacked === 0);
    await until('the figures', async () => (await bus.queueUse(polled)).lately?.asked_in_vain === 2);
    // Who holds a message of a quorum queue counts as its consumer.
    const attached = type === 'quorum' ? 1 : 0;
    await until('the others', async () => {
      const { consumers, unacked, lately } = await bus.queueUse(taken);
      return consumers === attached && unacked === 1 && lately?.came === 2 && lately.taken === 1;
    });
    expect(await blind.queueUse(polled)).toEqual({ consumers: 0, unread: expect.stringContaining('RABBITMQ_MANAGEMENT_URL') });
    await others.ack(taken, delivery?.token ?? '');
    const consumer = await others.consume(idle, async () => undefined);
    expect(await blind.queueUse(idle)).toMatchObject({ consumers: 1 });
    expect(await bus.queueUse(idle)).toMatchObject({ consumers: 1 });
    await consumer.stop();
  });

  test('leave what others use as it is', async () => {
    const [ours, others] = [tests.open(), tests.openManaged()];
    await ours.ensureExchange({ name: 'shared', type: 'topic' });
    await ours.ensureQueue({ name: 'consumed', type: 'classic', arguments: {} });
    await others.ensureQueue({ name: 'foreign', type: 'classic', arguments: {} });
    const binding = { exchange: 'shared', queue: 'foreign', key: '#', arguments: {} };
    await others.ensureBinding(binding);
    const consumer = await others.consume('consumed', async () => {});
    await expect(ours.removeExchange('shared')).rejects.toMatchObject({ kind: 'in_use' });
    await expect(ours.removeQueue('consumed', { if_empty: true, if_unused: true })).rejects.toMatchObject({ kind: 'in_use' });
    const { exchanges, queues, bindings } = await others.readTopology({
      exchanges: ['shared'],
      queues: ['consumed', 'foreign'],
      bindings: [binding],
    });
    expect([exchanges.length, queues.length, bindings.length]).toEqual([1, 2, 1]);
    await consumer.stop();
  });

  test('are known to the look that follows, by AMQP alone too', async () => {
    const bus = tests.open();
    await bus.ensureExchange({ name: 'gone', type: 'direct' });
    await bus.ensureQueue({ name: 'gone', type: 'classic', arguments: {} });
    const binding = { exchange: 'gone', queue: 'gone', key: 'k', arguments: {} };
    await bus.ensureBinding(binding);
    await bus.removeBinding(binding);
    const read = () => bus.readTopology({ exchanges: ['gone'], queues: ['gone'], bindings: [binding] });
    expect(await read()).toMatchObject({ exchanges: [{ name: 'gone' }], queues: [{ name: 'gone' }], bindings: [] });
    await bus.ensureBinding(binding);
    await bus.removeQueue('gone');
    await bus.removeExchange('gone');
    expect(await read()).toMatchObject({ exchanges: [], queues: [], bindings: [] });
  });
});
