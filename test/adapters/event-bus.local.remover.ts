/** Run by the removal test: removes the queue "doomed" and kills itself after so many turns of the event loop. */
import { setImmediate } from 'node:timers/promises';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const [path = '', turns = '0'] = process.argv.slice(2);
const bus = createLocalBus({ path, clock: new SimulatedClock(), random: seededRandom(7), log: recordingLog() });
void bus.removeQueue('doomed');
for (let turn = 0; turn < Number(turns); turn += 1) await setImmediate();
process.kill(process.pid, 'SIGKILL');
