import type { Queue } from '../../shared/contract/profile.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { BusError, type Delivery, type OutgoingMessage } from '../../shared/ports/event-bus.ts';

/** Where a message goes when its queue gives it up. */
export interface Death {
  readonly message: OutgoingMessage;
  readonly dlx: string;
  /** The queues where it expired since a consumer last saw it: it does not enter one of them again. */
  readonly trail: readonly string[];
}

interface Entry {
  readonly message: OutgoingMessage;
  readonly trail: readonly string[];
  readonly entered: number;
  redelivered: boolean;
  /** Set while somebody holds it. */
  held?: { readonly token: string; readonly until: number } | undefined;
}

/** One queue: first in, first out; what is put back takes its old place. */
export class MemoryQueue {
  spec: Queue;
  readonly #clock: Clock;
  readonly #deadLetter: (death: Death) => void;
  #entries: Entry[] = [];
  #tokens = 0;
  #waiters = new Set<AbortController>();

  constructor(clock: Clock, spec: Queue, deadLetter: (death: Death) => void) {
    this.#clock = clock;
    this.spec = spec;
    this.#deadLetter = deadLetter;
  }

  add(message: OutgoingMessage, trail: readonly string[] = []): void {
    const copy = { ...message, body: message.body.slice() };
    this.#entries.push({ message: copy, trail, entered: this.#clock.monotonic(), redelivered: false });
    this.wake();
  }

  take(limit: number, visibility_ms: number): Delivery[] {
    this.tidy();
    const until = this.#clock.monotonic() + visibility_ms;
    return this.#entries
      .filter(({ held }) => held === undefined)
      .slice(0, limit)
      .map((entry) => this.#hold(entry, until));
  }

  settle(token: string): void {
    const entry = this.#held(token);
    this.#entries = this.#entries.filter((one) => one !== entry);
  }

  putBack(token: string): void {
    release(this.#held(token));
    this.wake();
  }

  drop(token: string): void {
    const entry = this.#held(token);
    this.#giveUp(entry, 'rejected');
  }

  stats(): { ready: number; unacked: number } {
    this.tidy();
    const unacked = this.#entries.filter(({ held }) => held !== undefined).length;
    return { ready: this.#entries.length - unacked, unacked };
  }

  /** Resolves when there may be something new, at the latest after `limit_ms`. */
  async changed(limit_ms: number, signal?: AbortSignal): Promise<void> {
    const waiter = new AbortController();
    const stop = () => waiter.abort();
    this.#waiters.add(waiter);
    signal?.addEventListener('abort', stop, { once: true });
    const now = this.#clock.monotonic();
    const next = Math.min(...this.#entries.map(({ held }) => (held === undefined ? Number.POSITIVE_INFINITY : held.until - now)), limit_ms);
    await this.#clock.sleep(Math.max(0, next), waiter.signal);
    signal?.removeEventListener('abort', stop);
    this.#waiters.delete(waiter);
  }

  #hold(entry: Entry, until: number): Delivery {
    this.#tokens += 1;
    const token = `${this.spec.name}-${this.#tokens}`;
    const { message, redelivered } = entry;
    entry.held = { token, until };
    entry.redelivered = true;
    return { ...message, headers: message.headers ?? {}, body: message.body.slice(), queue: this.spec.name, token, redelivered };
  }

  #held(token: string): Entry {
    this.tidy();
    const entry = this.#entries.find(({ held }) => held?.token === token);
    if (entry === undefined) throw new BusError('unknown_delivery', `no delivery ${token} is under way in queue ${this.spec.name}`);
    return entry;
  }

  /** Gives back what was held too long, and ends what has had its time (never by an untrusted clock). */
  tidy(): void {
    const now = this.#clock.monotonic();
    for (const entry of this.#entries) if (entry.held !== undefined && entry.held.until <= now) release(entry);
    const ttl = this.spec.ttl_ms;
    if (ttl === undefined || !this.#clock.trusted()) return;
    for (const entry of this.#entries.filter(({ held, entered }) => held === undefined && now - entered >= ttl))
      this.#giveUp(entry, 'expired');
  }

  #giveUp(entry: Entry, reason: 'expired' | 'rejected'): void {
    this.#entries = this.#entries.filter((one) => one !== entry);
    const { dlx, name, arguments: args } = this.spec;
    if (dlx === undefined) return;
    const { exchange, key, headers } = entry.message;
    const first = { 'x-first-death-queue': name, 'x-first-death-reason': reason, 'x-first-death-exchange': exchange };
    const message = { ...entry.message, key: String(args['x-dead-letter-routing-key'] ?? key), headers: { ...first, ...headers } };
    this.#deadLetter({ message, dlx, trail: reason === 'expired' ? [...entry.trail, name] : [] });
  }

  /** Somebody waits for a message. */
  isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** Lets all who wait look again. */
  wake(): void {
    for (const waiter of this.#waiters) waiter.abort();
  }
}

function release(entry: Entry): void {
  entry.held = undefined;
}
