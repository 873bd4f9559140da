import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { eventBusSuite } from '../conformance/event-bus.suite.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

eventBusSuite('local, in memory', async () => {
  const clock = new SimulatedClock();
  const bus = createLocalBus({ path: ':memory:', clock, random: seededRandom(), log: recordingLog() });
  return { bus, elapse: (ms) => clock.advance(ms), dispose: () => bus.close() };
});

eventBusSuite('local, in a file', async () => {
  const clock = new SimulatedClock();
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-bus-'));
  const bus = createLocalBus({ path: join(folder, 'bus.db'), clock, random: seededRandom(), log: recordingLog() });
  const dispose = async () => {
    await bus.close();
    await rm(folder, { recursive: true });
  };
  return { bus, elapse: (ms) => clock.advance(ms), dispose };
});
