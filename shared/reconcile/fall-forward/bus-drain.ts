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
 * Sends what is ready in a queue, in its order. A message is settled when it and all before it are sent,
 * so that after a failure the rest goes once more in its order. Rejects with the first failure.
 */
export async function drain({ bus, queue, window, limit, signal, send, settled }: Drain): Promise<void> {
  let settling = Promise.resolve();
  try {
    for (let left = limit; left > 0 && !signal.aborted; ) {
      const batch = await bus.receive(queue, { limit: Math.min(window(), left), visibility_ms: LEASE_MS });
      if (batch.length === 0) return;
      left -= batch.length;
      const failures = await Promise.all(batch.map((delivery) => send(delivery).then(() => undefined, toFailure)));
      const failed = failures.findIndex((failure) => failure !== undefined);
      const sent = failed === -1 ? batch : batch.slice(0, failed);
      await settling;
      // The next ones are on their way while these are written down.
      settling = settleAll(bus, queue, sent).then(() => settled(sent.length));
      settling.catch(() => undefined);
      if (failed === -1) continue;
      await putBack(bus, queue, batch.slice(failed));
      throw failures[failed]?.error;
    }
  } finally {
    await settling;
  }
}

function toFailure(error: unknown): { error: unknown } {
  return { error };
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
