import { randomFillSync } from 'node:crypto';
import { V7Generator } from 'uuidv7';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Random } from '../../shared/ports/random.ts';

const MAX_UUID_TIME_MS = 2 ** 48 - 1;

/** The Random port on Node. Ids made in one millisecond, or while the clock goes back a little, still sort in order. */
export function createNodeRandom(clock: Pick<Clock, 'now'>): Random {
  const pool = new Uint32Array(256);
  let used = pool.length;
  const nextUint32 = () => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const value = pool[used] ?? 0;
    used += 1;
    return value;
  };
  const generator = new V7Generator({ nextUint32 });
  return {
    next: () => Math.random(),
    bytes: (length) => randomFillSync(new Uint8Array(length)),
    // A clock before 1970 must not keep a node from getting its identity.
    uuid: () => generator.generateOrResetWithTs(Math.min(Math.max(0, Math.floor(clock.now())), MAX_UUID_TIME_MS)).toString(),
  };
}
