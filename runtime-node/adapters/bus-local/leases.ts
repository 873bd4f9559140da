import type { Clock } from '../../../shared/ports/clock.ts';

export interface Lease {
  /** Written beside the entry while it is handed out, so that only the holder's call touches it. */
  readonly number: number;
  readonly queue: string;
  readonly seq: number;
  /** On the monotonic clock. */
  readonly until: number;
}

/**
 * Who holds what, and until when. Kept in memory and timed by the monotonic clock, so that a wall
 * clock that jumps takes nothing away from a consumer; a new process starts with none.
 */
export class Leases {
  readonly #clock: Clock;
  readonly #instance: string;
  readonly #leases = new Map<string, Lease>();
  #reserved = 0;
  /** No lease runs out before this. */
  #next = Number.POSITIVE_INFINITY;

  /** `instance` tells the tokens of this process from those of an earlier one. */
  constructor(clock: Clock, instance: string) {
    this.#clock = clock;
    this.#instance = instance;
  }

  /** A number that no other lease of this process has. */
  reserve(): number {
    this.#reserved += 1;
    return this.#reserved;
  }

  /** The token for the lease. */
  grant(lease: Lease): string {
    const token = this.#token(lease.number);
    this.#leases.set(token, lease);
    this.#next = Math.min(this.#next, lease.until);
    return token;
  }

  /** Undefined when it was settled, has run out, or is another queue's. */
  find(queue: string, token: string): Lease | undefined {
    const lease = this.#leases.get(token);
    return lease !== undefined && lease.queue === queue && lease.until > this.#clock.monotonic() ? lease : undefined;
  }

  /** Ends those of a queue that is gone. */
  drop(queue: string): void {
    for (const lease of [...this.#leases.values()]) if (lease.queue === queue) this.end(lease);
  }

  end({ number }: Lease): void {
    this.#leases.delete(this.#token(number));
  }

  /** Those that have run out and were not ended yet. */
  due(): Lease[] {
    if (this.#next > this.#clock.monotonic()) return [];
    this.#next = this.next();
    return [...this.#leases.values()].filter(({ until }) => until <= this.#clock.monotonic());
  }

  /** When the first one runs out (or has), on the monotonic clock; Infinity without any. */
  next(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { until } of this.#leases.values()) least = Math.min(least, until);
    return least;
  }

  #token(number: number): string {
    return `${this.#instance}.${number}`;
  }
}
