import type { Clock } from '../../shared/ports/clock.ts';
import { drain } from './drain.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/**
 * Time that moves only when a test says so. `advance` wakes sleepers in the order of their times and
 * lets all work that follows from each one finish before the next.
 */
export class SimulatedClock implements Clock {
  #wall: number;
  #elapsed = 0;
  #trusted = true;
  #sleepers: Sleeper[] = [];

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#wall = start;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  trusted(): boolean {
    return this.#trusted;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper = { at: this.#elapsed + Math.max(0, ms), wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener(
        'abort',
        () => {
          this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
          resolve();
        },
        { once: true },
      );
    });
  }

  /** Lets `ms` milliseconds pass. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    await drain();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#moveTo(Math.max(next.at, this.#elapsed));
      this.#sleepers = this.#sleepers.filter((one) => one !== next);
      next.wake();
      await drain();
    }
    this.#moveTo(end);
  }

  /** Sets the wall clock without letting time pass, as NTP or a person would. */
  jump(to: number, trusted = false): void {
    this.#wall = to;
    this.#trusted = trusted;
  }

  get sleeping(): number {
    return this.#sleepers.length;
  }

  #next(end: number): Sleeper | undefined {
    return this.#sleepers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
  }

  #moveTo(elapsed: number): void {
    this.#wall += elapsed - this.#elapsed;
    this.#elapsed = elapsed;
  }
}
