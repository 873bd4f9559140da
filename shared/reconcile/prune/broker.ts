import { OVERLAY } from '../../contract/data.ts';
import type { Made } from '../../contract/made.ts';
import type { Binding, BrokerProfile, Exchange, Queue } from '../../contract/profile.ts';
import type { PruneEvidence, PruneKept } from '../../contract/prune.ts';
import type { BusCapabilities, EventBus, ExchangeState, QueueState, QueueUse, Topology } from '../../ports/event-bus.ts';
import { type BrokerAction, bindingSubject, exchangeSubject, queueSubject, ttlSubject } from '../broker-actions.ts';
import { bindingKey, diffBroker } from '../broker-diff.ts';
import { mapFew } from './each.ts';
import { type Findings, type Known, NO_LONGER_NAMED, NOTHING_LOST, type Removal, refuseChanged, refuseGrown, textOf } from './types.ts';

/** What this node made of a topology, and the profile does not name. */
interface Unnamed {
  readonly exchanges: readonly Exchange[];
  readonly queues: readonly Queue[];
  readonly bindings: readonly Binding[];
}

const UNREAD =
  'only that it exists could be read, so nobody can tell that it is still the one that was made here: set RABBITMQ_MANAGEMENT_URL';

/**
 * The broker: shorter message TTLs, then bindings, then queues, then exchanges, so that nothing more arrives where
 * something goes. No broker keeps who made a queue, so what counts is what this node noted and finds as it made it. Reads only.
 */
export async function findInBroker(bus: EventBus, desired: BrokerProfile, { owned }: Known): Promise<Findings> {
  const unnamed = unnamedOf(desired, owned);
  const ends = unnamed.bindings;
  const actual = await bus.readTopology({
    exchanges: unique([...[...desired.exchanges, ...unnamed.exchanges].map(({ name }) => name), ...ends.map(({ exchange }) => exchange)]),
    queues: unique([...[...desired.queues, ...unnamed.queues].map(({ name }) => name), ...ends.map(({ queue }) => queue)]),
    bindings: [...desired.bindings, ...unnamed.bindings],
  });
  const queues = sortQueues(unnamed, actual, bus.capabilities);
  const exchanges = sortExchanges(unnamed, actual, queues.stays);
  // The bindings that were made here went with the queue or exchange that somebody removed.
  const isTheirs = ({ queue, exchange }: Binding) => queues.anew.has(queue) || exchanges.anew.has(exchange);
  const bindings = unnamed.bindings.filter((binding) => isThere(binding, actual) && !isTheirs(binding));
  const shorter = diffBroker(desired, actual, bus.capabilities).filter((action) => action.kind === 'shorten-queue-ttl');
  const [alterable, fixed] = bus.capabilities.alter_ttl ? [shorter, []] : [[], shorter];
  return {
    removals: [
      ...(await mapFew(alterable, (action) => shortenTtl(bus, action))),
      ...bindings.map((binding) => removeBinding(bus, binding, actual)),
      ...(await mapFew(queues.leaving, (state) => removeQueue(bus, state, bindings))),
      ...exchanges.leaving.map((state) => removeExchange(bus, state, { bindings, queues: queues.leaving })),
    ],
    kept: [...fixed.map(ttlFixed), ...queues.kept, ...exchanges.kept],
    gone: [...queues.gone, ...exchanges.gone, ...unnamed.bindings.filter(isTheirs).map(toMade), ...bindingsGone(unnamed.bindings, actual)],
  };
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

/** What a queue or binding of the profile refers to is named by it, too. The overlay exchange is the node's own. */
function unnamedOf(desired: BrokerProfile, owned: readonly Made[]): Unnamed {
  const exchanges = new Set([
    OVERLAY,
    ...desired.exchanges.map(({ name }) => name),
    ...desired.queues.flatMap(({ dlx }) => dlx ?? []),
    ...desired.bindings.map(({ exchange }) => exchange),
  ]);
  const queues = new Set([...desired.queues.map(({ name }) => name), ...desired.bindings.map(({ queue }) => queue)]);
  const bindings = new Set(desired.bindings.map(bindingKey));
  return {
    exchanges: owned.flatMap((one) => (one.kind === 'exchange' && !exchanges.has(one.exchange.name) ? [one.exchange] : [])),
    queues: owned.flatMap((one) => (one.kind === 'queue' && !queues.has(one.queue.name) ? [one.queue] : [])),
    bindings: owned.flatMap((one) => (one.kind === 'binding' && !bindings.has(bindingKey(one.binding)) ? [one.binding] : [])),
  };
}

interface Sorted<State> {
  readonly leaving: readonly State[];
  readonly kept: readonly PruneKept[];
  readonly gone: readonly Made[];
  /** Names of those that somebody removed and somebody made anew: theirs, and forgotten. */
  readonly anew: ReadonlySet<string>;
}

function sortQueues(
  unnamed: Unnamed,
  actual: Topology,
  capabilities: BusCapabilities,
): Sorted<QueueState> & { readonly stays: readonly QueueState[] } {
  const states = new Map(actual.queues.map((state) => [state.name, state]));
  const pairs = unnamed.queues.flatMap((made) => {
    const is = states.get(made.name);
    return is === undefined ? [] : [{ is, anew: whyQueueIsAnew(made, is, capabilities) }];
  });
  const leaving = pairs.flatMap(({ is, anew }) => (anew === undefined && is.unread === undefined ? [is] : []));
  const anew = new Set(pairs.flatMap((pair) => (pair.anew === undefined ? [] : [pair.is.name])));
  return {
    leaving,
    anew,
    stays: actual.queues.filter((state) => !leaving.includes(state)),
    kept: pairs.flatMap(({ is, anew }) => keep(queueSubject(is.name), anew ?? (is.unread && UNREAD))),
    gone: unnamed.queues.filter(({ name }) => !states.has(name) || anew.has(name)).map((queue) => ({ kind: 'queue', queue })),
  };
}

function keep(subject: string, detail: string | undefined): PruneKept[] {
  return detail === undefined ? [] : [{ subject, detail }];
}

/** By what nobody can change of a queue that exists. */
function whyQueueIsAnew(made: Queue, is: QueueState, { alter_ttl }: BusCapabilities): string | undefined {
  if (is.unread !== undefined) return undefined;
  if (is.differs !== undefined) return `it is not as bootplane made it: ${is.differs.join(', ')}`;
  const fixed = ({ type, dlx, ttl_ms, arguments: args }: Pick<QueueState, 'type' | 'dlx' | 'ttl_ms' | 'arguments'>) =>
    textOf({ type, dlx, arguments: args, ttl_ms: alter_ttl ? undefined : ttl_ms });
  if (fixed(made) === fixed(is)) return undefined;
  return `its type, dlx${alter_ttl ? '' : ', message TTL'} or arguments are not as bootplane made it: somebody else made it anew`;
}

function sortExchanges(unnamed: Unnamed, actual: Topology, stays: readonly QueueState[]): Sorted<ExchangeState> {
  const states = new Map(actual.exchanges.map((state) => [state.name, state]));
  const pairs = unnamed.exchanges.flatMap((made) => {
    const is = states.get(made.name);
    if (is === undefined) return [];
    const anew = whyExchangeIsAnew(made, is);
    return [{ is, anew, why: anew ?? whyExchangeStays(is, stays) }];
  });
  const anew = new Set(pairs.flatMap((pair) => (pair.anew === undefined ? [] : [pair.is.name])));
  return {
    leaving: pairs.flatMap(({ is, why }) => (why === undefined ? [is] : [])),
    anew,
    kept: pairs.flatMap(({ is, why }) => keep(exchangeSubject(is.name), why)),
    gone: unnamed.exchanges.filter(({ name }) => !states.has(name) || anew.has(name)).map((exchange) => ({ kind: 'exchange', exchange })),
  };
}

/** By what nobody can change of an exchange that exists. */
function whyExchangeIsAnew(made: Exchange, is: ExchangeState): string | undefined {
  if (is.unread !== undefined) return undefined;
  if (is.differs !== undefined) return `it is not as bootplane made it: ${is.differs.join(', ')}`;
  return is.type === made.type ? undefined : `it was ${made.type} and is ${is.type}: somebody else made it anew`;
}

function whyExchangeStays(is: ExchangeState, stays: readonly QueueState[]): string | undefined {
  if (is.unread !== undefined) return UNREAD;
  const queue = stays.find(({ dlx }) => dlx === is.name);
  return queue === undefined ? undefined : `queue ${queue.name} dead-letters into it`;
}

/** A binding goes with its exchange or its queue. Where bindings can't be read, one whose ends are there may be there. */
function isThere(binding: Binding, { exchanges, queues, bindings, bindings_unread }: Topology): boolean {
  if (bindings.some((one) => bindingKey(one) === bindingKey(binding))) return true;
  const endsAreThere = exchanges.some(({ name }) => name === binding.exchange) && queues.some(({ name }) => name === binding.queue);
  return bindings_unread !== undefined && endsAreThere;
}

function bindingsGone(bindings: readonly Binding[], actual: Topology): Made[] {
  if (actual.bindings_unread !== undefined) return [];
  return bindings.filter((binding) => !isThere(binding, actual)).map(toMade);
}

function toMade(binding: Binding): Made {
  return { kind: 'binding', binding };
}

function removeBinding(bus: EventBus, binding: Binding, { bindings_unread }: Topology): Removal {
  const detail = bindings_unread === undefined ? NO_LONGER_NAMED : `${NO_LONGER_NAMED}; ${bindings_unread}`;
  const about = { before: binding, detail, evidence: NOTHING_LOST };
  return {
    view: { kind: 'remove-binding', safety: 'destroy', subject: bindingSubject(binding), ...about },
    needs: [],
    execute: () => bus.removeBinding(binding),
    forget: { kind: 'binding', binding },
  };
}

async function removeQueue(bus: EventBus, before: QueueState, bindings: readonly Binding[]): Promise<Removal> {
  const { name } = before;
  const held = await evidenceOf(bus, name);
  const isGuarded = held.empty && bus.capabilities.removes_if_empty.some((type) => type === before.type);
  const evidence: PruneEvidence = held.empty && !isGuarded ? { ...held, unguarded: true } : held;
  return {
    view: { kind: 'remove-queue', safety: 'destroy', subject: queueSubject(name), before, detail: NO_LONGER_NAMED, evidence },
    needs: bindings.filter(({ queue }) => queue === name).map(bindingSubject),
    async execute() {
      // Of what the broker itself keeps while it holds anything, no message can be lost. To ask costs a read of all that it has.
      const { queues } = isGuarded ? { queues: [] } : await bus.readTopology({ exchanges: [], queues: [name], bindings: [] });
      refuseChanged(before, queues[0]);
      await bus.removeQueue(name, { if_empty: evidence.empty, if_unused: true });
    },
    forget: { kind: 'queue', queue: asMade(before) },
  };
}

/** A queue is noted under its name. */
function asMade({ name }: QueueState): Queue {
  return { name, type: 'classic', arguments: {} };
}

async function evidenceOf(bus: EventBus, queue: string): Promise<PruneEvidence> {
  const [{ ready, unacked: handed }, { unacked: told = 0, ...use }] = await Promise.all([bus.queueStats(queue), bus.queueUse(queue)]);
  const unacked = Math.max(handed, told);
  return { empty: ready + unacked === 0, ...(isUsed(use) ? { used: true } : {}), use, holds: { messages: ready, unacked } };
}

/** Messages that come alone show no use: what nobody takes is what would be lost, and it is counted. */
function isUsed({ consumers, lately }: QueueUse): boolean {
  return consumers > 0 || (lately !== undefined && lately.taken + lately.asked_in_vain > 0);
}

function removeExchange(
  bus: EventBus,
  { differs: _, ...before }: ExchangeState,
  { bindings, queues }: { readonly bindings: readonly Binding[]; readonly queues: readonly QueueState[] },
): Removal {
  const { name } = before;
  const bound = bindings.filter(({ exchange }) => exchange === name).map(bindingSubject);
  const deadLettering = queues.filter(({ dlx }) => dlx === name).map((queue) => queueSubject(queue.name));
  const about = { before, detail: NO_LONGER_NAMED, evidence: NOTHING_LOST };
  return {
    view: { kind: 'remove-exchange', safety: 'destroy', subject: exchangeSubject(name), ...about },
    needs: [...bound, ...deadLettering],
    // What others have bound to it keeps it: the broker refuses.
    execute: () => bus.removeExchange(name),
    forget: { kind: 'exchange', exchange: { name, type: 'direct' } },
  };
}

type Shorten = Extract<BrokerAction, { kind: 'shorten-queue-ttl' }>;

async function shortenTtl(bus: EventBus, { kind, safety, before, after, data: { queue } }: Shorten): Promise<Removal> {
  const evidence = await evidenceOf(bus, queue.name);
  const detail = 'the profile gives messages a shorter life: those that are older than that are dropped';
  return {
    view: { kind, safety, subject: ttlSubject(queue.name), before, after, detail, evidence },
    needs: [],
    execute: () => refuseGrown(evidence, () => evidenceOf(bus, queue.name)).then(() => bus.ensureQueue(queue)),
  };
}

function ttlFixed({ data: { queue } }: Shorten): PruneKept {
  const detail = 'this broker does not change the message TTL of an existing queue: give the queue a new name';
  return { subject: ttlSubject(queue.name), detail };
}
