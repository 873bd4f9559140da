import type { Binding, Exchange, Queue } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import {
  type BusBackend,
  type BusCapabilities,
  BusError,
  type Consumer,
  type Delivery,
  type EventBus,
  type OutgoingMessage,
  type QueueUse,
  type ReceiveOptions,
  type RemoveQueueOptions,
  type Topology,
  type TopologyNames,
} from '../../../shared/ports/event-bus.ts';
import type { Log } from '../../../shared/ports/log.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { checkBinding, checkExchange, checkExchangeName, checkQueue, checkRange } from '../bus-local/checks.ts';
import { parseAddress } from './address.ts';
import { ChannelPool } from './channel-pool.ts';
import { RabbitConsumer } from './consumer.ts';
import { Link } from './link.ts';
import { Management } from './management.ts';
import { checkOutgoing } from './message.ts';
import { Publisher } from './publisher.ts';
import { Pull } from './pull.ts';
import { QueueRemoval } from './removal.ts';
import { BrokerTopology } from './topology.ts';

export interface RabbitBusOptions {
  /** `amqp://` or `amqps://USER:PASSWORD@HOST:PORT/VHOST`. What it holds of secrets is shown nowhere. */
  readonly url: string;
  /** As `http://HOST:15672`, with the credentials of `url` where it has none. Absent: AMQP alone tells what exists. */
  readonly management_url?: string;
  /** PEM of the authority that signed the certificates of both. Absent: those that Node trusts. */
  readonly ca?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** More on one connection gain nothing; fewer wait for answers. */
const DECLARING_CHANNELS = 16;
const MAX_LIMIT = 1000;
const DAY_MS = 86_400_000;
const DEFAULT_VISIBILITY_MS = 30_000;

/**
 * The event bus on RabbitMQ (3.10 or later, AMQP 0-9-1). Connects when it is first used, and again whenever it must.
 *
 * - A refused declaration costs a channel of a pool and nothing else; an item that exists and is another is `incompatible`.
 * - Publishers have a connection of their own, so that a broker that is short of disk or memory can still be emptied.
 * - A publish whose confirm was lost rejects with `backend_away` and may have been stored: it is for the caller to repeat.
 * - `visibility_ms` is a timer of this process; a delivery also goes back when its connection is lost, or with its process.
 *   RabbitMQ itself takes a delivery back after its `consumer_timeout` (30 minutes by default).
 * - What an AMQP header cannot say in the port's values (lists, tables, bytes) arrives as JSON text or base64.
 *
 * Throws `BusError` `failed` when an address is malformed.
 */
export function createRabbitBus(options: RabbitBusOptions): EventBus {
  return new RabbitBus(options);
}

class RabbitBus implements EventBus {
  readonly backend: BusBackend;
  readonly capabilities: BusCapabilities = {
    alter_ttl: false,
    deduplicates: false,
    queue_types: ['classic', 'quorum'],
    removes_if_empty: ['classic'],
    shared: true,
    concurrent_declarations: 2 * DECLARING_CHANNELS,
    counts_all_unacked: false,
  };
  readonly #options: RabbitBusOptions;
  readonly #link: Link;
  readonly #publishing: Link;
  readonly #topology: BrokerTopology;
  readonly #publisher: Publisher;
  readonly #pull: Pull;
  readonly #removal: QueueRemoval;
  readonly #consumers = new Set<RabbitConsumer>();
  #confirms = false;
  #closed: Promise<void> | undefined;

  constructor(options: RabbitBusOptions) {
    const { url, management_url, ca, clock, random, log } = options;
    const address = parseAddress(url);
    const { vhost, username, password } = address;
    const trust = ca === undefined ? {} : { ca };
    const management =
      management_url === undefined ? undefined : new Management({ url: management_url, vhost, username, password, ...trust });
    this.#options = options;
    this.backend = { kind: 'rabbitmq', identity: address.identity };
    this.#link = new Link({ address, name: 'bootplane', clock, random, log, ...trust });
    this.#publishing = new Link({ address, name: 'bootplane publisher', clock, random, log, ...trust });
    const pool = new ChannelPool(this.#link, clock, DECLARING_CHANNELS);
    this.#topology = new BrokerTopology({ pool, link: this.#link, management, clock, log });
    this.#publisher = new Publisher({
      link: this.#publishing,
      clock,
      exchangeExists: (name) => this.#topology.exchangeExists(name),
    });
    this.#pull = new Pull({ link: this.#link, clock, instance: random.uuid() });
    this.#removal = new QueueRemoval({ pool, address, clock, ...trust });
  }

  async readTopology(wanted: TopologyNames): Promise<Topology> {
    this.#refuseClosed();
    return { ...(await this.#topology.read(wanted)), confirms: this.#confirms };
  }

  async ensureExchange(exchange: Exchange): Promise<void> {
    this.#refuseClosed();
    checkExchange(exchange);
    await this.#topology.declareExchange(exchange);
  }

  async ensureQueue(queue: Queue): Promise<void> {
    this.#refuseClosed();
    checkQueue(queue);
    await this.#topology.declareQueue(queue);
  }

  async ensureBinding(binding: Binding): Promise<void> {
    this.#refuseClosed();
    checkBinding(binding);
    await this.#topology.bind(binding);
  }

  async ensureConfirms(): Promise<void> {
    this.#refuseClosed();
    await this.#publisher.ready();
    this.#confirms = true;
  }

  /** What other processes hold unsettled is not counted by `if_empty`; who consumes is seen by `if_unused`. */
  async removeQueue(queue: string, options: RemoveQueueOptions = {}): Promise<void> {
    this.#refuseClosed();
    await this.#removal.remove(queue, options, await this.#held(queue));
    this.#topology.forgetQueue(queue);
    this.#pull.forget(queue);
  }

  /** Another exchange that is bound to this one goes on without it: what it sent here went nowhere. */
  async removeExchange(exchange: string): Promise<void> {
    this.#refuseClosed();
    checkExchangeName(exchange);
    await this.#topology.removeExchange(exchange);
  }

  async removeBinding(binding: Binding): Promise<void> {
    this.#refuseClosed();
    await this.#topology.unbind(binding);
  }

  async publish(message: OutgoingMessage): Promise<{ routed: boolean }> {
    this.#refuseClosed();
    checkOutgoing(message);
    return await this.#publisher.publish(message);
  }

  async receive(queue: string, options: ReceiveOptions = {}): Promise<Delivery[]> {
    this.#refuseClosed();
    const limit = checkRange('limit', options.limit ?? 1, 1, MAX_LIMIT);
    const wait_ms = checkRange('wait_ms', options.wait_ms ?? 0, 0, DAY_MS);
    const visibility_ms = checkRange('visibility_ms', options.visibility_ms ?? DEFAULT_VISIBILITY_MS, 1, DAY_MS);
    return await this.#pull.receive({ queue, limit, wait_ms, visibility_ms, signal: options.signal });
  }

  async ack(queue: string, token: string): Promise<void> {
    this.#refuseClosed();
    await this.#pull.settle(queue, token, 'ack');
  }

  async reject(queue: string, token: string, { requeue }: { requeue: boolean }): Promise<void> {
    this.#refuseClosed();
    await this.#pull.settle(queue, token, requeue ? 'requeue' : 'drop');
  }

  /** `prefetch` 1 to 1000, default 1: handlers under way at once. */
  async consume(queue: string, handler: (delivery: Delivery) => Promise<void>, options: { prefetch?: number } = {}): Promise<Consumer> {
    this.#refuseClosed();
    const prefetch = checkRange('prefetch', options.prefetch ?? 1, 1, MAX_LIMIT);
    const { clock, random, log } = this.#options;
    const consumer = new RabbitConsumer({ queue, prefetch, handler, link: this.#link, clock, random, log });
    await consumer.start();
    this.#consumers.add(consumer);
    return { stop: () => consumer.stop().finally(() => this.#consumers.delete(consumer)) };
  }

  async queueStats(queue: string): Promise<{ ready: number; unacked: number }> {
    this.#refuseClosed();
    return { ready: await this.#topology.messagesReady(queue), unacked: await this.#held(queue) };
  }

  async queueUse(queue: string): Promise<QueueUse> {
    this.#refuseClosed();
    return await this.#topology.use(queue);
  }

  /** Stops all consumers, waits for handlers and publishes under way, and closes both connections. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.all([...Array.from(this.#consumers, (consumer) => consumer.stop()), this.#pull.stop(), this.#publisher.stop()]);
    await Promise.all([this.#link.close(), this.#publishing.close()]);
  }

  /** What this process has taken of a queue and not settled. */
  async #held(queue: string): Promise<number> {
    const handled = [...this.#consumers].filter((consumer) => consumer.queue === queue).map(({ held }) => held);
    return handled.reduce((sum, held) => sum + held, await this.#pull.count(queue));
  }

  #refuseClosed(): void {
    if (this.#closed !== undefined) throw new BusError('failed', `The bus ${this.backend.identity} is closed`);
  }
}
