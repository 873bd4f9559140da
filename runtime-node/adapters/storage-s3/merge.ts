import type { Clock } from '../../../shared/ports/clock.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';

/**
 * A setting of a bucket that S3 reads and replaces as a whole, without a condition: whoever writes last wins, with all
 * that he did not know. `State` is what the store shows.
 */
export interface Setting<State> {
  /** As in "lifecycle rules of bucket captures". */
  readonly name: string;
  read(): Promise<State>;
  /** What to write so that ours is in it, or out of it; `''` for nothing at all; undefined when it is so. */
  change(state: State): string | undefined;
  write(body: string, state: State): Promise<void>;
  same(one: State, other: State): boolean;
  /** What of others was in `before` and is not in `after` any more, in words; empty when all is. */
  lost(before: State, after: State): readonly string[];
}

const ROUNDS = 5;
const LOOKS = 6;

/**
 * Reads, and writes only when something is missing; reads right before each write, and looks afterwards: what another
 * writer wrote in between is merged in the next round. Without a condition in the protocol a write of another in the
 * milliseconds between our read and our write can still be lost; only the leader of a site writes, and people rarely do.
 */
export async function merge<State>(setting: Setting<State>, clock: Clock): Promise<void> {
  for (let round = 1; round <= ROUNDS; round += 1) {
    const before = await setting.read();
    const body = setting.change(before);
    if (body === undefined) return;
    await setting.write(body, before);
    const after = await settled(setting, before, clock);
    if (setting.change(after) === undefined) {
      refuseLoss(setting, before, after);
      return;
    }
    await clock.sleep(50 * 2 ** round);
  }
  throw new StorageError(
    'failed',
    `${setting.name}: after ${ROUNDS} writes the store still shows others: something else keeps writing them, or the store drops ours`,
  );
}

/** Some stores show the old state for a while. */
async function settled<State>(setting: Setting<State>, before: State, clock: Clock): Promise<State> {
  for (let look = 1; ; look += 1) {
    const after = await setting.read();
    if (look === LOOKS || !setting.same(before, after)) return after;
    await clock.sleep(50 * 2 ** look);
  }
}

function refuseLoss<State>(setting: Setting<State>, before: State, after: State): void {
  const lost = setting.lost(before, after);
  if (lost.length === 0) return;
  throw new StorageError(
    'failed',
    `${setting.name}: ours are in place, but the store no longer shows these of others as it did before, though they were handed back unchanged: ${lost.join(' ')}`,
  );
}
