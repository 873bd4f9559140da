import { sha256Hex } from '../../contract/canonical.ts';
import type { BusValue } from '../../contract/profile.ts';
import { BusError, type Delivery, type OutgoingMessage } from '../../ports/event-bus.ts';

/**
 * Headers of a message that went from a queue of the embedded bus straight into the queue of the same name (through the
 * exchange "" with the name as its key): where it was published, and with which key.
 */
export const ORIGIN = { exchange: 'x-bootplane-exchange', key: 'x-bootplane-key' } as const;
/** Why the external will not have a message, on those that wait for a person in `REFUSED`. */
export const REASON = { queue: 'x-bootplane-queue', message_id: 'x-bootplane-message-id', error: 'x-bootplane-error' } as const;

const HELD = 'bootplane.held.';
const PASSAGE = 'bootplane.into.';
/** A queue of the embedded bus, and the exchange that leads there: what the external refused for good. */
export const REFUSED = 'bootplane.refused';
const MAX_NAME = 255;
/** What the buses take, less what is added on the way. */
const MAX_HEADERS_BYTES = 60 * 1024;

/** The queue of the embedded bus, and its exchange, for what was published to an exchange and routed nowhere. */
export function heldName(exchange: string): Promise<string> {
  return longName(HELD, exchange);
}

/** An exchange of the external that leads to one queue, for as long as messages go over. */
export function passageName(queue: string): Promise<string> {
  return longName(PASSAGE, queue);
}

async function longName(prefix: string, rest: string): Promise<string> {
  const name = `${prefix}${rest}`;
  if (name.length <= MAX_NAME) return name;
  const hash = await sha256Hex(rest);
  return `${name.slice(0, MAX_NAME - hash.length - 1)}.${hash}`;
}

export function isHeld(queue: string): boolean {
  return queue.startsWith(HELD);
}

/** Queues and exchanges that only the way to the external uses. */
export function isReserved(name: string): boolean {
  return isHeld(name) || name.startsWith(PASSAGE) || name === REFUSED;
}

/** Throws as for a queue that is not there. */
export function refuseReserved(queue: string): void {
  if (isReserved(queue)) throw new BusError('no_such_queue', `There is no queue ${queue}`);
}

/** Refuses what could not go over later because no header fits in any more. */
export function checkRoom({ headers, message_id }: OutgoingMessage): void {
  if (headers === undefined || new TextEncoder().encode(JSON.stringify(headers)).length <= MAX_HEADERS_BYTES) return;
  throw new BusError(
    'unsupported',
    `The headers of ${message_id} have more than ${MAX_HEADERS_BYTES} bytes: no room is left to say where it was published`,
  );
}

/** Straight into the queue that holds it in the embedded bus, with what a consumer needs to see it as it was. */
export function intoQueue(delivery: Delivery): OutgoingMessage {
  const { exchange, key, queue } = delivery;
  if (exchange === '' && key === queue) return outgoing(delivery);
  const headers = { ...delivery.headers, [ORIGIN.exchange]: exchange, [ORIGIN.key]: key };
  return { ...outgoing(delivery), exchange: '', key: queue, headers };
}

/** As it was published, before it was kept in a queue of ours. */
export function toOrigin(delivery: Delivery): OutgoingMessage {
  const { [ORIGIN.exchange]: exchange, ...headers } = delivery.headers;
  return { ...outgoing(delivery), exchange: String(exchange ?? ''), headers };
}

/** What a consumer sees of a message that may have gone straight into its queue. */
export function asPublished(delivery: Delivery): Delivery {
  const { [ORIGIN.exchange]: exchange, [ORIGIN.key]: key, ...headers } = delivery.headers;
  if (typeof exchange !== 'string') return delivery;
  if (delivery.exchange.startsWith(PASSAGE)) return { ...delivery, exchange, headers };
  const isDirect = delivery.exchange === '' && delivery.key === delivery.queue && typeof key === 'string';
  return isDirect ? { ...delivery, exchange, key, headers } : delivery;
}

export function outgoing({ exchange, key, body, message_id, content_type, headers }: Delivery): OutgoingMessage {
  return { exchange, key, body, message_id, ...(content_type === undefined ? {} : { content_type }), headers };
}

/** Tells where it stands in what is kept of it for a person. The id is another one for each queue that held it. */
export async function refusedMessage(delivery: Delivery, error: string): Promise<OutgoingMessage> {
  const { queue, exchange, message_id } = delivery;
  const about: Record<string, BusValue> = { [REASON.queue]: queue, [REASON.message_id]: message_id, [REASON.error]: error.slice(0, 500) };
  const headers = { [ORIGIN.exchange]: exchange, [ORIGIN.key]: delivery.key, ...delivery.headers, ...about };
  return { ...outgoing(delivery), exchange: REFUSED, message_id: await sha256Hex(JSON.stringify([queue, exchange, message_id])), headers };
}

/** One that was put aside, as it was handed out by the queue that it was to leave. */
export function readmitted(delivery: Delivery): Delivery {
  const {
    [REASON.queue]: queue,
    [REASON.message_id]: message_id,
    [REASON.error]: _,
    [ORIGIN.exchange]: exchange,
    [ORIGIN.key]: key,
    ...headers
  } = delivery.headers;
  const about = {
    queue: String(queue ?? ''),
    message_id: String(message_id ?? ''),
    exchange: String(exchange ?? ''),
    key: String(key ?? ''),
  };
  return { ...delivery, ...about, headers };
}

export type Side = 'external' | 'fallback';

const MARKS = { external: 'x:', fallback: 'l:' } as const;

/** A token that says which side it belongs to. */
export function marked(side: Side, delivery: Delivery): Delivery {
  return { ...delivery, token: `${MARKS[side]}${delivery.token}` };
}

/** The side and its own token. Throws `unknown_delivery` for what is neither's. */
export function unmarked(queue: string, token: string): { side: Side; token: string } {
  for (const side of ['external', 'fallback'] as const)
    if (token.startsWith(MARKS[side])) return { side, token: token.slice(MARKS[side].length) };
  throw new BusError('unknown_delivery', `${token} is no open delivery of the queue ${queue}`);
}
