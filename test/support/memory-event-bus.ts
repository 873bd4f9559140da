import { Binding, Exchange, Queue } from '../../shared/contract/profile.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import {
  type BusCapabilities,
  BusError,
  type Consumer,
  type Delivery,
  type EventBus,
  type OutgoingMessage,
  type QueueUse,
  type RemoveQueueOptions,
  type Topology,
} from '../../shared/ports/event-bus.ts';
import { type Death, MemoryQueue } from './memory-queue.ts';
import { routes } from './memory-routing.ts';

export interface MemoryEventBus extends EventBus {
  /** A person deletes a queue (and its bindings) behind everybody's back. */
  dropQueue(name: string): void;
  /** All there is, whoever made it. */
  everything(): Topology;
}

/** Leads to the queue that the key names (AMQP 0-9-1, section 3.1.3.1). */
const DEFAULT_EXCHANGE = '';
/** Longer than any test waits: what a consumer holds does not come back until it is settled. */
const HELD_MS = 2 ** 40;
/** How long one that waits for a message goes without a look, at most. */
const POLL_MS = 50;

/** The event bus port in memory, with the routing and the dead-lettering of AMQP 0-9-1. */
export function memoryEventBus(clock: Clock, capabilities: Partial<BusCapabilities> = {}): MemoryEventBus {
  return new MemoryBus(clock, {
    alter_ttl: true,
    deduplicates: true,
    queue_types: ['classic', 'quorum'],
    removes_if_empty: ['classic', 'quorum'],
    shared: false,
    concurrent_declarations: 1,
    counts_all_unacked: true,
    ...capabilities,
  });
}

class MemoryBus implements MemoryEventBus {
  readonly backend = { kind: 'local', identity: 'memory' } as const;
  readonly capabilities: BusCapabilities;
  readonly #clock: Clock;
  readonly #exchanges = new Map<string, Exchange>();
  readonly #queues = new Map<string, MemoryQueue>();
  readonly #bindings = new Map<string, Binding>();
  readonly #published = new Set<string>();
  readonly #consumers = new Map<Consumer, string>();
  #confirms = false;
  #closed = false;

  constructor(clock: Clock, capabilities: BusCapabilities) {
    this.#clock = clock;
    this.capabilities = capabilities;
    // Methods are handed around one by one (spies): bind those that use private state.
    for (const name of BUS_METHODS) Object.defineProperty(this, name, { value: this.#guarded(this[name]), enumerable: true });
    for (const name of ALWAYS) Object.defineProperty(this, name, { value: this[name].bind(this), enumerable: true });
  }

  /** Bound, and refused once the bus is closed. */
  #guarded(method: (...args: never[]) => unknown) {
    return (...args: never[]) => {
      if (!this.#closed) return method.apply(this, args);
      return Promise.reject(new BusError('failed', 'the bus is closed'));
    };
  }

  async readTopology(wanted: Parameters<EventBus['readTopology']>[0]): Promise<Topology> {
    return {
      exchanges: wanted.exchanges.flatMap((name) => this.#exchanges.get(name) ?? []),
      queues: wanted.queues.flatMap((name) => this.#queues.get(name)?.spec ?? []),
      bindings: wanted.bindings.flatMap((binding) => this.#bindings.get(keyOf(binding)) ?? []),
      confirms: this.#confirms,
    };
  }

  async ensureExchange(exchange: Exchange): Promise<void> {
    if (!Exchange.safeParse(exchange).success) throw new BusError('bad_name', `${exchange.name} is no exchange name`);
    const before = this.#exchanges.get(exchange.name);
    if (before !== undefined && before.type !== exchange.type) {
      throw new BusError('incompatible', `exchange ${exchange.name} is ${before.type}, not ${exchange.type}`);
    }
    this.#exchanges.set(exchange.name, { ...exchange });
  }

  async ensureQueue(queue: Queue): Promise<void> {
    if (!Queue.safeParse(queue).success) throw new BusError('bad_name', `${queue.name} is no queue name`);
    if (!this.capabilities.queue_types.includes(queue.type)) throw new BusError('unsupported', `there are no ${queue.type} queues here`);
    const before = this.#queues.get(queue.name);
    if (before === undefined) {
      this.#queues.set(queue.name, new MemoryQueue(this.#clock, queue, (death) => this.#deadLetter(death)));
      return;
    }
    const same = fixedPart(before.spec) === fixedPart(queue) && (this.capabilities.alter_ttl || before.spec.ttl_ms === queue.ttl_ms);
    if (!same) throw new BusError('incompatible', `queue ${queue.name} exists with other arguments`);
    before.spec = queue;
  }

  async ensureBinding(binding: Binding): Promise<void> {
    if (!Binding.safeParse(binding).success) throw new BusError('bad_name', `${binding.key} is no binding key`);
    if (!this.#exchanges.has(binding.exchange)) throw new BusError('no_such_exchange', `there is no exchange ${binding.exchange}`);
    this.#queue(binding.queue);
    this.#bindings.set(keyOf(binding), binding);
  }

  async ensureConfirms(): Promise<void> {
    this.#confirms = true;
  }

  async removeQueue(queue: string, { if_empty = false, if_unused = false }: RemoveQueueOptions = {}): Promise<void> {
    const found = this.#queues.get(queue);
    if (found === undefined) return;
    const { ready, unacked } = found.stats();
    if (if_empty && ready + unacked > 0) throw new BusError('not_empty', `queue ${queue} holds ${ready + unacked} messages`);
    if (if_unused && (found.isAwaited() || [...this.#consumers.values()].includes(queue))) {
      throw new BusError('in_use', `queue ${queue} has consumers`);
    }
    this.dropQueue(queue);
  }

  async removeExchange(exchange: string): Promise<void> {
    if (!Exchange.shape.name.safeParse(exchange).success) throw new BusError('bad_name', `${exchange} is no exchange of a profile`);
    const bound = [...this.#bindings.values()].find((binding) => binding.exchange === exchange);
    if (bound !== undefined) throw new BusError('in_use', `queue ${bound.queue} is bound to exchange ${exchange}`);
    this.#exchanges.delete(exchange);
  }

  async removeBinding(binding: Binding): Promise<void> {
    this.#bindings.delete(keyOf(binding));
  }

  async publish(message: OutgoingMessage): Promise<{ routed: boolean }> {
    const exchange = this.#exchanges.get(message.exchange);
    if (exchange === undefined && message.exchange !== DEFAULT_EXCHANGE) {
      throw new BusError('no_such_exchange', `there is no exchange ${message.exchange}`);
    }
    const id = JSON.stringify([message.exchange, message.message_id]);
    if (this.capabilities.deduplicates && this.#published.has(id)) return { routed: true };
    const routed = this.#route(exchange, message);
    if (routed) this.#published.add(id);
    return { routed };
  }

  async receive(queue: string, options: Parameters<EventBus['receive']>[1] = {}): Promise<Delivery[]> {
    const { limit = 1, wait_ms = 0, visibility_ms = 30_000, signal } = options;
    const deadline = this.#clock.monotonic() + wait_ms;
    const isOver = () => signal?.aborted === true;
    const found = this.#queue(queue);
    let taken = found.take(limit, visibility_ms);
    for (let left = wait_ms; taken.length === 0 && left > 0 && !isOver(); left = deadline - this.#clock.monotonic()) {
      await found.changed(Math.min(left, POLL_MS), signal);
      if (isOver()) return [];
      taken = this.#queue(queue).take(limit, visibility_ms);
    }
    return taken;
  }

  async ack(queue: string, token: string): Promise<void> {
    this.#queue(queue).settle(token);
  }

  async reject(queue: string, token: string, { requeue }: { requeue: boolean }): Promise<void> {
    const found = this.#queue(queue);
    if (requeue) found.putBack(token);
    else found.drop(token);
  }

  async consume(
    queue: string,
    handler: (delivery: Delivery) => Promise<void>,
    { prefetch = 1 }: { prefetch?: number } = {},
  ): Promise<Consumer> {
    this.#queue(queue);
    const ended = new AbortController();
    const loops = Array.from({ length: prefetch }, () => this.#consumeLoop(queue, handler, ended.signal));
    const consumer: Consumer = {
      stop: async () => {
        ended.abort();
        this.#consumers.delete(consumer);
        await Promise.all(loops);
      },
    };
    this.#consumers.set(consumer, queue);
    return consumer;
  }

  async queueStats(queue: string): Promise<{ ready: number; unacked: number }> {
    return this.#queue(queue).stats();
  }

  async queueUse(queue: string): Promise<QueueUse> {
    const found = this.#queue(queue);
    const consumers = [...this.#consumers.values()].filter((one) => one === queue).length;
    return { consumers: Math.max(consumers, found.isAwaited() ? 1 : 0), unacked: found.stats().unacked, unread: 'it keeps no rates' };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#consumers.keys()].map((consumer) => consumer.stop()));
  }

  dropQueue(name: string): void {
    this.#queues.get(name)?.wake();
    this.#queues.delete(name);
    for (const [key, binding] of [...this.#bindings]) if (binding.queue === name) this.#bindings.delete(key);
  }

  everything(): Topology {
    const queues = [...this.#queues.values()].map(({ spec }) => spec);
    return { exchanges: [...this.#exchanges.values()], queues, bindings: [...this.#bindings.values()], confirms: this.#confirms };
  }

  async #consumeLoop(queue: string, handler: (delivery: Delivery) => Promise<void>, ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      const found = this.#queues.get(queue);
      if (found === undefined) {
        // The next queue of that name is its queue again.
        await this.#clock.sleep(POLL_MS, ended);
        continue;
      }
      const [delivery] = found.take(1, HELD_MS);
      if (delivery === undefined) await found.changed(POLL_MS, ended);
      else
        await handler(delivery).then(
          () => found.settle(delivery.token),
          () => found.putBack(delivery.token),
        );
    }
  }

  #route(exchange: Exchange | undefined, message: OutgoingMessage, trail: readonly string[] = []): boolean {
    const targets = exchange === undefined ? [message.key] : this.#targets(exchange, message);
    const queues = targets.filter((name) => !trail.includes(name)).flatMap((name) => this.#queues.get(name) ?? []);
    for (const queue of queues) queue.add(message, trail);
    return queues.length > 0;
  }

  #targets({ name, type }: Exchange, message: OutgoingMessage): string[] {
    const matching = [...this.#bindings.values()].filter((one) => one.exchange === name && routes(type, one, message));
    return [...new Set(matching.map(({ queue }) => queue))];
  }

  #deadLetter({ message, dlx, trail }: Death): void {
    const exchange = this.#exchanges.get(dlx);
    if (exchange !== undefined) this.#route(exchange, { ...message, exchange: dlx }, trail);
  }

  #queue(name: string): MemoryQueue {
    // What has had its time anywhere may be on its way here.
    for (const queue of this.#queues.values()) queue.tidy();
    const found = this.#queues.get(name);
    if (found === undefined) throw new BusError('no_such_queue', `there is no queue ${name}`);
    return found;
  }
}

/** What a bus does while it is open. */
export const BUS_METHODS = [
  'readTopology',
  'ensureExchange',
  'ensureQueue',
  'ensureBinding',
  'removeQueue',
  'removeExchange',
  'removeBinding',
  'ensureConfirms',
  'publish',
  'receive',
  'ack',
  'reject',
  'consume',
  'queueStats',
  'queueUse',
] as const;

/** What can be done with a closed bus. */
const ALWAYS = ['close', 'dropQueue', 'everything'] as const;

function keyOf({ exchange, queue, key, arguments: args }: Binding): string {
  return JSON.stringify([exchange, queue, key, Object.entries(args).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

function fixedPart({ type, dlx, arguments: args }: Queue): string {
  return JSON.stringify([type, dlx ?? null, Object.entries(args).sort(([a], [b]) => (a < b ? -1 : 1))]);
}
