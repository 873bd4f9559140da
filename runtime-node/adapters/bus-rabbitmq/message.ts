import type { Message, Options } from 'amqplib';
import type { BusValue } from '../../../shared/contract/profile.ts';
import { BusError, type Delivery, type OutgoingMessage } from '../../../shared/ports/event-bus.ts';
import { checkMessage } from '../bus-local/checks.ts';
import { toValues } from './arguments.ts';

const MAX_NAME_BYTES = 255;
/** RabbitMQ takes these for further routing keys, as lists; a text under such a name is refused with the whole channel. */
const ROUTING_HEADERS = ['CC', 'BCC'];

/** Refuses what the broker would refuse, since that would cost the channel that others publish on. */
export function checkOutgoing(message: OutgoingMessage): void {
  checkMessage(message);
  if (Buffer.byteLength(message.exchange) > MAX_NAME_BYTES) {
    throw new BusError('bad_name', `The name of an exchange has at most ${MAX_NAME_BYTES} bytes (AMQP): ${message.exchange}`);
  }
  const routing = ROUTING_HEADERS.find((name) => message.headers !== undefined && name in message.headers);
  if (routing !== undefined) {
    throw new BusError(
      'unsupported',
      `The header ${routing} of ${message.message_id} means further routing keys to RabbitMQ: use another name`,
    );
  }
}

/** Persistent and mandatory: durable in every queue that it reaches, and told when it reaches none. */
export function toOptions({ message_id, content_type, headers }: OutgoingMessage): Options.Publish {
  return {
    persistent: true,
    mandatory: true,
    messageId: message_id,
    ...(content_type === undefined ? {} : { contentType: content_type }),
    ...(headers === undefined ? {} : { headers }),
  };
}

/** Properties that somebody else's messages may lack become empty. */
export function toDelivery({ fields, properties, content }: Message, queue: string, token: string): Delivery {
  const { messageId, contentType, headers } = properties;
  return {
    exchange: fields.exchange,
    key: fields.routingKey,
    body: new Uint8Array(content.buffer, content.byteOffset, content.byteLength),
    message_id: typeof messageId === 'string' ? messageId : '',
    ...(typeof contentType === 'string' ? { content_type: contentType } : {}),
    headers: toHeaders(headers),
    queue,
    token,
    redelivered: fields.redelivered ?? false,
  };
}

function toHeaders(headers: unknown): Record<string, BusValue> {
  return typeof headers === 'object' && headers !== null ? toValues({ ...headers }) : {};
}
