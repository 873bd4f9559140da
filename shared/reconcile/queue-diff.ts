import { type Queue, QueueType } from '../contract/profile.ts';
import type { BusCapabilities, QueueState } from '../ports/event-bus.ts';
import { type BrokerAction, queueSubject, ttlSubject } from './broker-actions.ts';

const QUEUE_TYPES = QueueType.options;

/** A queue that is not there yet. */
export function declareQueue(queue: Queue, { queue_types }: BusCapabilities): BrokerAction {
  const about = { subject: queueSubject(queue.name), after: queue, data: { queue }, needs: [] };
  if (queue_types.includes(queue.type)) return { ...about, kind: 'ensure-queue', safety: 'add' };
  const detail = `this broker has no ${queue.type} queues, only ${queue_types.join(', ')}: change the type in the profile`;
  return { ...about, kind: 'queue-type-unsupported', safety: 'incompatible', detail };
}

/** A queue that exists. Its message TTL is judged by itself, so that another difference does not hide it. */
export function changeQueue(wanted: Queue, is: QueueState, capabilities: BusCapabilities): BrokerAction[] {
  if (is.unread === undefined) return [...fixedDifferences(wanted, is), ...diffTtl(wanted, is, capabilities)];
  const about = { subject: queueSubject(wanted.name), after: wanted, detail: is.unread, data: { queue: wanted }, needs: [] };
  return [{ ...about, kind: 'compare-queue', safety: 'update', probe: true }];
}

function fixedDifferences(wanted: Queue, is: QueueState): BrokerAction[] {
  const fields = [
    ...(wanted.type === is.type ? [] : ['type']),
    ...(wanted.dlx === is.dlx ? [] : ['dlx']),
    ...(sameArguments(wanted.arguments, is.arguments) ? [] : ['arguments']),
  ];
  if (fields.length === 0 && is.differs === undefined) return [];
  const what =
    is.differs === undefined ? `its ${fields.join(', ')} can't` : `it is there as something else (${is.differs.join(', ')}), which can't`;
  const detail = `${what} be changed after it was declared: give the queue a new name, or delete it by hand`;
  const view = { subject: queueSubject(wanted.name), before: is, after: wanted, detail };
  return [{ ...view, kind: 'queue-differs', safety: 'incompatible', data: { queue: wanted }, needs: [] }];
}

function diffTtl(wanted: Queue, is: QueueState, capabilities: BusCapabilities): BrokerAction[] {
  const existing = asQueue(is);
  // A queue of a type that no profile can name differs as a whole.
  if (existing === undefined) return [];
  const [before, after] = [is.ttl_ms ?? Number.POSITIVE_INFINITY, wanted.ttl_ms ?? Number.POSITIVE_INFINITY];
  if (before === after) return [];
  const view = {
    subject: ttlSubject(wanted.name),
    before: is.ttl_ms ?? 'none',
    after: wanted.ttl_ms ?? 'none',
    needs: [queueSubject(wanted.name)],
  };
  if (after < before) {
    const meant = capabilities.alter_ttl
      ? 'if that is meant, approve it with `bootplane prune`'
      : 'give the queue a new name if that is meant';
    const detail = `a TTL of ${after} ms would drop messages that now stay ${inWords(is.ttl_ms)}: left as it is; ${meant}`;
    return [{ ...view, kind: 'shorten-queue-ttl', safety: 'destroy', detail, data: { queue: withTtl(existing, wanted.ttl_ms) } }];
  }
  const data = { queue: withTtl(existing, wanted.ttl_ms) };
  if (capabilities.alter_ttl) return [{ ...view, kind: 'extend-queue-ttl', safety: 'update', data }];
  const detail = 'this broker does not change the message TTL of an existing queue: give the queue a new name, or delete it by hand';
  return [{ ...view, kind: 'queue-ttl-fixed', safety: 'incompatible', detail, data }];
}

function asQueue({ name, type, ttl_ms, dlx, arguments: others }: QueueState): Queue | undefined {
  const known = QUEUE_TYPES.find((one) => one === type);
  if (known === undefined) return undefined;
  return { name, type: known, ...(ttl_ms === undefined ? {} : { ttl_ms }), ...(dlx === undefined ? {} : { dlx }), arguments: others };
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
