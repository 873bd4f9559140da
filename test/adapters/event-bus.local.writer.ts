import { openSync, writeSync } from 'node:fs';
import { argv, stdout } from 'node:process';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

/**
 * Publishes and acknowledges without end. What has resolved is told in a file, at once; standard
 * output only says how far it is, because a full pipe would refuse or delay a line.
 */
const [, , path = '', round = '0', telling = ''] = argv;
const file = openSync(telling, 'a');
const bus = createLocalBus({ path, clock: new SimulatedClock(), random: seededRandom(Number(round)), log: recordingLog() });
const tell = (line: string) => {
  writeSync(file, `${line}\n`);
  stdout.write('.\n');
};
await bus.ensureQueue({ name: 'work', type: 'classic', arguments: {} });

async function publish(message_id: string): Promise<void> {
  await bus.publish({ exchange: '', key: 'work', message_id, body: new TextEncoder().encode(message_id) });
  tell(`confirmed ${message_id}`);
}

for (let batch = 0; ; batch += 1) {
  await Promise.all(Array.from({ length: 20 }, (_, index) => publish(`${round}-${batch}-${index}`)));
  const deliveries = await bus.receive('work', { limit: 15 });
  const settled = deliveries.slice(0, 10).map(async ({ token, message_id }) => {
    tell(`acking ${message_id}`);
    await bus.ack('work', token);
    tell(`acked ${message_id}`);
  });
  await Promise.all(settled);
}
