import { fromBase64, toBase64 } from '../contract/base64.ts';
import { type DeliveredMessage, type PublishMessage, PublishMessageAnswer, PullAnswer } from '../contract/data.ts';
import { type Connection, callJson, segment } from './call.ts';
import { type ConsumeOptions, type Consumer, consume, type Delivery, type Settling, type Sleep } from './consume.ts';

export interface OutgoingMessage extends Omit<PublishMessage, 'body'> {
  /** At most 64 KiB. A text is sent as UTF-8. */
  readonly body?: Uint8Array | string;
}

export interface Messages extends Settling {
  /**
   * Resolves when the message is durably in every queue that it was routed to. With the same `message_id` it may be sent
   * again: queues that know it store it once, and whoever handles it can tell.
   */
  publish(exchange: string, message: OutgoingMessage): Promise<{ routed: boolean }>;
  /** Calls `handler` for each message; acks when it resolves, puts the message back when it rejects. Goes on until `stop`. */
  consume(queue: string, handler: (delivery: Delivery) => Promise<void>, options?: ConsumeOptions): Consumer;
}

export function createMessages(connection: Connection, sleep: Sleep): Messages {
  const messages: Messages = {
    publish: (exchange, { body = '', ...message }) => {
      const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
      const path = `/v1/messages/${segment(exchange)}`;
      return callJson(connection, { method: 'POST', path, body: { ...message, body: toBase64(bytes) }, schema: PublishMessageAnswer });
    },
    async pull(queue, { signal, ...request } = {}) {
      const call = { method: 'POST', path: queuePath(queue), body: request, schema: PullAnswer } as const;
      const answer = await callJson(connection, signal === undefined ? call : { ...call, signal });
      return answer.messages.map(toDelivery);
    },
    ack: (queue, token) => callJson<void>(connection, { method: 'POST', path: `${queuePath(queue)}/ack`, body: { token } }),
    reject: (queue, token, { requeue }) =>
      callJson<void>(connection, { method: 'POST', path: `${queuePath(queue)}/reject`, body: { token, requeue } }),
    consume: (queue, handler, options) => consume(messages, sleep, queue, handler, options),
  };
  return messages;
}

function queuePath(queue: string): string {
  return `/v1/queues/${segment(queue)}/messages`;
}

function toDelivery({ body, ...message }: DeliveredMessage): Delivery {
  const bytes = fromBase64(body) ?? new Uint8Array();
  return { ...message, body: bytes, text: () => new TextDecoder().decode(bytes) };
}
