import { OVERLAY } from '../shared/contract/data.ts';
import type { EventBus } from '../shared/ports/event-bus.ts';
import type { Log } from '../shared/ports/log.ts';

/** Notifications under way; beyond it they are dropped, since a slow bus must not hold up the Supervisor. */
const MAX_PENDING = 1000;

export type Emit = (topic: string, body: Readonly<Record<string, unknown>>, idempotency_key: string) => void;

/** Puts overlay notifications on the bus: best effort, in order, bounded, never awaited. */
export function createOverlay(bus: EventBus, log: Log): Emit {
  let pending = 0;
  let failing = false;
  let declared: Promise<void> | undefined;
  const publish = async (topic: string, body: Readonly<Record<string, unknown>>, message_id: string) => {
    declared ??= bus.ensureExchange({ name: OVERLAY, type: 'topic' });
    await declared;
    const bytes = new TextEncoder().encode(JSON.stringify(body));
    await bus.publish({ exchange: OVERLAY, key: topic, body: bytes, message_id, content_type: 'application/json' });
  };
  return (topic, body, idempotency_key) => {
    if (pending >= MAX_PENDING) return;
    pending += 1;
    publish(topic, body, idempotency_key)
      .then(() => {
        failing = false;
      })
      .catch((error: unknown) => {
        declared = undefined;
        if (!failing) log.warn('overlay notifications do not reach the bus', { error: String(error) });
        failing = true;
      })
      .finally(() => {
        pending -= 1;
      });
  };
}
