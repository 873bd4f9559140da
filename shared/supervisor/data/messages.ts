import { fromBase64, toBase64 } from '../../contract/base64.ts';
import {
  AckRequest,
  type DeliveredMessage,
  ExchangePath,
  MESSAGE_BODY_BYTES,
  MESSAGE_REQUEST_BYTES,
  OVERLAY,
  PublishMessage,
  PublishMessageAnswer,
  PullAnswer,
  PullRequest,
  QueuePath,
  RejectRequest,
} from '../../contract/data.ts';
import type { Delivery, EventBus } from '../../ports/event-bus.ts';
import type { Caller } from '../auth.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, type Route, route } from '../route.ts';
import { BACKEND_PROBLEMS } from './problems.ts';

export function messageRoutes(bus: EventBus): Route[] {
  return [publish(bus), pull(bus), ack(bus), reject(bus)];
}

function publish(bus: EventBus): Route {
  return route('service', {
    method: 'post',
    path: '/v1/messages/{exchange}',
    tag: 'data',
    summary: 'Publishes a message; answers when it is durably in every queue that it was routed to',
    params: ExchangePath,
    body: PublishMessage,
    max_bytes: MESSAGE_REQUEST_BYTES,
    answers: { 200: { description: 'Whether a queue got it.', schema: PublishMessageAnswer } },
    problems: ['no_such_exchange', ...BACKEND_PROBLEMS],
    async handle({ caller, params: { exchange }, body: { body: text, content_type, ...message } }) {
      refuseOverlay(caller, exchange, message.key);
      const body = readBody(text);
      return json(await bus.publish({ exchange, body, ...message, ...(content_type === undefined ? {} : { content_type }) }));
    },
  });
}

function pull(bus: EventBus): Route {
  return route('service', {
    method: 'post',
    path: '/v1/queues/{queue}/messages',
    tag: 'data',
    summary: 'Takes messages, each hidden from others until it is settled or visibility_ms has passed',
    params: QueuePath,
    body: PullRequest,
    answers: { 200: { description: 'What was there, or came within wait_ms.', schema: PullAnswer } },
    problems: ['no_such_queue', ...BACKEND_PROBLEMS],
    async handle({ params: { queue }, body, request: { signal } }) {
      const deliveries = await bus.receive(queue, { ...body, signal });
      if (signal.aborted) {
        await putBack(bus, queue, deliveries);
        throw new ProblemError('bad_request', 'who asked is gone');
      }
      return json({ messages: deliveries.map(toMessage) });
    },
  });
}

function ack(bus: EventBus): Route {
  return route('service', {
    method: 'post',
    path: '/v1/queues/{queue}/messages/ack',
    tag: 'data',
    summary: 'Settles a delivery: the message is gone for good',
    params: QueuePath,
    body: AckRequest,
    answers: { 204: { description: 'It is settled.' } },
    problems: ['no_such_queue', 'unknown_delivery', ...BACKEND_PROBLEMS],
    async handle({ params: { queue }, body: { token } }) {
      await bus.ack(queue, token);
      return empty(204);
    },
  });
}

function reject(bus: EventBus): Route {
  return route('service', {
    method: 'post',
    path: '/v1/queues/{queue}/messages/reject',
    tag: 'data',
    summary: 'Puts a message back, or drops it, which dead-letters it where the queue says so',
    params: QueuePath,
    body: RejectRequest,
    answers: { 204: { description: 'It is settled.' } },
    problems: ['no_such_queue', 'unknown_delivery', ...BACKEND_PROBLEMS],
    async handle({ params: { queue }, body: { token, requeue } }) {
      await bus.reject(queue, token, { requeue });
      return empty(204);
    },
  });
}

/** Nodes and front ends believe what they hear there of leaders and plans. */
function refuseOverlay({ scope }: Caller, exchange: string, key: string): void {
  if (scope !== 'service' || exchange !== OVERLAY || !key.startsWith(`${OVERLAY}.`)) return;
  throw new ProblemError('forbidden', `keys that start with ${OVERLAY}. are bootplane's own on the exchange ${OVERLAY}: use another key`);
}

function readBody(text: string): Uint8Array {
  const body = fromBase64(text) ?? new Uint8Array();
  if (body.byteLength <= MESSAGE_BODY_BYTES) return body;
  const detail = `has ${body.byteLength} bytes and ${MESSAGE_BODY_BYTES} is the most: put it into a bucket and send its key`;
  throw new ProblemError('too_large', `/body: ${detail}`, { errors: [{ pointer: '/body', detail }] });
}

/** Nobody will settle them: without this they would stay hidden until their time has run out. */
async function putBack(bus: EventBus, queue: string, deliveries: readonly Delivery[]): Promise<void> {
  await Promise.all(deliveries.map(({ token }) => bus.reject(queue, token, { requeue: true }).catch(() => undefined)));
}

function toMessage({ token, queue, exchange, key, message_id, body, content_type, headers, redelivered }: Delivery): DeliveredMessage {
  const type = content_type === undefined ? {} : { content_type };
  return { token, queue, exchange, key, message_id, body: toBase64(body), ...type, headers: { ...headers }, redelivered };
}
