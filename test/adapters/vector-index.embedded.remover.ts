/** Run by the removal test: removes the class "Doomed" and kills itself after so many turns of the event loop. */
import { setImmediate } from 'node:timers/promises';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import { recordingLog } from '../support/recording-log.ts';

const [path = '', turns = '0'] = process.argv.slice(2);
const index = createEmbeddedIndex({ path, log: recordingLog() });
void index.removeClass('Doomed');
for (let turn = 0; turn < Number(turns); turn += 1) await setImmediate();
process.kill(process.pid, 'SIGKILL');
