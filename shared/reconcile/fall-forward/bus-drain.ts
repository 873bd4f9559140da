import { BusError, type Delivery, type EventBus } from '../../ports/event-bus.ts';

/** Longer than any confirm takes. What is not settled by then is in its queue again. */
const LEASE_MS = 120_000;

export interface Drain {
  readonly bus: EventBus;
  readonly queue: string;
  /** How many are under way at once; 1 where a queue may refuse one and take the next. Asked before each batch. */
  window(): number;
  /** Ends after as many: where publishers do not wait there may always be more. */
  readonly limit: number;
  readonly signal: AbortSignal;
  /** Resolves when the message need not stay. */
  send(delivery: Delivery): Promise<void>;
  settled(count: number): void;
}

/**
 * Sends what is ready in a queue, in its order, two batches at a time. A message is settled when it and all before it are
 * sent, so that after a failure the rest goes once more in its order. Nothing is sent any more once one is known to have failed: the
 * line may be there again by then, and what is behind would arrive first. Rejects with the first failure.
 */
export async function drain(task: Drain): Promise<void> {
  const { bus, queue, window, limit, signal, send } = task;
  let before: Promise<void> = Promise.resolve();
  let hasFailed = false;
  const note = (error: unknown): Failure => {
    hasFailed = true;
    return { error };
  };
  try {
    for (let left = limit; left > 0 && !signal.aborted; ) {
      const size = Math.min(window(), left);
      const earlier = before;
      if (size === 1) await earlier;
      const batch = await bus.receive(queue, { limit: size, visibility_ms: LEASE_MS });
      if (batch.length === 0) return;
      if (hasFailed) {
        // Behind those that failed, which go back first.
        await earlier.catch(() => undefined);
        return await putBack(bus, queue, batch);
      }
      left -= batch.length;
      const sending = Promise.all(batch.map((delivery) => send(delivery).then(() => undefined, note)));
      before = finish(task, batch, sending, earlier);
      before.catch(() => undefined);
      // The next one is on its way while this one is confirmed and written down.
      await earlier;
    }
  } finally {
    await before;
  }
}

/** Settles a batch, once the one before it is. */
async function finish(
  { bus, queue, settled }: Drain,
  batch: readonly Delivery[],
  sending: Promise<(Failure | undefined)[]>,
  earlier: Promise<void>,
): Promise<void> {
  const failures = await sending;
  try {
    await earlier;
  } catch (error) {
    await putBack(bus, queue, batch);
    throw error;
  }
  const failed = failures.findIndex((failure) => failure !== undefined);
  const sent = failed === -1 ? batch : batch.slice(0, failed);
  await settleAll(bus, queue, sent);
  settled(sent.length);
  if (failed === -1) return;
  await putBack(bus, queue, batch.slice(failed));
  throw failures[failed]?.error;
}

interface Failure {
  readonly error: unknown;
}

async function settleAll(bus: EventBus, queue: string, deliveries: readonly Delivery[]): Promise<void> {
  await Promise.all(deliveries.map(({ token }) => bus.ack(queue, token).catch(ignoreRunOut)));
}

async function putBack(bus: EventBus, queue: string, deliveries: readonly Delivery[]): Promise<void> {
  await Promise.all(deliveries.map(({ token }) => bus.reject(queue, token, { requeue: true }).catch(ignoreRunOut)));
}

/** It is in its queue again, and goes once more. */
function ignoreRunOut(error: unknown): void {
  if (!(error instanceof BusError && error.kind === 'unknown_delivery')) throw error;
}
