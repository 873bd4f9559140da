/** Run by the removal test: removes the bucket "doomed" and kills itself after so many turns of the event loop. */
import { setImmediate } from 'node:timers/promises';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const [root = '', turns = '0'] = process.argv.slice(2);
const storage = await createFsStorage({ root, clock: new SimulatedClock(), random: seededRandom(7), log: recordingLog() });
void storage.removeBucket('doomed');
for (let turn = 0; turn < Number(turns); turn += 1) await setImmediate();
process.kill(process.pid, 'SIGKILL');
