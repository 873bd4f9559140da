import { resolve } from 'node:path';
import type Sqlite from 'better-sqlite3';
import type { Binding, Exchange, Queue } from '../../shared/contract/profile.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import {
  type BusBackend,
  type BusCapabilities,
  BusError,
  type Consumer,
  type Declared,
  type Delivery,
  type EmbeddedBus,
  type Holding,
  type OutgoingMessage,
  type QueueUse,
  type ReceiveOptions,
  type RemoveQueueOptions,
  type Topology,
  type TopologyNames,
} from '../../shared/ports/event-bus.ts';
import type { Log } from '../../shared/ports/log.ts';
import type { Random } from '../../shared/ports/random.ts';
import { Alarm } from './bus-local/alarm.ts';
import { checkBinding, checkExchange, checkExchangeName, checkMessage, checkQueue, checkRange } from './bus-local/checks.ts';
import { startConsumer } from './bus-local/consumer.ts';
import { type Lease, Leases } from './bus-local/leases.ts';
import { type Entry, type Held, MessageStore } from './bus-local/message-store.ts';
import { QueueRemoval } from './bus-local/removal.ts';
import { openQueues, toBusError } from './bus-local/schema.ts';
import { Signals } from './bus-local/signals.ts';
import { type QueueRow, TopologyStore } from './bus-local/topology.ts';
import { Traffic } from './bus-local/traffic.ts';
import type { SetAside } from './sqlite-file/damage.ts';
import { GroupCommit } from './sqlite-file/group-commit.ts';
import { IN_MEMORY } from './sqlite-file/open.ts';

const MAX_LIMIT = 1000;
const DEDUPLICATION_WINDOW = 100_000;
const DAY_MS = 86_400_000;
const DEFAULT_VISIBILITY_MS = 30_000;
/** How long a consumer's handler may take, as RabbitMQ's default. */
const CONSUMER_VISIBILITY_MS = 1_800_000;
/** The wall clock may jump or become trusted at any time: so often it is looked at while something has a lifetime. */
const RECHECK_MS = 10_000;
const NO_EFFECT_PREFIX = 'x-';
const HONOURED = ['x-dead-letter-routing-key'];

export interface LocalBusOptions {
  /** The SQLite file, or `:memory:`. One process uses a file at a time. */
  readonly path: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Most bytes of the file; beyond it a publish rejects with `full`. Absent: as far as the disk goes. */
  readonly max_bytes?: number;
  /** How many message ids are remembered, over all exchanges, so that a repeated publish is stored once. Default 100000. */
  readonly deduplication_window?: number;
  /** Moves a file that is damaged away, so that an empty one takes its place. Absent: it can't be opened. */
  readonly set_aside?: SetAside;
}

/**
 * The event bus inside this process: queues in one SQLite file, each answer after the commit.
 *
 * - Concurrent calls share one transaction and one fsync; calls run in the order in which they came.
 * - A repeated `message_id` on the same exchange is stored once within the last 100,000 routed messages of the
 *   bus (`deduplication_window`), also after a restart. A message that was routed nowhere does not count.
 * - Lifetimes follow the trusted wall clock only; `visibility_ms` follows the monotonic clock.
 * - Queue arguments are kept and compared; of them `x-dead-letter-routing-key` has an effect here.
 *
 * Throws `BusError` `failed` when the file cannot be opened or another process uses it.
 */
export function createLocalBus(options: LocalBusOptions): EmbeddedBus {
  return new LocalBus(options);
}

class LocalBus implements EmbeddedBus {
  readonly backend: BusBackend;
  readonly capabilities: BusCapabilities = {
    alter_ttl: true,
    deduplicates: true,
    queue_types: ['classic', 'quorum'],
    removes_if_empty: ['classic', 'quorum'],
    shared: false,
    concurrent_declarations: 1,
    counts_all_unacked: true,
  };
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #database: Sqlite.Database;
  readonly #commit: GroupCommit;
  readonly #topology: TopologyStore;
  readonly #messages: MessageStore;
  readonly #leases: Leases;
  readonly #signals = new Signals();
  readonly #traffic: Traffic;
  readonly #alarm: Alarm;
  readonly #removal: QueueRemoval;
  /** Each with its queue. */
  readonly #consumers = new Map<Consumer, string>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;
  #ended = false;

  constructor({ path, clock, random, log, max_bytes, deduplication_window = DEDUPLICATION_WINDOW, set_aside }: LocalBusOptions) {
    const file = path === IN_MEMORY ? path : resolve(path);
    this.#clock = clock;
    this.#log = log;
    this.#database = openQueues(file, max_bytes, set_aside);
    this.#topology = new TopologyStore(this.#database);
    this.#messages = new MessageStore(this.#database, { topology: this.#topology, clock, log, window: deduplication_window });
    this.#commit = new GroupCommit(this.#database, {
      isRefusal: (error) => error instanceof BusError,
      translate: (error) => toBusError(error, file),
      onRollback: () => this.#topology.forget(),
    });
    const instance = random.uuid();
    this.#leases = new Leases(clock, instance);
    this.#traffic = new Traffic(clock);
    this.#alarm = new Alarm(clock, () => this.#onTime());
    this.#alarm.setBy(clock.monotonic());
    this.backend = { kind: 'local', identity: file === IN_MEMORY ? `memory:${instance}` : file };
    this.#removal = new QueueRemoval({
      topology: this.#topology,
      messages: this.#messages,
      run: (work) => this.#run(work),
      isUsed: (queue) => this.#users(queue) > 0,
      onGone: (queue) => {
        this.#leases.drop(queue);
        this.#traffic.forget(queue);
        this.#signals.wake([queue]);
      },
    });
    // What a crash has left of removed queues.
    this.#removal.discardLeft().catch((error: unknown) => {
      if (!this.#ended) log.error('The messages of a removed queue could not be discarded', { error: String(error) });
    });
  }

  readTopology(wanted: TopologyNames): Promise<Topology> {
    return this.#run(() => this.#topology.read(wanted), { durable: false });
  }

  declared(): Promise<Declared> {
    return this.#run(() => this.#topology.all(), { durable: false });
  }

  holdings(): Promise<Holding[]> {
    return this.#sweeping(() => this.#messages.holdings());
  }

  async ensureExchange(exchange: Exchange): Promise<void> {
    checkExchange(exchange);
    await this.#run(() => this.#topology.declareExchange(exchange));
  }

  async ensureQueue(queue: Queue): Promise<void> {
    checkQueue(queue);
    const idle = Object.keys(queue.arguments).filter((name) => name.startsWith(NO_EFFECT_PREFIX) && !HONOURED.includes(name));
    if (idle.length > 0)
      this.#log.debug('Queue arguments that are kept and have no effect in the local bus', { queue: queue.name, arguments: idle });
    await this.#run(() => {
      const altered = this.#topology.declareQueue(queue);
      if (altered !== undefined) this.#messages.retime(altered);
    });
    // A shorter lifetime may have ended already for what the queue holds.
    if (queue.ttl_ms !== undefined) this.#alarm.setBy(this.#clock.monotonic());
  }

  async ensureBinding(binding: Binding): Promise<void> {
    checkBinding(binding);
    await this.#run(() => this.#topology.bind(binding));
  }

  /** Nothing to do: each publish here resolves after its commit. */
  async ensureConfirms(): Promise<void> {
    this.#refuseClosed();
  }

  async removeQueue(queue: string, options: RemoveQueueOptions = {}): Promise<void> {
    // What has expired goes where it belongs first.
    await this.#sweeping(() => undefined);
    await this.#removal.remove(queue, options);
  }

  async removeExchange(exchange: string): Promise<void> {
    checkExchangeName(exchange);
    await this.#run(() => this.#topology.removeExchange(exchange));
  }

  async removeBinding(binding: Binding): Promise<void> {
    await this.#run(() => this.#topology.unbind(binding));
  }

  async publish(message: OutgoingMessage): Promise<{ routed: boolean }> {
    checkMessage(message);
    // The caller may reuse its buffer before the group is written.
    const own = { ...message, headers: { ...message.headers }, body: message.body.slice() };
    const { routed, queues } = await this.#run(() => this.#messages.publish(own));
    for (const { name } of queues) this.#traffic.note(name, 'came');
    this.#arrived(queues);
    return { routed };
  }

  async receive(queue: string, options: ReceiveOptions = {}): Promise<Delivery[]> {
    const limit = checkRange('limit', options.limit ?? 1, 1, MAX_LIMIT);
    const wait = checkRange('wait_ms', options.wait_ms ?? 0, 0, DAY_MS);
    const visibility = checkRange('visibility_ms', options.visibility_ms ?? DEFAULT_VISIBILITY_MS, 1, DAY_MS);
    const ends = [this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])];
    return await this.#receive({ queue, limit, visibility, until: this.#clock.monotonic() + wait, ends });
  }

  async ack(queue: string, token: string): Promise<void> {
    await this.#settle(queue, token, (held) => (this.#messages.remove(held) ? [] : undefined));
  }

  async reject(queue: string, token: string, { requeue }: { requeue: boolean }): Promise<void> {
    const putBack = (held: Held) => (this.#messages.release(held) ? [this.#topology.queue(queue)] : undefined);
    const drop = (held: Held) => this.#messages.bury(held, queue, 'rejected');
    this.#arrived(await this.#settle(queue, token, requeue ? putBack : drop));
  }

  /** `prefetch` 1 to 1000, default 1: handlers under way at once. A handler has 30 minutes for a message. */
  async consume(queue: string, handler: (delivery: Delivery) => Promise<void>, options: { prefetch?: number } = {}): Promise<Consumer> {
    const prefetch = checkRange('prefetch', options.prefetch ?? 1, 1, MAX_LIMIT);
    await this.#run(() => this.#topology.queue(queue), { durable: false });
    const visibility = CONSUMER_VISIBILITY_MS;
    const consumer = startConsumer({
      queue,
      prefetch,
      handler,
      take: (limit, signal) => this.#receive({ queue, limit, visibility, until: Number.POSITIVE_INFINITY, ends: [signal] }),
      ack: (token) => this.ack(queue, token),
      requeue: (token) => this.reject(queue, token, { requeue: true }),
      clock: this.#clock,
      log: this.#log,
    });
    const stop = () => consumer.stop().finally(() => this.#consumers.delete(consumer));
    this.#consumers.set(consumer, queue);
    return { stop };
  }

  async queueStats(queue: string): Promise<{ ready: number; unacked: number }> {
    return await this.#sweeping(() => this.#messages.stats(this.#topology.queue(queue)));
  }

  async queueUse(queue: string): Promise<QueueUse> {
    const { unacked } = await this.queueStats(queue);
    return { consumers: this.#users(queue), unacked, lately: this.#traffic.of(queue) };
  }

  /** Stops all consumers, waits for handlers and writes under way, and closes the file. Waiting receives resolve with nothing. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const stopped = Array.from(this.#consumers.keys(), (consumer) => consumer.stop());
    this.#closing.abort();
    await Promise.all([...stopped, this.#alarm.stop()]);
    this.#ended = true;
    await this.#commit.drain();
    this.#database.close();
  }

  async #receive(request: Request): Promise<Delivery[]> {
    for (;;) {
      const waiting = new AbortController();
      const abort = () => waiting.abort();
      for (const end of request.ends) end.addEventListener('abort', abort);
      const { signal } = waiting;
      try {
        // Asked for before looking, so that what comes in between is not missed.
        const arrival = this.#signals.next(request.queue, signal);
        const deliveries = await this.#take(request);
        const left = request.until - this.#clock.monotonic();
        if (deliveries.length > 0) this.#traffic.note(request.queue, 'taken', deliveries.length);
        else if (left <= 0) this.#traffic.note(request.queue, 'asked_in_vain');
        if (deliveries.length > 0 || left <= 0 || isOver(request)) return deliveries;
        await (left === Number.POSITIVE_INFINITY ? arrival : Promise.race([arrival, this.#clock.sleep(left, signal)]));
        if (isOver(request)) return [];
      } finally {
        for (const end of request.ends) end.removeEventListener('abort', abort);
        waiting.abort();
      }
    }
  }

  /** Consumers, and those who wait in `receive`: a consumer with nothing to do waits too, and counts once. */
  #users(queue: string): number {
    const consumers = [...this.#consumers.values()].filter((one) => one === queue).length;
    return Math.max(consumers, this.#signals.waiting(queue));
  }

  async #take({ queue, limit, visibility }: Request): Promise<Delivery[]> {
    const entries = await this.#sweeping(() => this.#messages.take(this.#topology.queue(queue), limit, () => this.#leases.reserve()));
    const until = this.#clock.monotonic() + visibility;
    if (entries.length > 0) this.#alarm.setBy(until);
    return entries.map((entry) => {
      const token = this.#leases.grant({ number: entry.lease, queue, seq: entry.seq, until });
      return toDelivery(entry, queue, token);
    });
  }

  /** Ends a delivery by `settle`, which answers undefined where the delivery is no longer what it was. */
  async #settle(queue: string, token: string, settle: (held: Held) => QueueRow[] | undefined): Promise<QueueRow[]> {
    const { lease, queues } = await this.#run(() => {
      this.#topology.queue(queue);
      const lease = this.#leases.find(queue, token);
      const queues = lease && settle({ seq: lease.seq, lease: lease.number });
      if (lease && queues) return { lease, queues };
      throw new BusError(
        'unknown_delivery',
        `${token} is no open delivery of the queue ${queue}: it was settled before, or its visibility_ms had passed`,
      );
    });
    this.#leases.end(lease);
    return queues;
  }

  /** Runs `work` after everything whose time has come was expired and put back. */
  async #sweeping<T>(work: () => T): Promise<T> {
    const { value, due, queues } = await this.#run(
      () => {
        const { due, queues } = this.#sweep();
        return { due, queues, value: work() };
      },
      { durable: false },
    );
    for (const lease of due) this.#leases.end(lease);
    this.#arrived(queues);
    return value;
  }

  #sweep(): { due: Lease[]; queues: QueueRow[] } {
    const due = this.#leases.due();
    const released = due.filter(({ seq, number }) => this.#messages.release({ seq, lease: number }));
    return { due, queues: [...released.flatMap(({ queue }) => this.#topology.find(queue) ?? []), ...this.#messages.sweep()] };
  }

  /** Does what is due and answers when to look again. */
  async #onTime(): Promise<number> {
    const now = this.#clock.monotonic();
    try {
      const { at, unstamped } = await this.#sweeping(() => this.#messages.pending());
      const later = now + RECHECK_MS;
      const expiry = at !== undefined && this.#clock.trusted() ? Math.min(later, now + Math.max(0, at - this.#clock.now())) : later;
      return Math.min(this.#leases.next(), at !== undefined || unstamped ? expiry : Number.POSITIVE_INFINITY);
    } catch (error) {
      if (!this.#ended) this.#log.error('What has expired could not be taken out of the queues', { error: String(error) });
      return now + RECHECK_MS;
    }
  }

  /** Wakes those who wait for these queues, and sees to it that what has a lifetime is looked at in time. */
  #arrived(queues: readonly QueueRow[]): void {
    const lifetimes = queues.flatMap(({ ttl_ms }) => (ttl_ms === null ? [] : [ttl_ms]));
    // Without trusted time a lifetime has not begun yet: look again whether it can.
    if (queues.length > 0 && !this.#clock.trusted()) lifetimes.push(RECHECK_MS);
    if (lifetimes.length > 0) this.#alarm.setBy(this.#clock.monotonic() + Math.min(...lifetimes));
    this.#signals.wake(queues.map(({ name }) => name));
  }

  async #run<T>(work: () => T, options?: { durable: boolean }): Promise<T> {
    this.#refuseClosed();
    return await this.#commit.run(work, options);
  }

  #refuseClosed(): void {
    if (this.#ended) throw new BusError('failed', `The bus ${this.backend.identity} is closed`);
  }
}

interface Request {
  readonly queue: string;
  readonly limit: number;
  readonly visibility: number;
  /** On the monotonic clock. */
  readonly until: number;
  /** Whichever comes first ends the wait. */
  readonly ends: readonly AbortSignal[];
}

function isOver({ ends }: Request): boolean {
  return ends.some(({ aborted }) => aborted);
}

function toDelivery(
  { exchange, key, message_id, content_type, headers, body, redelivered }: Entry,
  queue: string,
  token: string,
): Delivery {
  const type = content_type === null ? {} : { content_type };
  // SQLite's driver answers with Buffers, which compare and print differently.
  const bytes = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return { exchange, key, body: bytes, message_id, ...type, headers: JSON.parse(headers), queue, token, redelivered };
}
