import type { Binding, BrokerProfile, Exchange } from '../contract/profile.ts';
import type { BusCapabilities, ExchangeState, Topology } from '../ports/event-bus.ts';
import { type BrokerAction, bindingSubject, exchangeSubject, queueSubject } from './broker-actions.ts';
import { changeQueue, declareQueue } from './queue-diff.ts';

/**
 * What separates the topology that exists from the wanted one, in the order of the specification:
 * exchanges, queues, bindings, confirms. Whatever `desired` does not name is left alone; without a
 * desired topology there is nothing to do. Linear in the size of both.
 */
export function diffBroker(desired: BrokerProfile | undefined, actual: Topology, capabilities: BusCapabilities): BrokerAction[] {
  const { exchanges = [], queues = [], bindings = [] } = desired ?? {};
  if (exchanges.length + queues.length + bindings.length === 0) return [];
  const found = new Map(actual.queues.map((queue) => [queue.name, queue]));
  const refused = new Set(
    queues.filter(({ name, type }) => !found.has(name) && !capabilities.queue_types.includes(type)).map(({ name }) => name),
  );
  return [
    ...diffExchanges(exchanges, actual.exchanges),
    ...queues.flatMap((wanted) => {
      const is = found.get(wanted.name);
      return is === undefined ? [declareQueue(wanted, capabilities)] : changeQueue(wanted, is, capabilities);
    }),
    ...diffBindings(bindings, actual, { refused, ends: endsOf({ exchanges, queues }) }),
    ...(actual.confirms ? [] : [enableConfirms()]),
  ];
}

function diffExchanges(wanted: readonly Exchange[], actual: readonly ExchangeState[]): BrokerAction[] {
  const found = new Map(actual.map((exchange) => [exchange.name, exchange]));
  return wanted.flatMap((exchange): BrokerAction[] => {
    const is = found.get(exchange.name);
    const about = { subject: exchangeSubject(exchange.name), after: exchange, data: { exchange }, needs: [] };
    if (is === undefined) return [{ ...about, kind: 'ensure-exchange', safety: 'add' }];
    if (is.unread !== undefined) return [{ ...about, kind: 'compare-exchange', safety: 'update', detail: is.unread, probe: true }];
    if (is.type === exchange.type && is.differs === undefined) return [];
    const what =
      is.differs === undefined ? `${is.type} and the profile wants ${exchange.type}` : `there as something else (${is.differs.join(', ')})`;
    const detail = `it is ${what}, which can't be changed: give the exchange a new name, or delete it by hand`;
    return [{ ...about, kind: 'exchange-type-differs', safety: 'incompatible', before: is, detail }];
  });
}

function diffBindings(
  wanted: readonly Binding[],
  { exchanges, queues, bindings, bindings_unread }: Topology,
  desired: { readonly refused: ReadonlySet<string>; readonly ends: ReadonlySet<string> },
): BrokerAction[] {
  const { refused } = desired;
  const found = new Set(bindings.map(bindingKey));
  const ends = endsOf({ exchanges, queues });
  const isNowhere = (subject: string) => !ends.has(subject) && !desired.ends.has(subject);
  return wanted.flatMap((binding): BrokerAction[] => {
    const key = bindingKey(binding);
    if (found.has(key)) return [];
    found.add(key);
    const about = { subject: bindingSubject(binding), after: binding, data: { binding } };
    if (!refused.has(binding.queue)) {
      const needs = [exchangeSubject(binding.exchange), queueSubject(binding.queue)];
      // Without its exchange or its queue it is gone for sure.
      const isUnread = bindings_unread !== undefined && needs.every((subject) => ends.has(subject));
      const unread = isUnread ? ({ detail: bindings_unread, probe: true } as const) : {};
      const nowhere = needs.filter(isNowhere);
      const lacks =
        nowhere.length === 0 ? {} : { detail: `${nowhere.join(' and ')}: not there, and not in the profile, so this will fail` };
      return [{ ...about, ...unread, ...lacks, kind: 'ensure-binding', safety: 'add', needs }];
    }
    const detail = `queue ${binding.queue} can't be declared on this broker`;
    return [{ ...about, kind: 'binding-without-queue', safety: 'incompatible', detail, needs: [] }];
  });
}

type Named = readonly { readonly name: string }[];

function endsOf({ exchanges, queues }: { readonly exchanges: Named; readonly queues: Named }): ReadonlySet<string> {
  return new Set([...exchanges.map(({ name }) => exchangeSubject(name)), ...queues.map(({ name }) => queueSubject(name))]);
}

function enableConfirms(): BrokerAction {
  return { kind: 'enable-confirms', safety: 'add', subject: 'publisher confirms', before: false, after: true, data: {}, needs: [] };
}

/** Two bindings with one key are the same binding, whatever the order of their arguments. */
export function bindingKey({ exchange, queue, key, arguments: args }: Binding): string {
  const sorted = Object.keys(args)
    .sort()
    .flatMap((name) => [name, args[name]]);
  return JSON.stringify([exchange, queue, key, ...sorted]);
}
