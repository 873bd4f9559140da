/**
 * Run by the crash test, which kills it: writes, overwrites and deletes without end. After each finished
 * step it prints the key and what the key must hold from now on.
 */
import { writeSync } from 'node:fs';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const [root = '', seed = '1'] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const storage = await createFsStorage({ root, clock: new SimulatedClock(), random, log: recordingLog() });
await storage.ensureBucket('plain');
await storage.ensureBucket('versioned');
await storage.ensureVersioning('versioned', true);

async function writer(lane: number): Promise<never> {
  for (let step = 0; ; step += 1) {
    const bucket = step % 3 === 0 ? 'versioned' : 'plain';
    const key = `${lane}/${step % 5}`;
    if (step % 7 === 6) {
      await storage.delete(bucket, key);
      say({ bucket, key });
      continue;
    }
    const size = Math.floor(random.next() * 600_000);
    const { sha256, version_id } = await storage.put(bucket, key, new Uint8Array(size).fill(step % 256));
    say({ bucket, key, sha256, version_id });
  }
}

/** Straight to the pipe: what was said before the kill must arrive. */
function say(done: object): void {
  writeSync(1, `${JSON.stringify(done)}\n`);
}

await Promise.all([0, 1, 2, 3].map(writer));
