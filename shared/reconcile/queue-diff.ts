import type { Queue } from '../contract/profile.ts';
import type { BusCapabilities } from '../ports/event-bus.ts';
import { type BrokerAction, queueSubject, ttlSubject } from './broker-actions.ts';

/** A queue that is not there yet. */
export function declareQueue(queue: Queue, { queue_types }: BusCapabilities): BrokerAction {
  const about = { subject: queueSubject(queue.name), after: queue, data: { queue }, needs: [] };
  if (queue_types.includes(queue.type)) return { ...about, kind: 'ensure-queue', safety: 'add' };
  const detail = `this broker has no ${queue.type} queues, only ${queue_types.join(', ')}: change the type in the profile`;
  return { ...about, kind: 'queue-type-unsupported', safety: 'incompatible', detail };
}

/** A queue that exists. Its message TTL is judged by itself, so that another difference does not hide it. */
export function changeQueue(wanted: Queue, is: Queue, capabilities: BusCapabilities): BrokerAction[] {
  return [...fixedDifferences(wanted, is), ...diffTtl(wanted, is, capabilities)];
}

function fixedDifferences(wanted: Queue, is: Queue): BrokerAction[] {
  const fields = [
    ...(wanted.type === is.type ? [] : ['type']),
    ...(wanted.dlx === is.dlx ? [] : ['dlx']),
    ...(sameArguments(wanted.arguments, is.arguments) ? [] : ['arguments']),
  ];
  if (fields.length === 0) return [];
  const detail = `its ${fields.join(', ')} can't be changed after it was declared: give the queue a new name, or delete it by hand`;
  const view = { subject: queueSubject(wanted.name), before: is, after: wanted, detail };
  return [{ ...view, kind: 'queue-differs', safety: 'incompatible', data: { queue: wanted }, needs: [] }];
}

function diffTtl(wanted: Queue, is: Queue, capabilities: BusCapabilities): BrokerAction[] {
  const [before, after] = [is.ttl_ms ?? Number.POSITIVE_INFINITY, wanted.ttl_ms ?? Number.POSITIVE_INFINITY];
  if (before === after) return [];
  const view = {
    subject: ttlSubject(wanted.name),
    before: is.ttl_ms ?? 'none',
    after: wanted.ttl_ms ?? 'none',
    needs: [queueSubject(wanted.name)],
  };
  if (after < before) {
    const detail = `a TTL of ${after} ms would drop messages that now stay ${inWords(is.ttl_ms)}: left as it is. Change it by hand if that is meant`;
    return [{ ...view, kind: 'shorten-queue-ttl', safety: 'destroy', detail, data: { queue: withTtl(is, wanted.ttl_ms) } }];
  }
  const data = { queue: withTtl(is, wanted.ttl_ms) };
  if (capabilities.alter_ttl) return [{ ...view, kind: 'extend-queue-ttl', safety: 'update', data }];
  const detail = 'this broker does not change the message TTL of an existing queue: give the queue a new name, or delete it by hand';
  return [{ ...view, kind: 'queue-ttl-fixed', safety: 'incompatible', detail, data }];
}

function withTtl({ ttl_ms: _, ...queue }: Queue, ttl_ms: number | undefined): Queue {
  return ttl_ms === undefined ? queue : { ...queue, ttl_ms };
}

function inWords(ttl_ms: number | undefined): string {
  return ttl_ms === undefined ? 'for good' : `${ttl_ms} ms`;
}

function sameArguments(a: Queue['arguments'], b: Queue['arguments']): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && a[name] === b[name]);
}
