import type { DeliveredMessage, PullRequest } from '../contract/data.ts';

export interface Delivery extends Omit<DeliveredMessage, 'body'> {
  readonly body: Uint8Array;
  /** The body as UTF-8 text. */
  text(): string;
}

/** Taking messages out of a queue. */
export interface Settling {
  /** Takes messages; each is hidden from others until it is settled or `visibility_ms` has passed. */
  pull(queue: string, options?: PullRequest & { readonly signal?: AbortSignal }): Promise<Delivery[]>;
  /** The message is gone for good. Rejects with `unknown_delivery` when its time had run out: it will come again. */
  ack(queue: string, token: string): Promise<void>;
  /** Puts it back, or drops it, which dead-letters it where the queue says so. */
  reject(queue: string, token: string, options: { readonly requeue: boolean }): Promise<void>;
}

/** Resolves after `ms` milliseconds, or at once when `signal` aborts. Never rejects. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

export interface ConsumeOptions {
  /** Handlers under way at once; 1 to 100, default 1. */
  readonly prefetch?: number;
  /** How long a handler has: after it the message is delivered again, also while the handler still runs. Default 30000. */
  readonly visibility_ms?: number;
  /** What went wrong: a handler that rejected, a message that came too late to be settled, a node that did not answer. */
  readonly onError?: (error: unknown, delivery?: Delivery) => void;
}

export interface Consumer {
  /** Stops taking messages and waits for the handlers under way. */
  stop(): Promise<void>;
}

const WAIT_MS = 20_000;
const MIN_PAUSE_MS = 250;
const MAX_PAUSE_MS = 10_000;
/** A message that a handler failed at is put back after this long: at once it would come again at once. */
const RETRY_MS = 1_000;

/** Never ends by itself: a node that restarts, and a queue that is still to be made, are waited for. */
export function consume(
  messages: Settling,
  sleep: Sleep,
  queue: string,
  handler: (delivery: Delivery) => Promise<void>,
  { prefetch = 1, visibility_ms = 30_000, onError = () => undefined }: ConsumeOptions = {},
): Consumer {
  const stopping = new AbortController();
  const { signal } = stopping;
  const settle = async (delivery: Delivery) => {
    try {
      await handler(delivery);
    } catch (error) {
      onError(error, delivery);
      await sleep(RETRY_MS, signal);
      return messages.reject(queue, delivery.token, { requeue: true });
    }
    return messages.ack(queue, delivery.token);
  };
  const handle = (delivery: Delivery) => settle(delivery).catch((error: unknown) => onError(error, delivery));
  const run = async () => {
    const active = new Set<Promise<void>>();
    let pause = MIN_PAUSE_MS;
    while (!signal.aborted) {
      try {
        const deliveries = await messages.pull(queue, { limit: prefetch - active.size, wait_ms: WAIT_MS, visibility_ms, signal });
        for (const delivery of deliveries) {
          const work = handle(delivery).then(() => void active.delete(work));
          active.add(work);
        }
        pause = MIN_PAUSE_MS;
      } catch (error) {
        if (signal.aborted) break;
        onError(error);
        await sleep(pause, signal);
        pause = Math.min(2 * pause, MAX_PAUSE_MS);
      }
      if (active.size >= prefetch) await Promise.race(active);
    }
    await Promise.all(active);
  };
  const running = run();
  return {
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}
