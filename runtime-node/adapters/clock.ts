import { uptime } from 'node:os';
import type { Clock } from '../../shared/ports/clock.ts';

/** No right clock shows a time before this, since this program did not exist. Moved forward with releases. */
export const BUILT_AFTER_MS = Date.UTC(2026, 0, 1);

/** A step of the wall clock against elapsed time that is more than drift and NTP's slewing. */
const JUMP_MS = 3000;

/** Slewing and bad quartz: allowed on top of `JUMP_MS` for each millisecond between two looks. */
const DRIFT = 0.001;

/** How long after a jump nothing is expired: time for NTP to settle or for a person to notice. */
const DOUBT_MS = 5 * 60_000;

/** How old the last look at the machine's uptime may be. It costs a system call. */
const LOOK_MS = 1000;

/** `uptime` is exact to 10 ms only, so smaller differences are no suspend. */
const SUSPEND_MS = 100;

/** setTimeout takes a 32-bit number and fires at once for more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Where the time comes from, so that a test can suspend the machine. All in milliseconds. */
export interface TimeSources {
  wall(): number;
  /** Since the process started; may stand still while the machine sleeps. */
  elapsed(): number;
  /** Since the machine started, time asleep included. */
  uptime(): number;
}

const MACHINE: TimeSources = {
  wall: () => Date.now(),
  elapsed: () => performance.now(),
  uptime: () => uptime() * 1000,
};

/**
 * The Clock port on Node. `monotonic` counts from the start of the process.
 *
 * Suspend: Node measures with CLOCK_MONOTONIC on Linux, which stands still while the machine sleeps, and
 * a lease must not. The machine's uptime does not stand still, so what it gained on Node's clock is
 * added. It is read at most once a second, and at once when the wall clock moved against Node's clock, as
 * it does on waking up. macOS and Windows count time asleep already, and the addition stays 0. Timers do stand
 * still on Linux: a `sleep` goes on where it was, so whoever holds a lease asks `monotonic` on waking up.
 */
export function createNodeClock(sources: TimeSources = MACHINE): Clock {
  const asleep = createSuspendCounter(sources);
  const monotonic = () => sources.elapsed() + asleep();
  const trusted = createTrust(sources, monotonic);
  return { now: () => Math.floor(sources.wall()), monotonic, trusted, sleep };
}

/** Milliseconds that the machine slept since the start of the process. Never goes down. */
function createSuspendCounter(sources: TimeSources): () => number {
  const atStart = sources.uptime() - sources.elapsed();
  let lookedAt = sources.elapsed();
  let wallAhead = sources.wall() - lookedAt;
  let slept = 0;
  return () => {
    const elapsed = sources.elapsed();
    const ahead = sources.wall() - elapsed;
    if (elapsed - lookedAt < LOOK_MS && Math.abs(ahead - wallAhead) < SUSPEND_MS) return slept;
    lookedAt = elapsed;
    wallAhead = ahead;
    const gained = sources.uptime() - elapsed - atStart;
    if (gained > slept + SUSPEND_MS) slept = gained;
    return slept;
  };
}

/** Each look compares the wall clock with the time that passed since the look before. */
function createTrust(sources: TimeSources, monotonic: () => number): () => boolean {
  let lookedAt = monotonic();
  let wallAhead = sources.wall() - lookedAt;
  let doubtUntil = Number.NEGATIVE_INFINITY;
  return () => {
    const now = monotonic();
    const ahead = sources.wall() - now;
    if (Math.abs(ahead - wallAhead) > JUMP_MS + (now - lookedAt) * DRIFT) doubtUntil = now + DOUBT_MS;
    lookedAt = now;
    wallAhead = ahead;
    return sources.wall() >= BUILT_AFTER_MS && now >= doubtUntil;
  };
}

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  let left = Number.isNaN(ms) ? 0 : Math.max(0, ms);
  do {
    const part = Math.min(left, LONGEST_TIMER_MS);
    await timer(part, signal);
    left -= part;
  } while (left > 0 && signal?.aborted !== true);
}

/** Removes its listener when the time is over: a signal that lives as long as the node must not collect them. */
function timer(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(running);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const running = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}
