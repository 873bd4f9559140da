import { openSync, writeSync } from 'node:fs';
import { argv, stdin, stdout } from 'node:process';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { createRabbitBus } from '../../runtime-node/adapters/bus-rabbitmq/index.ts';
import { createForwardBus } from '../../shared/reconcile/fall-forward/bus.ts';
import { createMemoryBacklog } from '../support/memory-backlog.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';

/**
 * A node's bus in a process of its own, to be killed. It publishes `count` messages one after another, several at a time,
 * tells in a file those that resolved, at once, and then lets go over what waits until it is ended.
 */
const [, , path = '', url = '', telling = '', from = '0', count = '0'] = argv;
const file = openSync(telling, 'a');
const tell = (line: string) => {
  writeSync(file, `${line}\n`);
};
const parts = { clock: systemClock, random: seededRandom(Number(from) + 1), log: recordingLog() };
const fallback = createLocalBus({ path, ...parts });
const external = createRabbitBus({ url, ...parts });
const forward = createForwardBus({ external, fallback, backlog: createMemoryBacklog(), ...parts });
const ending = new AbortController();
stdin.once('data', () => ending.abort());

for (const name of ['orders', 'audit']) await fallback.ensureQueue({ name, type: 'classic', arguments: {} });
await fallback.ensureExchange({ name: 'events', type: 'topic' });
await fallback.ensureBinding({ exchange: 'events', queue: 'orders', key: 'order.#', arguments: {} });
await fallback.ensureBinding({ exchange: 'events', queue: 'audit', key: '#', arguments: {} });
const running = forward.run(ending.signal);

const body = new TextEncoder().encode('x'.repeat(200));
for (let next = 0; next < Number(count) && !ending.signal.aborted; next += 20) {
  const ids = Array.from({ length: 20 }, (_, index) => `${Number(from) + next + index}`);
  await Promise.all(
    ids.map((message_id) =>
      forward.port.publish({ exchange: 'events', key: 'order.new', message_id, body }).then(
        () => tell(`published ${message_id}`),
        (error) => tell(`failed ${message_id} ${error}`),
      ),
    ),
  );
}
const status = setInterval(() => {
  const { presence, waiting } = forward.status();
  stdout.write(`${presence} ${waiting}\n`);
}, 50);
await running;
clearInterval(status);
await forward.port.close();
stdin.destroy();
