import { OVERLAY } from '../shared/contract/data.ts';
import { BusError, type EventBus } from '../shared/ports/event-bus.ts';
import type { Log } from '../shared/ports/log.ts';
import type { Overlay } from '../shared/supervisor/outbox.ts';

/** Notifications under way; beyond it they are dropped, since a slow bus must not hold up the Supervisor. */
const MAX_PENDING = 1000;

type Body = Readonly<Record<string, unknown>>;
export type Emit = (topic: string, body: Body, idempotency_key: string) => void;

export interface OverlayOptions {
  readonly bus: EventBus;
  /** Where what is told best effort goes: a bus that keeps nothing for later. Default: `bus`. */
  readonly direct?: EventBus;
  readonly log: Log;
}

/** What of the overlay is on the bus: the event log, confirmed, and heartbeats as far as they get. */
export function createOverlay({ bus, direct = bus, log }: OverlayOptions): Overlay & { readonly emit: Emit } {
  const send = createSender(bus, log);
  return {
    publish: ({ topic, message_id, body }) => send(topic, body, message_id),
    emit: createEmit(direct === bus ? send : createSender(direct, log), log),
  };
}

/** Best effort, bounded, never awaited. */
function createEmit(send: Send, log: Log): Emit {
  let pending = 0;
  let failing = false;
  return (topic, body, idempotency_key) => {
    if (pending >= MAX_PENDING) return;
    pending += 1;
    send(topic, body, idempotency_key)
      .then(() => {
        failing = false;
      })
      .catch((error: unknown) => {
        if (!failing) log.warn('heartbeats do not reach the overlay; they are not kept for later', { error: String(error) });
        failing = true;
      })
      .finally(() => {
        pending -= 1;
      });
  };
}

/** Resolves when the bus has confirmed it, or has nobody who wants it. */
type Send = (topic: string, body: Body, message_id: string) => Promise<void>;

function createSender(bus: EventBus, log: Log): Send {
  let declared: Promise<void> | undefined;
  // It is tried again at each event, and would say the same each time.
  let complaint: string | undefined;
  const complain = (why: string | undefined) => {
    const message = `the exchange ${OVERLAY} can't be declared as a topic; events are published to what is there`;
    if (why !== undefined && why !== complaint) log.warn(message, { error: why });
    complaint = why;
  };
  const publish = async (topic: string, body: Body, message_id: string) => {
    declared ??= declare(bus, complain);
    try {
      await declared;
      const bytes = new TextEncoder().encode(JSON.stringify(body));
      await bus.publish({ exchange: OVERLAY, key: topic, body: bytes, message_id, content_type: 'application/json' });
    } catch (error) {
      // A broker that comes back may have lost the exchange, or be another one.
      declared = undefined;
      throw error;
    }
  };
  return async (topic, body, message_id) => {
    try {
      await publish(topic, body, message_id);
    } catch (error) {
      if (!(error instanceof BusError && error.kind === 'no_such_exchange')) throw error;
      // Somebody has deleted it.
      await publish(topic, body, message_id);
    }
  };
}

async function declare(bus: EventBus, complain: (why: string | undefined) => void): Promise<void> {
  try {
    await bus.ensureExchange({ name: OVERLAY, type: 'topic' });
    complain(undefined);
  } catch (error) {
    // One of another type is what somebody wanted, and one that this node may not declare can be there: what is published says more.
    if (!(error instanceof BusError && (error.kind === 'incompatible' || error.kind === 'unauthorized'))) throw error;
    complain(error.message);
  }
}
