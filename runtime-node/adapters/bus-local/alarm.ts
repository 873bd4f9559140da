import type { Clock } from '../../../shared/ports/clock.ts';

/**
 * Calls `work` when the earliest time that was asked for has come. `work` resolves with the next
 * time, on the monotonic clock, or Infinity; it must not reject.
 */
export class Alarm {
  readonly #clock: Clock;
  readonly #work: () => Promise<number>;
  #at = Number.POSITIVE_INFINITY;
  #interrupt = new AbortController();
  #stopped = false;
  readonly #loop: Promise<void>;

  constructor(clock: Clock, work: () => Promise<number>) {
    this.#clock = clock;
    this.#work = work;
    this.#loop = this.#run();
  }

  /** Asks for a call at `at` (monotonic) or before. */
  setBy(at: number): void {
    if (at >= this.#at) return;
    this.#at = at;
    this.#interrupt.abort();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#interrupt.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#rest();
      if (this.#stopped) return;
      if (this.#at > this.#clock.monotonic()) continue;
      this.#at = Number.POSITIVE_INFINITY;
      const next = await this.#work();
      this.#at = Math.min(this.#at, next);
    }
  }

  async #rest(): Promise<void> {
    this.#interrupt = new AbortController();
    const { signal } = this.#interrupt;
    const left = this.#at - this.#clock.monotonic();
    if (left === Number.POSITIVE_INFINITY) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    else if (left > 0) await this.#clock.sleep(left, signal);
  }
}
