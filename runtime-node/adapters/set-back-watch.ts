import type { Clock } from '../../shared/ports/clock.ts';

/** What slewing, and clocks that are read one after the other, may come to between two looks, milliseconds. */
const LEAST_MS = 500;

/** How far the wall clock was set back since the last look, milliseconds; 0 where it was not. */
export function watchForSetBack(clock: Pick<Clock, 'now' | 'monotonic'>): () => number {
  let ahead = clock.now() - clock.monotonic();
  return () => {
    const before = ahead;
    ahead = clock.now() - clock.monotonic();
    return before - ahead >= LEAST_MS ? before - ahead : 0;
  };
}
