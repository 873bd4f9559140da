import { describe, expect, onTestFinished, test } from 'vitest';
import { createOverlay } from '../../runtime-node/overlay.ts';
import { EventRecord } from '../../shared/contract/event.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import { type Harness, register } from '../runtime/harness.ts';
import { startOnNode } from '../runtime/node-harness.ts';
import { recordingLog } from '../support/recording-log.ts';
import { whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock } from '../support/system-clock.ts';
import { until } from '../support/until.ts';
import { rabbitTests } from './event-bus.rabbitmq.support.ts';

const why = whyNoRabbitMq();
if (why !== undefined) test.skip(`events of the overlay on RabbitMQ (${why})`, () => {});

const QUEUE = 'told';

describe.skipIf(why !== undefined)('events of the overlay on a real RabbitMQ', () => {
  const rabbit = rabbitTests();

  /** A Supervisor whose outbox runs, and a queue that wants all of it. */
  async function start(bus: EventBus): Promise<Harness> {
    const log = recordingLog();
    const harness = await startOnNode({ clock: systemClock, log, overlay: createOverlay({ bus, log }) });
    const stop = new AbortController();
    const running = harness.supervisor.outbox?.run(stop.signal);
    onTestFinished(async () => {
      stop.abort();
      await running;
      await harness.close();
    });
    return harness;
  }

  async function listen(bus: EventBus): Promise<void> {
    await bus.ensureExchange({ name: 'overlay', type: 'topic' });
    await bus.ensureQueue({ name: QUEUE, type: 'classic', arguments: {} });
    await bus.ensureBinding({ exchange: 'overlay', queue: QUEUE, key: 'overlay.#', arguments: {} });
  }

  /** Hears until these nodes have been told of, and answers with whom it heard of, in order. */
  async function hear(bus: EventBus, node_ids: readonly string[]): Promise<string[]> {
    const heard: { node_id: string; id: string }[] = [];
    await until('all events', async () => {
      for (const { body, message_id, key, token } of await bus.receive(QUEUE, { limit: 100, wait_ms: 200 })) {
        const event = EventRecord.parse(JSON.parse(new TextDecoder().decode(body)));
        expect(event.type).toBe(key);
        heard.push({ node_id: event.node_id ?? '', id: message_id });
        await bus.ack(QUEUE, token);
      }
      return node_ids.every((node_id) => heard.some((one) => one.node_id === node_id));
    });
    // A confirm that was lost with the broker is a repeat, with the same id.
    const ids = new Map(heard.map(({ node_id, id }) => [node_id, id]));
    for (const { node_id, id } of heard) expect(id).toBe(ids.get(node_id));
    return [...new Set(heard.map(({ node_id }) => node_id))];
  }

  test('what is committed while it is away comes when it is back, in order', async () => {
    const bus = rabbit.open();
    await listen(bus);
    await rabbit.server.persist();
    const harness = await start(rabbit.open());
    const names: string[] = [];
    const tell = async (count: number) => {
      for (let n = 0; n < count; n += 1) {
        const node_id = `node-${names.length}`;
        names.push(node_id);
        await register(harness, node_id);
      }
    };
    await tell(20);
    const telling = tell(200);
    await rabbit.server.kill();
    await telling;
    await tell(20);
    await rabbit.server.start();
    await tell(5);
    expect(await hear(rabbit.open(), names)).toEqual(names);
  });

  test('its exchange is made again when somebody has deleted it', async () => {
    const bus = rabbit.open();
    await listen(bus);
    const harness = await start(bus);
    await register(harness, 'before');
    expect(await hear(bus, ['before'])).toEqual(['before']);
    const { management_url } = rabbit.server;
    const answer = await fetch(`${management_url}/api/exchanges/%2F/overlay`, {
      method: 'DELETE',
      headers: { authorization: `Basic ${btoa('guest:guest')}` },
    });
    expect(answer.status).toBe(204);
    await register(harness, 'nobody-listens');
    await until('the exchange', async () => (await rabbit.server.list('list_exchanges', 'name')).includes('overlay'));
    await listen(bus);
    await register(harness, 'after');
    expect(await hear(bus, ['after'])).toContain('after');
  });

  test('events that nobody wants are done', async () => {
    const bus = rabbit.open();
    await bus.ensureExchange({ name: 'overlay', type: 'topic' });
    await rabbit.server.ctl('delete_queue', QUEUE).catch(() => undefined);
    const harness = await start(bus);
    await register(harness, 'unheard');
    await until('the cursor', async () => {
      const [[row] = []] = await harness.database.batch([{ sql: 'select published from outbox', params: [] }]);
      return row?.published === 1;
    });
  });
});
