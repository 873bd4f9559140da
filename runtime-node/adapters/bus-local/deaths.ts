import type { BusValue } from '../../../shared/contract/profile.ts';

export type DeathReason = 'expired' | 'rejected';
type Headers = Readonly<Record<string, BusValue>>;

/** One entry of the `x-death` header, newest first: how often a message died in a queue for a reason. */
export interface Death {
  readonly queue: string;
  readonly reason: DeathReason;
  readonly count: number;
  /** Where the message had been published when it first died there, and with which key. */
  readonly exchange: string;
  readonly routing_key: string;
}

export interface Dying {
  readonly queue: string;
  readonly reason: DeathReason;
  readonly exchange: string;
  readonly key: string;
  readonly headers: Headers;
}

/** The deaths that the headers tell of; none when the header is absent or not ours. */
function deathsOf(headers: Headers): Death[] {
  const text = headers['x-death'];
  if (typeof text !== 'string') return [];
  try {
    const deaths: unknown = JSON.parse(text);
    return Array.isArray(deaths) ? deaths.filter(isDeath) : [];
  } catch {
    return [];
  }
}

function isDeath(one: unknown): one is Death {
  if (typeof one !== 'object' || one === null) return false;
  const { queue, reason, count } = one as Partial<Record<keyof Death, unknown>>; // any JSON object may be read by name
  return typeof queue === 'string' && (reason === 'expired' || reason === 'rejected') && typeof count === 'number';
}

/**
 * The headers after one more death. RabbitMQ's `x-death` is an array of tables, which a header of
 * ours cannot hold: here it is that array as JSON text. `x-first-death-*` never change again.
 */
export function withDeath({ queue, reason, exchange, key, headers }: Dying): Record<string, BusValue> {
  const deaths = deathsOf(headers);
  const same = (death: Death) => death.queue === queue && death.reason === reason;
  const before = deaths.find(same) ?? { queue, reason, count: 0, exchange, routing_key: key };
  const first = { 'x-first-death-queue': queue, 'x-first-death-reason': reason, 'x-first-death-exchange': exchange };
  const newest = { ...before, count: before.count + 1 };
  return { ...first, ...headers, 'x-death': JSON.stringify([newest, ...deaths.filter((death) => !same(death))]) };
}

/**
 * True when `queue` would get a message back that went round by expiry alone: nobody asked for that
 * round, so it would never end. A rejection anywhere on the way is somebody's will and goes on.
 */
export function isCycle(headers: Headers, queue: string): boolean {
  const deaths = deathsOf(headers);
  const last = deaths.findIndex((death) => death.queue === queue);
  return last >= 0 && deaths.slice(0, last + 1).every(({ reason }) => reason !== 'rejected');
}
