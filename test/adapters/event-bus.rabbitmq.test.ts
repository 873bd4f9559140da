import { afterAll, beforeAll, describe, test } from 'vitest';
import { eventBusSuite } from '../conformance/event-bus.suite.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock } from '../support/system-clock.ts';
import { rabbitBus } from './event-bus.rabbitmq.support.ts';

const why = whyNoRabbitMq();

if (why !== undefined) test.skip(`event bus: RabbitMQ (${why})`, () => {});

describe.skipIf(why !== undefined)('on a broker of its own', () => {
  let server: RabbitMq;
  beforeAll(async () => {
    server = await startRabbitMq();
  });
  afterAll(() => server.stop());

  const harness = (managed: boolean) => async () => {
    const bus = rabbitBus({ url: server.url(), ...(managed ? { management_url: server.management_url } : {}) });
    return { bus, elapse: (ms: number) => systemClock.sleep(ms), dispose: () => bus.close() };
  };
  eventBusSuite('RabbitMQ with its management interface', harness(true));
  eventBusSuite('RabbitMQ by AMQP alone', harness(false));
});
