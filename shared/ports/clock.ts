/**
 * Time, as every part of bootplane sees it. Nothing in `shared/` reads another clock, so a test
 * (or the simulator) can run hours in milliseconds.
 */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. May jump in either direction. */
  now(): number;
  /** Milliseconds that only grow; includes time that the machine slept. For measuring and for leases. */
  monotonic(): number;
  /**
   * True when the wall clock can be believed: it is not before the build date and has not just
   * jumped. Whatever expires data asks this first.
   */
  trusted(): boolean;
  /** Resolves after `ms` milliseconds, or at once when `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
