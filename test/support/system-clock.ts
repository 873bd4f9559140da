import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../shared/ports/clock.ts';

/** Real time, without the checks of the node's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  trusted: () => true,
  sleep: (ms, signal) => sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {}),
};
