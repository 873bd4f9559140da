import type Sqlite from 'better-sqlite3';
import type { BusValue } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError, type Holding, type OutgoingMessage } from '../../../shared/ports/event-bus.ts';
import type { Log } from '../../../shared/ports/log.ts';
import { type DeathReason, isCycle, withDeath } from './deaths.ts';
import { LEFT, type QueueRow, type TopologyStore } from './topology.ts';

/** Most bytes of bodies that one `receive` hands out, unless a single message is larger. */
const MAX_TAKEN_BYTES = 32 * 1024 * 1024;
const MAX_SWEPT = 1000;

interface MessageRow {
  readonly exchange: string;
  readonly key: string;
  readonly message_id: string;
  readonly content_type: string | null;
  readonly headers: string;
  readonly body: Uint8Array;
}

/** A message as a queue holds it. */
export interface Entry extends MessageRow {
  readonly seq: number;
  readonly lease: number;
  readonly redelivered: boolean;
}

/** An entry as far as it is handed out under `lease`; 0 is an entry that nobody holds. */
export interface Held {
  readonly seq: number;
  readonly lease: number;
}

const READY = 0;

/** What waits for its time: `at` on the wall clock; `unstamped` when no trusted time was known. */
export interface Pending {
  readonly at: number | undefined;
  readonly unstamped: boolean;
}

export interface MessageStoreParts {
  readonly topology: TopologyStore;
  readonly clock: Clock;
  readonly log: Log;
  /** How many message ids are remembered. */
  readonly window: number;
}

/** Messages in their queues. Each method runs inside a transaction of its caller. */
export class MessageStore {
  readonly #sql: ReturnType<typeof statements>;
  readonly #topology: TopologyStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #window: number;

  constructor(database: Sqlite.Database, { topology, clock, log, window }: MessageStoreParts) {
    this.#sql = statements(database);
    this.#topology = topology;
    this.#clock = clock;
    this.#log = log;
    this.#window = window;
  }

  /** The queues that hold it now; none when there was no way to one. A repeated id is routed to none again. */
  publish(message: OutgoingMessage): { routed: boolean; queues: QueueRow[] } {
    const { exchange, key, headers = {} } = message;
    const queues = this.#topology.route(exchange, key, headers);
    if (this.#sql.seen.get(exchange, message.message_id) !== undefined) return { routed: true, queues: [] };
    // What went nowhere is not remembered: once there is a binding, the publisher's retry has to count.
    if (queues.length === 0) return { routed: false, queues };
    this.#store({ ...message, content_type: message.content_type ?? null, headers: JSON.stringify(headers) }, queues);
    const { lastInsertRowid } = this.#sql.remember.run(exchange, message.message_id);
    this.#sql.forget.run(Number(lastInsertRowid) - this.#window);
    return { routed: true, queues };
  }

  /** Hands out up to `limit` messages in their order, each under a lease with a number from `reserve`. */
  take(queue: QueueRow, limit: number, reserve: () => number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    const now = this.#clock.trusted() ? this.#clock.now() : null;
    for (const { seq, message, delivered } of this.#sql.ready.all(queue.id, now, limit)) {
      const row = this.#message(message);
      bytes += row.body.byteLength;
      if (entries.length > 0 && bytes > MAX_TAKEN_BYTES) break;
      entries.push({ ...row, seq, lease: reserve(), redelivered: delivered > 0 });
    }
    for (const { seq, lease } of entries) this.#sql.lease.run(lease, seq);
    return entries;
  }

  /** Removes an entry for good; false when it is gone or no longer held so. */
  remove({ seq, lease }: Held): boolean {
    const entry = this.#sql.removeEntry.get(seq, lease);
    if (entry === undefined) return false;
    this.#sql.removeMessage.run(entry.message);
    return true;
  }

  /** Puts back into the place where it was; false as for `remove`. */
  release({ seq, lease }: Held): boolean {
    return this.#sql.release.run(seq, lease).changes > 0;
  }

  /**
   * Drops an entry, into the queue's dead-letter exchange where it has one. The queues that got it,
   * or undefined when it is gone or no longer held so.
   */
  bury(held: Held, queueName: string, reason: DeathReason): QueueRow[] | undefined {
    const entry = this.#sql.entry.get(held.seq, held.lease);
    if (entry === undefined) return undefined;
    const { dlx, arguments: text } = this.#topology.queue(queueName);
    const targets = dlx === null ? [] : this.#deadLetter(this.#message(entry.message), { queue: queueName, reason, dlx, arguments: text });
    this.remove(held);
    return targets;
  }

  /** Buries what has expired, at most `MAX_SWEPT` at a time. Nothing while the clock is not trusted. */
  sweep(): QueueRow[] {
    if (!this.#clock.trusted()) return [];
    const now = this.#clock.now();
    this.#sql.stamp.run(now, now);
    return this.#sql.expired.all(now, MAX_SWEPT).flatMap(({ seq, queue }) => this.bury({ seq, lease: READY }, queue, 'expired') ?? []);
  }

  /** Gives what a queue holds the lifetime that the queue has now, counted from when each entered. */
  retime(queue: QueueRow): void {
    this.#sql.retime.run(queue.ttl_ms, queue.id);
  }

  pending(): Pending {
    return { at: this.#sql.nextExpiry.get()?.at ?? undefined, unstamped: this.#sql.unstamped.get() !== undefined };
  }

  stats(queue: QueueRow): { ready: number; unacked: number } {
    const now = this.#clock.trusted() ? this.#clock.now() : null;
    return this.#sql.stats.get(now, queue.id) ?? { ready: 0, unacked: 0 };
  }

  /** Of each queue that holds anything, also where its time has come and it was not buried yet. */
  holdings(): Holding[] {
    return this.#sql.holdings.all();
  }

  /** Whether a queue holds anything, handed out or not. */
  holdsAny(queue: QueueRow): boolean {
    return this.#sql.any.get(queue.id) !== undefined;
  }

  /** Removes up to `limit` messages from a queue that left, without a dead letter; how many they were. */
  discardSome(queue: number, limit: number): number {
    const discarded = this.#sql.discard.all(queue, limit);
    for (const { message } of discarded) this.#sql.removeMessage.run(message);
    return discarded.length;
  }

  #deadLetter(message: MessageRow, from: { queue: string; reason: DeathReason; dlx: string; arguments: string }): QueueRow[] {
    const before: Record<string, BusValue> = JSON.parse(message.headers);
    const headers = withDeath({ ...from, exchange: message.exchange, key: message.key, headers: before });
    const own: unknown = JSON.parse(from.arguments)['x-dead-letter-routing-key'];
    const key = typeof own === 'string' ? own : message.key;
    const targets = this.#deadLetterTargets(from, key, headers).filter(({ name }) => from.reason === 'rejected' || !isCycle(headers, name));
    const lost = { queue: from.queue, dlx: from.dlx, message_id: message.message_id, reason: from.reason };
    if (targets.length === 0) this.#log.warn('A dead-lettered message had nowhere to go and is dropped', lost);
    else this.#store({ ...message, exchange: from.dlx, key, headers: JSON.stringify(headers) }, targets);
    return targets;
  }

  #deadLetterTargets({ dlx }: { dlx: string }, key: string, headers: Readonly<Record<string, BusValue>>): QueueRow[] {
    try {
      return this.#topology.route(dlx, key, headers);
    } catch (error) {
      // A dead-letter exchange need not exist (as in RabbitMQ): then the message is dropped.
      if (error instanceof BusError && error.kind === 'no_such_exchange') return [];
      throw error;
    }
  }

  #store(message: MessageRow, queues: readonly QueueRow[]): void {
    const { exchange, key, message_id, content_type, headers, body } = message;
    const { lastInsertRowid } = this.#sql.addMessage.run(exchange, key, message_id, content_type, headers, body);
    const entered = this.#clock.trusted() ? this.#clock.now() : null;
    for (const { id, ttl_ms } of queues) {
      const expires = entered === null || ttl_ms === null ? null : entered + ttl_ms;
      this.#sql.addEntry.run(id, lastInsertRowid, entered, expires);
    }
  }

  #message(id: number): MessageRow {
    const row = this.#sql.message.get(id);
    if (row === undefined) throw new BusError('failed', `Message ${id} is in a queue but not in the store: the file is damaged`);
    return row;
  }
}

function statements(database: Sqlite.Database) {
  return {
    seen: database.prepare('select 1 from published where exchange = ? and message_id = ?'),
    remember: database.prepare('insert into published (exchange, message_id) values (?, ?)'),
    forget: database.prepare('delete from published where seq <= ?'),
    addMessage: database.prepare('insert into messages (exchange, key, message_id, content_type, headers, body) values (?, ?, ?, ?, ?, ?)'),
    addEntry: database.prepare('insert into entries (queue, message, entered_at, expires_at) values (?, ?, ?, ?)'),
    message: database.prepare<[number], MessageRow>(
      'select exchange, key, message_id, content_type, headers, body from messages where id = ?',
    ),
    // `now` is null while the clock is not trusted: the comparison is then null, and nothing counts as expired.
    ready: database.prepare<[number, number | null, number], { seq: number; message: number; delivered: number }>(`
      select seq, message, delivered from entries
      where queue = ? and leased = 0 and coalesce(expires_at > ?, true) order by seq limit ?
    `),
    lease: database.prepare('update entries set leased = ?, delivered = 1 where seq = ?'),
    release: database.prepare('update entries set leased = 0 where seq = ? and leased = ?'),
    entry: database.prepare<[number, number], { message: number }>('select message from entries where seq = ? and leased = ?'),
    removeEntry: database.prepare<[number, number], { message: number }>(
      'delete from entries where seq = ? and leased = ? returning message',
    ),
    removeMessage: database.prepare('delete from messages where id = ? and not exists (select 1 from entries where message = messages.id)'),
    stamp: database.prepare(`
      update entries set entered_at = ?, expires_at = ? + (select ttl_ms from queues where id = entries.queue)
      where entered_at is null
    `),
    expired: database.prepare<[number, number], { seq: number; queue: string }>(`
      select seq, name as queue from entries join queues on id = queue
      where leased = 0 and expires_at <= ? and queue not in (${LEFT}) order by expires_at, seq limit ?
    `),
    retime: database.prepare('update entries set expires_at = entered_at + ? where queue = ?'),
    nextExpiry: database.prepare<[], { at: number | null }>(
      `select min(expires_at) as at from entries where leased = 0 and expires_at is not null and queue not in (${LEFT})`,
    ),
    any: database.prepare<[number]>('select 1 from entries where queue = ? limit 1'),
    discard: database.prepare<[number, number], { message: number }>(
      'delete from entries where seq in (select seq from entries where queue = ? limit ?) returning message',
    ),
    unstamped: database.prepare('select 1 from entries where entered_at is null limit 1'),
    holdings: database.prepare<[], Holding>(`
      select name as queue, count(*) filter (where leased = 0) as ready, count(*) filter (where leased > 0) as unacked
      from entries join queues on id = queue where queue not in (${LEFT}) group by name
    `),
    stats: database.prepare<[number | null, number], { ready: number; unacked: number }>(`
      select count(*) filter (where leased = 0 and coalesce(expires_at > ?, true)) as ready,
        count(*) filter (where leased > 0) as unacked from entries where queue = ?
    `),
  };
}
