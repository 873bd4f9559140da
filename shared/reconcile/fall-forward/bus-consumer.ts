import type { Clock } from '../../ports/clock.ts';
import { BusError, type Consumer, type Delivery, type EventBus } from '../../ports/event-bus.ts';
import type { Log } from '../../ports/log.ts';
import { Slots } from '../slots.ts';
import { asPublished, marked, type Side } from './bus-message.ts';
import { isDeclaredIn } from './bus-receiver.ts';
import type { Presence } from './presence.ts';

/** How often a queue that is not in the external yet is asked for. */
const RETRY_MS = 5000;

export interface ConsumerParts {
  readonly queue: string;
  readonly handler: (delivery: Delivery) => Promise<void>;
  readonly options: { prefetch?: number };
  readonly external: EventBus;
  readonly fallback: EventBus;
  readonly presence: Pick<Presence, 'state' | 'call'>;
  /** Resolves at the next change of the presence, or when `signal` aborts. */
  readonly changed: (signal: AbortSignal) => Promise<void>;
  /** A message of the embedded bus was handled. */
  readonly settled: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Takes what waits in the embedded bus while the external is away or has no such queue, and from the external else. Once it
 * is subscribed there it stays so: the external's own consumer subscribes again when the line was lost.
 */
export class ForwardConsumer implements Consumer {
  readonly #parts: ConsumerParts;
  readonly #stopping = new AbortController();
  /** Handlers under way on both sides together. */
  readonly #slots: Slots;
  readonly #leaving = new Set<Promise<void>>();
  #external: Consumer | undefined;
  #local: Consumer | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
    this.#slots = new Slots(parts.options.prefetch ?? 1);
  }

  /** Rejects where neither side can have such a consumer. */
  async start(): Promise<void> {
    await this.#turn();
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#leaveLocal();
    await Promise.all([this.#external?.stop(), ...this.#leaving]);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#rest(signal);
      if (signal.aborted) return;
      await this.#turn().catch((error: unknown) => {
        this.#parts.log.warn('A consumer could not be moved', { queue: this.#parts.queue, error: String(error) });
      });
    }
  }

  async #turn(): Promise<void> {
    const { presence } = this.#parts;
    const isSubscribed = presence.state !== 'away' && (await this.#subscribe());
    if (isSubscribed) this.#leaveLocal();
    else await this.#takeLocal();
  }

  /** False where the external is away, or lacks a queue that is declared here. */
  async #subscribe(): Promise<boolean> {
    if (this.#external !== undefined) return true;
    const { external, fallback, presence, queue, options } = this.#parts;
    try {
      this.#external = await presence.call(() => external.consume(queue, this.#handler('external'), options));
      return true;
    } catch (error) {
      const isMissing = isOf(error, 'no_such_queue') && (await isDeclaredIn(fallback, queue));
      if (isMissing || isOf(error, 'backend_away')) return false;
      throw error;
    }
  }

  async #takeLocal(): Promise<void> {
    if (this.#local !== undefined) return;
    const { fallback, queue, options } = this.#parts;
    try {
      this.#local = await fallback.consume(queue, this.#handler('fallback'), options);
    } catch (error) {
      // The external may have it: it is asked when it answers.
      if (!isOf(error, 'no_such_queue')) throw error;
    }
  }

  /** Its handlers may go on for long: the other side does not wait for them. */
  #leaveLocal(): void {
    if (this.#local === undefined) return;
    const stopping: Promise<void> = this.#local.stop().finally(() => this.#leaving.delete(stopping));
    this.#leaving.add(stopping);
    this.#local = undefined;
  }

  #handler(side: Side) {
    const { handler, settled } = this.#parts;
    if (side === 'external') return (delivery: Delivery) => this.#slots.run(() => handler(marked(side, asPublished(delivery))));
    return async (delivery: Delivery) => {
      await this.#slots.run(() => handler(marked(side, delivery)));
      settled();
    };
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([over.signal, signal]);
    const isWaiting = this.#external === undefined && this.#parts.presence.state !== 'away';
    const later = isWaiting ? [this.#parts.clock.sleep(RETRY_MS, either)] : [];
    await Promise.race([this.#parts.changed(either), ...later]);
    over.abort();
  }
}

function isOf(error: unknown, kind: BusError['kind']): boolean {
  return error instanceof BusError && error.kind === kind;
}
