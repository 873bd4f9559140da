import type { Clock } from '../../shared/ports/clock.ts';

/**
 * Time on Workers, where the clock stands still while code runs. `monotonic` is the wall clock, since
 * `performance.now()` is nothing else there; the platform keeps it right, so it is always trusted.
 */
export const workerClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Date.now(),
  trusted: () => true,
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const finish = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', finish);
        resolve();
      };
      const timer = setTimeout(finish, Math.max(0, ms));
      signal?.addEventListener('abort', finish);
    }),
};
