import type { Binding, Exchange, Queue } from '../contract/profile.ts';
import type { ActionOf } from './action.ts';

/** Every action that the broker knows. */
export interface BrokerActions {
  'ensure-exchange': { safety: 'add'; data: { exchange: Exchange } };
  'ensure-queue': { safety: 'add'; data: { queue: Queue } };
  /** It exists and what it is can't be read: declaring it again tells, and changes nothing. */
  'compare-exchange': { safety: 'update'; data: { exchange: Exchange } };
  'compare-queue': { safety: 'update'; data: { queue: Queue } };
  /** `queue` is the existing one with nothing but its message TTL made longer or taken off. */
  'extend-queue-ttl': { safety: 'update'; data: { queue: Queue } };
  'ensure-binding': { safety: 'add'; data: { binding: Binding } };
  'enable-confirms': { safety: 'add'; data: Record<never, never> };
  'exchange-type-differs': { safety: 'incompatible'; data: { exchange: Exchange } };
  'queue-type-unsupported': { safety: 'incompatible'; data: { queue: Queue } };
  'queue-differs': { safety: 'incompatible'; data: { queue: Queue } };
  'queue-ttl-fixed': { safety: 'incompatible'; data: { queue: Queue } };
  /** A binding to a queue that can't be declared here. */
  'binding-without-queue': { safety: 'incompatible'; data: { binding: Binding } };
  'shorten-queue-ttl': { safety: 'destroy'; data: { queue: Queue } };
}

export type BrokerAction = ActionOf<BrokerActions>;

export const exchangeSubject = (name: string) => `exchange ${name}`;
export const queueSubject = (name: string) => `queue ${name}`;
export const ttlSubject = (name: string) => `message TTL of queue ${name}`;

export function bindingSubject({ exchange, queue, key, arguments: args }: Binding): string {
  const match = Object.keys(args).length === 0 ? '' : ` ${JSON.stringify(args)}`;
  return `binding ${exchange} to ${queue} "${key}"${match}`;
}
