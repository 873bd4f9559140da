import { setImmediate } from 'node:timers/promises';
import type { LifecycleRule } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Log } from '../../../shared/ports/log.ts';
import { type KeyRange, keyRange } from './keys.ts';

const DAY_MS = 86_400_000;

/** How often the rules are looked at. They count in days, so this is only how late one may be. */
const INTERVAL_MS = 10 * 60_000;

export interface Expiring {
  /** Buckets that have rules. */
  aging(): readonly { readonly name: string; readonly lifecycle: readonly LifecycleRule[] }[];
  /** Starts the age of what was written while the clock was not trusted. */
  startAges(): void;
  /** Expires a bounded number of objects whose age began at `untilMs` or before; resolves with how many. */
  expireSome(bucket: string, range: KeyRange, untilMs: number): Promise<number>;
}

/**
 * Lifecycle expiry. Ages by trusted time only: nothing expires while the clock can't be believed, and
 * what was written in such a time begins to age when it can be believed again (its recorded time of
 * writing may be 1970, and would expire it at once).
 */
export class Expiry {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #store: Expiring;
  #paused = false;

  constructor(store: Expiring, clock: Clock, log: Log) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  /** Looks at every rule once; resolves with how many objects expired. */
  async expire(): Promise<number> {
    if (!this.#trusted()) return 0;
    this.#store.startAges();
    let expired = 0;
    for (const bucket of this.#store.aging()) {
      for (const rule of bucket.lifecycle) expired += await this.#expireRule(bucket.name, rule);
      // The catalog is read synchronously: with thousands of buckets others get their turn in between.
      await setImmediate();
    }
    return expired;
  }

  /** Expires from time to time until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.expire().catch((error: unknown) => this.#log.error('storage expiry failed, trying again later', { error: String(error) }));
      await this.#clock.sleep(INTERVAL_MS, signal);
    }
  }

  async #expireRule(bucket: string, rule: LifecycleRule): Promise<number> {
    const range = keyRange(rule.prefix);
    let expired = 0;
    // Time is read again for each part: the clock may stop being trusted in between.
    while (this.#trusted()) {
      const some = await this.#store.expireSome(bucket, range, this.#clock.now() - rule.expire_days * DAY_MS);
      if (some === 0) break;
      expired += some;
    }
    if (expired > 0) this.#log.info('storage expired objects', { bucket, rule: rule.id, objects: expired });
    return expired;
  }

  /** Says once when expiry pauses and once when it goes on. */
  #trusted(): boolean {
    const trusted = this.#clock.trusted();
    if (!trusted && !this.#paused)
      this.#log.warn('storage expiry is paused: the clock can not be trusted; set the time or wait for NTP', { now_ms: this.#clock.now() });
    if (trusted && this.#paused) this.#log.info('storage expiry goes on: the clock can be trusted again');
    this.#paused = !trusted;
    return trusted;
  }
}
