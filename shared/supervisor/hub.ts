import type { Clock } from '../ports/clock.ts';

/** Wakes the event streams of this process when it has written an event. Streams of other processes poll. */
export interface Hub {
  wake(fleet: string): void;
  /** Resolves when the fleet is woken, after `ms` milliseconds, or when `signal` aborts. */
  wait(fleet: string, clock: Clock, ms: number, signal: AbortSignal): Promise<void>;
}

export function createHub(): Hub {
  const waiting = new Map<string, Set<AbortController>>();
  return {
    wake: (fleet) => {
      for (const waiter of waiting.get(fleet) ?? []) waiter.abort();
      waiting.delete(fleet);
    },
    wait: async (fleet, clock, ms, signal) => {
      const waiter = new AbortController();
      const waiters = waiting.get(fleet) ?? new Set();
      waiting.set(fleet, waiters.add(waiter));
      await clock.sleep(ms, AbortSignal.any([waiter.signal, signal]));
      waiters.delete(waiter);
      if (waiters.size === 0 && waiting.get(fleet) === waiters) waiting.delete(fleet);
    },
  };
}
