import type * as z from 'zod';
import { Binding, Exchange, Queue } from '../../../shared/contract/profile.ts';
import { BusError, type OutgoingMessage } from '../../../shared/ports/event-bus.ts';
import { X_MATCH } from './router.ts';

/** As RabbitMQ's default limit. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_HEADERS_BYTES = 64 * 1024;
const MAX_SHORT_BYTES = 255;
const NAMES = ['name', 'exchange', 'queue', 'key'];

export function checkExchange(exchange: Exchange): void {
  check(Exchange, exchange, `exchange ${exchange.name}`);
}

/** Of one that need not be there: the broker's own have names that none of a profile has. */
export function checkExchangeName(name: string): void {
  const issue = Exchange.shape.name.safeParse(name).error?.issues[0];
  if (issue !== undefined) throw new BusError('bad_name', `"${name}" is no exchange that a profile can name: it ${issue.message}`);
}

export function checkQueue(queue: Queue): void {
  check(Queue, queue, `queue ${queue.name}`);
}

export function checkBinding(binding: Binding): void {
  const subject = `binding ${binding.exchange} → ${binding.queue}`;
  check(Binding, binding, subject);
  const match = binding.arguments['x-match'] ?? 'all';
  if (!X_MATCH.some((mode) => mode === match)) {
    throw new BusError('incompatible', `The ${subject} has x-match ${match}: it must be one of ${X_MATCH.join(', ')}`);
  }
}

/** The contract's own rules; a broken one about a name is `bad_name`. */
function check(schema: z.ZodType, value: unknown, subject: string): void {
  const issue = schema.safeParse(value).error?.issues[0];
  if (issue === undefined) return;
  const field = String(issue.path[0] ?? '');
  throw new BusError(NAMES.includes(field) ? 'bad_name' : 'unsupported', `The ${subject} cannot be declared: ${field} ${issue.message}`);
}

/** Refuses what would not fit into AMQP, so that a message that goes through here goes through a broker. */
export function checkMessage(message: OutgoingMessage): void {
  checkShort('key', message.key);
  checkShort('message_id', message.message_id);
  checkShort('content_type', message.content_type ?? '');
  if (message.message_id === '')
    throw new BusError('bad_name', 'A message needs a message_id: it is what makes a repeated publish harmless');
  if (message.body.byteLength > MAX_BODY_BYTES) {
    throw new BusError(
      'unsupported',
      `The message ${message.message_id} has ${message.body.byteLength} bytes and ${MAX_BODY_BYTES} is the most: put the body into a bucket and send its key`,
    );
  }
  if (message.headers !== undefined) checkHeaders(message.message_id, message.headers);
}

function checkShort(field: string, text: string): void {
  if (byteLength(text) > MAX_SHORT_BYTES)
    throw new BusError('bad_name', `The ${field} must have at most ${MAX_SHORT_BYTES} bytes (AMQP): ${text}`);
  if (!text.isWellFormed()) throw new BusError('bad_name', `The ${field} is not valid Unicode`);
}

function checkHeaders(messageId: string, headers: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(headers)) {
    const fits = typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));
    if (!fits) throw new BusError('unsupported', `The header ${name} of ${messageId} must be a text, a finite number or a boolean`);
    if (byteLength(name) > MAX_SHORT_BYTES)
      throw new BusError('bad_name', `The header ${name} of ${messageId} has more than ${MAX_SHORT_BYTES} bytes`);
  }
  if (byteLength(JSON.stringify(headers)) > MAX_HEADERS_BYTES) {
    throw new BusError('unsupported', `The headers of ${messageId} have more than ${MAX_HEADERS_BYTES} bytes`);
  }
}

/** An option that must be a whole number from `least` to `most`. */
export function checkRange(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new BusError('unsupported', `${name} must be a whole number from ${least} to ${most}, and is ${value}`);
}

function byteLength(text: string): number {
  return Buffer.byteLength(text);
}
