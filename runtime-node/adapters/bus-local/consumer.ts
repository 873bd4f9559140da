import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError, type Consumer, type Delivery } from '../../../shared/ports/event-bus.ts';
import type { Log } from '../../../shared/ports/log.ts';
import { messageOf } from '../../thrown.ts';

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;

export interface ConsumerParts {
  readonly queue: string;
  readonly prefetch: number;
  readonly handler: (delivery: Delivery) => Promise<void>;
  /** Takes up to `limit`, waiting until there is one or `signal` aborts. */
  readonly take: (limit: number, signal: AbortSignal) => Promise<Delivery[]>;
  readonly ack: (token: string) => Promise<void>;
  readonly requeue: (token: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Keeps up to `prefetch` handlers under way. After a failure it pauses, longer with each one that
 * follows (10 ms to 1 s), so that a message that nobody can handle does not keep the machine busy.
 */
export function startConsumer(parts: ConsumerParts): Consumer {
  const stopping = new AbortController();
  const underWay = new Set<Promise<void>>();
  let failures = 0;
  let complaint: string | undefined;

  const settled = async (delivery: Delivery): Promise<void> => {
    const failure = await handle(parts, delivery);
    failures = failure === undefined ? 0 : failures + 1;
    if (failure !== undefined) parts.log.warn('A message could not be handled', failureFields(parts.queue, delivery, failure));
  };
  const start = (delivery: Delivery) => {
    const task = settled(delivery).finally(() => underWay.delete(task));
    underWay.add(task);
  };
  const round = async (): Promise<void> => {
    if (underWay.size >= parts.prefetch) return Promise.race(underWay);
    if (failures > 0) await parts.clock.sleep(pauseAfter(failures), stopping.signal);
    const deliveries = await parts.take(parts.prefetch - underWay.size, stopping.signal);
    if (!stopping.signal.aborted) deliveries.forEach(start);
    else await Promise.all(deliveries.map(({ token }) => parts.requeue(token)));
  };
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await round().then(
        () => {
          complaint = undefined;
        },
        (error: unknown) => {
          failures += 1;
          // Said once and not each second: the queue may be gone for good, or declared again at any time.
          if (complaint !== messageOf(error))
            parts.log.error('A consumer could not take messages', { queue: parts.queue, error: messageOf(error) });
          complaint = messageOf(error);
        },
      );
    }
    await Promise.all(underWay);
  };

  const ended = run();
  return {
    stop: () => {
      stopping.abort();
      return ended;
    },
  };
}

/** What went wrong, if anything did. */
async function handle({ handler, ack, requeue }: ConsumerParts, delivery: Delivery): Promise<unknown> {
  try {
    await handler(delivery);
  } catch (error) {
    return await requeue(delivery.token).then(
      () => error ?? 'no reason given',
      (second: unknown) => second,
    );
  }
  return await ack(delivery.token).then(
    () => undefined,
    (error: unknown) => error,
  );
}

function failureFields(queue: string, { message_id, redelivered }: Delivery, failure: unknown) {
  const kind = failure instanceof BusError ? { kind: failure.kind } : {};
  return { queue, message_id, redelivered, ...kind, error: messageOf(failure) };
}

function pauseAfter(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 20));
}
