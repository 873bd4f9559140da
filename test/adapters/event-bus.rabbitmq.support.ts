import { afterAll, afterEach, beforeAll } from 'vitest';
import { createRabbitBus, type RabbitBusOptions } from '../../runtime-node/adapters/bus-rabbitmq/index.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import { type LogLine, recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type RabbitMq, startRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock } from '../support/system-clock.ts';

/** One broker for a file of tests, and buses on it that are closed after each test. */
export function rabbitTests() {
  let server: RabbitMq | undefined;
  let opened: EventBus[] = [];
  const lines: LogLine[] = [];

  beforeAll(async () => {
    server = await startRabbitMq();
  });
  afterEach(async () => {
    const closing = opened;
    opened = [];
    await Promise.all(closing.map((bus) => bus.close()));
    lines.length = 0;
  });
  afterAll(() => server?.stop());

  const suite = {
    get server(): RabbitMq {
      if (server === undefined) throw new Error('The broker is there only while the tests run');
      return server;
    },
    lines,
    open(options: Partial<RabbitBusOptions> = {}): EventBus {
      const bus = rabbitBus({ url: suite.server.url(), log: recordingLog(lines), ...options });
      opened.push(bus);
      return bus;
    },
    /** With the management interface. */
    openManaged: (options: Partial<RabbitBusOptions> = {}) => suite.open({ management_url: suite.server.management_url, ...options }),
  };
  return suite;
}

export function rabbitBus(options: Pick<RabbitBusOptions, 'url'> & Partial<RabbitBusOptions>): EventBus {
  return createRabbitBus({ clock: systemClock, random: seededRandom(), log: recordingLog(), ...options });
}
