import type { BusValue, Queue } from '../../../shared/contract/profile.ts';
import type { QueueState } from '../../../shared/ports/event-bus.ts';

const TTL = 'x-message-ttl';
const DLX = 'x-dead-letter-exchange';
const TYPE = 'x-queue-type';

/** Without it a virtual host's default type would decide; RabbitMQ takes `classic` and nothing for the same. */
export function toArguments({ type, ttl_ms, dlx, arguments: others }: Queue): Record<string, BusValue> {
  return {
    ...others,
    [TYPE]: type,
    ...(ttl_ms === undefined ? {} : { [TTL]: ttl_ms }),
    ...(dlx === undefined ? {} : { [DLX]: dlx }),
  };
}

/** What a queue was declared with, as the broker tells it. */
export interface DeclaredQueue {
  readonly name: string;
  readonly durable: boolean;
  readonly auto_delete: boolean;
  readonly exclusive?: boolean | undefined;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export function toQueueState({ name, durable, auto_delete, exclusive, arguments: all }: DeclaredQueue): QueueState {
  const { [TTL]: ttl, [DLX]: dlx, [TYPE]: type, ...others } = all;
  const differs = [...(durable ? [] : ['not durable']), ...(auto_delete ? ['auto-delete'] : []), ...(exclusive ? ['exclusive'] : [])];
  return {
    name,
    type: typeof type === 'string' ? type : 'classic',
    ...(typeof ttl === 'number' ? { ttl_ms: ttl } : {}),
    ...(typeof dlx === 'string' ? { dlx } : {}),
    arguments: toValues(others),
    ...(differs.length === 0 ? {} : { differs }),
  };
}

/** Tables, lists and whatever else a profile cannot name become text, so that they differ from what it can. */
export function toValues(values: Readonly<Record<string, unknown>>): Record<string, BusValue> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, toValue(value)]));
}

function toValue(value: unknown): BusValue {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return JSON.stringify(value) ?? 'null';
}
