/** Prints each advert that is heard on `v0` as a line of JSON, until stdin ends. Run in a namespace. */
import { createMdnsLan } from '../../../runtime-node/adapters/mdns.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { systemClock } from '../../support/system-clock.ts';

const lan = createMdnsLan({ clock: systemClock, random: seededRandom(process.pid), log: recordingLog(), interfaces: ['v0'] });
lan.onAdvert((advert) => process.stdout.write(`${JSON.stringify(advert)}\n`));
process.stdin.resume().once('end', () => void lan.close());
