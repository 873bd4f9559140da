import type { Channel } from 'amqplib';
import type { Binding, Exchange, Queue } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import {
  BusError,
  type ExchangeState,
  type QueueState,
  type QueueUse,
  type Topology,
  type TopologyNames,
} from '../../../shared/ports/event-bus.ts';
import type { Log } from '../../../shared/ports/log.ts';
import { bindingKey } from '../../../shared/reconcile/broker-diff.ts';
import { messageOf } from '../../thrown.ts';
import { reasonOf } from './amqp-error.ts';
import { toArguments } from './arguments.ts';
import type { ChannelPool } from './channel-pool.ts';
import type { Link } from './link.ts';
import type { Management } from './management.ts';

type State = Omit<Topology, 'confirms'>;

const HOW = 'the management interface (RABBITMQ_MANAGEMENT_URL) can tell';
const UNREAD = `AMQP alone says only that it exists, ${HOW} what it is`;
const USE_UNREAD = `AMQP alone tells only of consumers, ${HOW} whether anybody takes messages without being one (basic.get)`;
const BINDINGS_UNREAD = `AMQP alone can't list bindings, ${HOW} whether it exists`;

export interface TopologyParts {
  readonly pool: ChannelPool;
  readonly link: Link;
  readonly management: Management | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A refusal may be about a profile of the past, or about an item that somebody put right: it is tried again after this. */
const REFUSAL_KEPT_MS = 600_000;

interface Known<State> {
  readonly state: State;
  /** On the monotonic clock. */
  readonly until: number;
}

/** Declares exchanges, queues and bindings, and reads what is there. */
export class BrokerTopology {
  readonly #parts: TopologyParts;
  // What this process declared or was refused, on which it stands where AMQP alone has to tell what exists.
  readonly #exchanges = new Map<string, Known<ExchangeState>>();
  readonly #queues = new Map<string, Known<QueueState>>();
  readonly #bindings = new Map<string, Binding>();
  #complaint: string | undefined;

  constructor(parts: TopologyParts) {
    this.#parts = parts;
  }

  async declareExchange(exchange: Exchange): Promise<void> {
    const { name, type } = exchange;
    await this.#parts.pool
      .use(`exchange ${name}`, (channel) => channel.assertExchange(name, type, { durable: true }))
      .catch(this.#remembering<ExchangeState>(this.#exchanges, exchange));
    this.#exchanges.set(name, { state: exchange, until: Number.POSITIVE_INFINITY });
  }

  async declareQueue(queue: Queue): Promise<void> {
    await this.#parts.pool
      .use(`queue ${queue.name}`, (channel) => channel.assertQueue(queue.name, { durable: true, arguments: toArguments(queue) }))
      .catch(this.#remembering<QueueState>(this.#queues, queue));
    this.#queues.set(queue.name, { state: queue, until: Number.POSITIVE_INFINITY });
  }

  async bind(binding: Binding): Promise<void> {
    const { exchange, queue, key, arguments: values } = binding;
    await this.#parts.pool.use(`binding ${exchange} to ${queue}`, (channel) => channel.bindQueue(queue, exchange, key, values));
    this.#bindings.set(bindingKey(binding), binding);
  }

  /** From the management interface in one read, where it answers; else by passive declarations. */
  async read(wanted: TopologyNames): Promise<State> {
    if (wanted.exchanges.length + wanted.queues.length + wanted.bindings.length === 0) return { exchanges: [], queues: [], bindings: [] };
    return (await this.#readManaged(wanted)) ?? (await this.#readPassively(wanted));
  }

  async exchangeExists(name: string): Promise<void> {
    await this.#parts.pool.use(`exchange ${name}`, (channel) => channel.checkExchange(name));
  }

  async messagesReady(name: string): Promise<number> {
    return (await this.#parts.pool.use(`queue ${name}`, (channel) => channel.checkQueue(name))).messageCount;
  }

  /** Consumers by the broker itself, now; the rest by the management interface, where it answers. */
  async use(name: string): Promise<QueueUse> {
    const { consumerCount } = await this.#parts.pool.use(`queue ${name}`, (channel) => channel.checkQueue(name));
    const found = await this.#managed((management, cluster) => management.readUse(cluster, name));
    if (found === undefined) return { consumers: consumerCount, unread: USE_UNREAD };
    return { ...found, consumers: Math.max(consumerCount, found.consumers) };
  }

  /** RabbitMQ takes what is not there for removed. */
  async unbind(binding: Binding): Promise<void> {
    const { exchange, queue, key, arguments: values } = binding;
    await this.#parts.pool.use(`binding ${exchange} to ${queue}`, (channel) => channel.unbindQueue(queue, exchange, key, values));
    this.#bindings.delete(bindingKey(binding));
  }

  /** Refused (`in_use`) while anything is bound to it. */
  async removeExchange(name: string): Promise<void> {
    await this.#parts.pool.use(`exchange ${name}`, (channel) => channel.deleteExchange(name, { ifUnused: true }));
    this.#forget([name], [], [], []);
  }

  forgetQueue(name: string): void {
    this.#forget([], [], [name], []);
  }

  async #readManaged(wanted: TopologyNames): Promise<State | undefined> {
    const all = await this.#managed((management, cluster) => management.read(cluster));
    return all && pick(wanted, all);
  }

  /** Undefined where the management interface does not answer, or there is none. */
  async #managed<T>(ask: (management: Management, cluster: string | undefined) => Promise<T>): Promise<T | undefined> {
    const { link, management, log } = this.#parts;
    if (management === undefined) return undefined;
    // Asked for first: a broker that is away is said to be away, whatever its management interface does.
    const { cluster_name } = (await link.model()).connection.serverProperties;
    try {
      const found = await ask(management, typeof cluster_name === 'string' ? cluster_name : undefined);
      this.#complaint = undefined;
      return found;
    } catch (error) {
      const message = messageOf(error);
      if (this.#complaint !== message) log.warn('What RabbitMQ holds is told by AMQP alone', { error: message });
      this.#complaint = message;
      return undefined;
    }
  }

  async #readPassively({ exchanges, queues, bindings }: TopologyNames): Promise<State> {
    const [foundExchanges, foundQueues] = await Promise.all([
      this.#existing(exchanges, 'exchange', (channel, name) => channel.checkExchange(name)),
      this.#existing(queues, 'queue', (channel, name) => channel.checkQueue(name)),
    ]);
    this.#forget(exchanges, foundExchanges, queues, foundQueues);
    return {
      exchanges: foundExchanges.map((name) => this.#recall(this.#exchanges, name) ?? { name, type: 'unknown', unread: UNREAD }),
      queues: foundQueues.map((name) => this.#recall(this.#queues, name) ?? { name, type: 'unknown', arguments: {}, unread: UNREAD }),
      bindings: bindings.flatMap((binding) => this.#bindings.get(bindingKey(binding)) ?? []),
      bindings_unread: BINDINGS_UNREAD,
    };
  }

  /** Those of `names` that are there. Each that is not costs a channel, which is why they come from a pool. */
  async #existing(names: readonly string[], what: string, check: (channel: Channel, name: string) => Promise<unknown>): Promise<string[]> {
    const found = await Promise.all(
      names.map(async (name) => {
        try {
          await this.#parts.pool.use(`${what} ${name}`, (channel) => check(channel, name));
          return [name];
        } catch (error) {
          if (error instanceof BusError && (error.kind === 'no_such_exchange' || error.kind === 'no_such_queue')) return [];
          if (error instanceof BusError && error.kind === 'incompatible') return [name];
          throw error;
        }
      }),
    );
    return found.flat();
  }

  /** With an exchange or a queue its bindings go, whoever took it away. */
  #forget(
    exchanges: readonly string[],
    foundExchanges: readonly string[],
    queues: readonly string[],
    foundQueues: readonly string[],
  ): void {
    const gone = { exchanges: without(exchanges, foundExchanges), queues: without(queues, foundQueues) };
    for (const name of gone.exchanges) this.#exchanges.delete(name);
    for (const name of gone.queues) this.#queues.delete(name);
    for (const [key, { exchange, queue }] of [...this.#bindings]) {
      if (gone.exchanges.has(exchange) || gone.queues.has(queue)) this.#bindings.delete(key);
    }
  }

  /** Keeps what the broker said of an item that is there and is another, for a while: the next look can then tell it. */
  #remembering<State extends ExchangeState | QueueState>(known: Map<string, Known<State>>, item: State) {
    return (error: unknown): never => {
      const before = known.get(item.name)?.state;
      // Where this process made it, it is known what it is, and comparing tells the difference.
      const explained = before !== undefined && JSON.stringify(before) !== JSON.stringify(item);
      if (error instanceof BusError && error.kind === 'incompatible' && !explained) {
        const state = { ...item, differs: [reasonOf(error.cause ?? error)] };
        known.set(item.name, { state, until: this.#parts.clock.monotonic() + REFUSAL_KEPT_MS });
      }
      throw error;
    };
  }

  #recall<State>(known: Map<string, Known<State>>, name: string): State | undefined {
    const found = known.get(name);
    if (found === undefined || found.until > this.#parts.clock.monotonic()) return found?.state;
    known.delete(name);
    return undefined;
  }
}

function pick(wanted: TopologyNames, all: State): State {
  const [exchanges, queues] = [new Set(wanted.exchanges), new Set(wanted.queues)];
  const bindings = new Set(wanted.bindings.map(bindingKey));
  return {
    exchanges: all.exchanges.filter(({ name }) => exchanges.has(name)),
    queues: all.queues.filter(({ name }) => queues.has(name)),
    bindings: all.bindings.filter((binding) => bindings.has(bindingKey(binding))),
  };
}

function without(all: readonly string[], found: readonly string[]): Set<string> {
  const left = new Set(all);
  for (const name of found) left.delete(name);
  return left;
}
