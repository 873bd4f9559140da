import type { Clock } from '../../shared/ports/clock.ts';
import type { Timeline } from './timeline.ts';

/** When the worlds begin, by a clock that is right: milliseconds since the Unix epoch. */
const BEGINNING = Date.UTC(2026, 10, 2, 8);
/** As `runtime-node/adapters/clock.ts`: before this no clock is right, and for this long after a jump none is trusted. */
const EARLIEST = Date.UTC(2026, 0, 1);
const DISTRUST_MS = 300_000;

/** A timer has a resolution: less than this would be lost in the digits of the time, and time would stand still. */
const LEAST_SLEEP_MS = 0.001;

/** The hardware clock of one machine: it may be wrong, jump, and run too fast or too slow. */
export class MachineClock {
  readonly #timeline: Timeline;
  /** Its seconds per true second. */
  readonly rate: number;
  #offset: number;
  #jumped_at = Number.NEGATIVE_INFINITY;

  constructor(timeline: Timeline, rate = 1, offset = 0) {
    this.#timeline = timeline;
    this.rate = rate;
    this.#offset = offset;
  }

  now(): number {
    return Math.floor(BEGINNING + this.#offset + this.#timeline.now * this.rate);
  }

  /** Sets the wall clock forward or back without letting time pass. */
  jump(ms: number): void {
    this.#offset += ms;
    this.#jumped_at = this.#timeline.now;
  }

  trusted(): boolean {
    return this.now() >= EARLIEST && this.#timeline.now - this.#jumped_at >= DISTRUST_MS;
  }

  /**
   * The clock port of one process: its monotonic time counts from its start, and a dead process never wakes. `about`: the
   * only machine that one who wakes may change.
   */
  ofProcess(isAlive: () => boolean, owner?: string, about = owner): Clock {
    const timeline = this.#timeline;
    const { rate } = this;
    const started = timeline.now;
    return {
      now: () => this.now(),
      monotonic: () => (timeline.now - started) * rate,
      trusted: () => this.trusted(),
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) return resolve();
          const wake = () => {
            signal?.removeEventListener('abort', cut);
            if (isAlive()) resolve();
          };
          const callOff = timeline.after(ms > 0 ? Math.max(ms / rate, LEAST_SLEEP_MS) : 0, wake, owner, about);
          const cut = () => {
            callOff();
            if (isAlive()) resolve();
          };
          signal?.addEventListener('abort', cut, { once: true });
        }),
    };
  }
}
