import type { Clock } from '../../ports/clock.ts';
import { BusError, type Delivery, type EventBus, type ReceiveOptions } from '../../ports/event-bus.ts';
import { asPublished, marked } from './bus-message.ts';
import type { Presence } from './presence.ts';

export interface ReceiverParts {
  readonly external: EventBus;
  readonly fallback: EventBus;
  readonly presence: Pick<Presence, 'state' | 'call'>;
  /** Resolves at the next change of the presence, or when `signal` aborts. */
  readonly changed: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  away(what: string): BusError;
}

/**
 * Takes from the external where it answers, and what waits here while it does not. With `wait_ms` it waits for an arrival
 * here or for the external, whichever comes.
 */
export async function receive(parts: ReceiverParts, queue: string, options: ReceiveOptions): Promise<Delivery[]> {
  const until = parts.clock.monotonic() + (options.wait_ms ?? 0);
  const left = () => Math.max(0, Math.ceil(until - parts.clock.monotonic()));
  for (let round = 0; ; round += 1) {
    const request = round === 0 ? options : { ...options, wait_ms: left() };
    const taken = (await fromExternal(parts, queue, request)) ?? (await fromHere(parts, queue, { ...request, wait_ms: left() }));
    if (taken !== undefined) return taken;
    if (options.signal?.aborted) return [];
    if (left() === 0) throw parts.away(`queue ${queue} holds nothing here`);
  }
}

/** Undefined where the external is away, or lacks a queue that is declared here. */
async function fromExternal(
  { external, fallback, presence }: ReceiverParts,
  queue: string,
  options: ReceiveOptions,
): Promise<Delivery[] | undefined> {
  if (presence.state === 'away') return undefined;
  try {
    const deliveries = await presence.call(() => external.receive(queue, options));
    return deliveries.map((delivery) => marked('external', asPublished(delivery)));
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    if (error.kind === 'backend_away') return undefined;
    if (error.kind === 'no_such_queue' && (await isDeclaredIn(fallback, queue))) return undefined;
    throw error;
  }
}

/** Undefined where nothing came until the time was over or the presence changed. */
async function fromHere(parts: ReceiverParts, queue: string, options: ReceiveOptions): Promise<Delivery[] | undefined> {
  const over = new AbortController();
  const signals = [over.signal, ...(options.signal === undefined ? [] : [options.signal])];
  const signal = AbortSignal.any(signals);
  const changed = parts.changed(signal).then(() => over.abort());
  try {
    const wait_ms = options.wait_ms ?? 0;
    if (wait_ms > 0 && !(await isDeclaredIn(parts.fallback, queue))) {
      // The external may have it: it is asked when it answers.
      if (parts.presence.state === 'away') await parts.clock.sleep(wait_ms, signal);
      return undefined;
    }
    const taken = await parts.fallback.receive(queue, { ...options, signal });
    return taken.length === 0 ? undefined : taken.map((delivery) => marked('fallback', delivery));
  } catch (error) {
    if (!(error instanceof BusError && error.kind === 'no_such_queue')) throw error;
    // It was removed meanwhile: where the external answers, that is its to say.
    if (options.wait_ms !== undefined && options.wait_ms > 0 && parts.presence.state === 'away') throw error;
    return undefined;
  } finally {
    over.abort();
    await changed;
  }
}

/** Whether the embedded bus has such a queue. */
export async function isDeclaredIn(bus: EventBus, queue: string): Promise<boolean> {
  return (await bus.readTopology({ exchanges: [], queues: [queue], bindings: [] })).queues.length > 0;
}
