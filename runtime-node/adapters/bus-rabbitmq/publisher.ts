import { type ConfirmChannel, IllegalOperationError, type Message } from 'amqplib';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError, type OutgoingMessage } from '../../../shared/ports/event-bus.ts';
import { Alarm } from '../bus-local/alarm.ts';
import { exchangeNamedBy, replyCode, toBusError } from './amqp-error.ts';
import { openChannel } from './channels.ts';
import { Fifo } from './fifo.ts';
import type { Link } from './link.ts';
import { toOptions } from './message.ts';

export interface PublisherParts {
  readonly link: Link;
  readonly clock: Clock;
  /** Rejects with `no_such_exchange` where there is none. */
  readonly exchangeExists: (name: string) => Promise<void>;
}

/** Messages and bytes that are sent and not confirmed yet, at most; more wait here, up to a number of their own. */
const MAX_SENT = 4096;
const MAX_SENT_BYTES = 32 * 1024 * 1024;
const MAX_WAITING = 100_000;
const CONFIRM_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 5000;
/** How often a message is sent because another one cost the channel. */
const MAX_ATTEMPTS = 3;
/** What the client calls a refusal of the broker, as opposed to a channel that was closed. */
const REFUSED = 'message nacked';

interface Entry {
  readonly message: OutgoingMessage;
  readonly body: Buffer;
  /** What a returned message is told by: no two with the same are sent at a time. */
  readonly name: string;
  readonly until: number;
  readonly resolve: (answer: { routed: boolean }) => void;
  readonly reject: (error: BusError) => void;
  attempts: number;
  returned: boolean;
  settled: boolean;
}

/**
 * Publishes on one confirm channel, many messages outstanding at once, in the order in which they came.
 * Its connection is its own: a broker short of disk or memory stops reading from those that publish, and
 * declarations, consumers and acknowledgements must go on.
 */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #known = new Map<string, Promise<void>>();
  readonly #alarm: Alarm;
  readonly #waiting = new Fifo<Entry>();
  readonly #sent = new Map<string, Entry>();
  #sentBytes = 0;
  #channel: ConfirmChannel | undefined;
  #opening: Promise<void> | undefined;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#alarm = new Alarm(parts.clock, async () => this.#expire());
  }

  /** Resolves when there is a channel with confirms. */
  async ready(): Promise<void> {
    if (this.#channel === undefined) await this.#open();
  }

  async publish(message: OutgoingMessage): Promise<{ routed: boolean }> {
    // The caller may reuse its buffer while the message waits.
    const body = Buffer.from(message.body);
    await this.#exchange(message.exchange);
    this.#refuseFull();
    return await new Promise((resolve, reject) => {
      const { exchange, key, message_id } = message;
      const name = JSON.stringify([exchange, key, message_id]);
      const until = this.#parts.clock.monotonic() + CONFIRM_LIMIT_MS;
      this.#waiting.push({ message, body, name, until, resolve, reject, attempts: 0, returned: false, settled: false });
      this.#alarm.setBy(until);
      this.#pump();
    });
  }

  /** Waits for what is under way, 5 seconds at most. */
  async stop(): Promise<void> {
    const { clock } = this.#parts;
    const end = clock.monotonic() + STOP_LIMIT_MS;
    const underWay = () => [...this.#sent.values(), ...this.#waiting.all()].some(({ settled }) => !settled);
    while (clock.monotonic() < end && underWay()) await clock.sleep(10);
    await this.#alarm.stop();
  }

  /** A publish to an exchange that is not there would cost the channel and all that is outstanding on it: asked once before. */
  async #exchange(name: string): Promise<void> {
    if (name === '') return;
    const known = this.#known.get(name) ?? this.#parts.exchangeExists(name);
    this.#known.set(name, known);
    await known.catch((error: unknown) => {
      this.#known.delete(name);
      throw error;
    });
  }

  #refuseFull(): void {
    const { blocked } = this.#parts.link;
    if (blocked !== undefined) throw new BusError('full', `RabbitMQ takes no messages at present: ${blocked}. Make room on it, or wait`);
    if (this.#waiting.length >= MAX_WAITING) {
      throw new BusError('full', `${MAX_WAITING} messages wait for RabbitMQ to take them: publish more slowly`);
    }
  }

  #pump(): void {
    if (this.#waiting.length === 0) return;
    if (this.#channel === undefined) {
      this.#open().then(
        () => this.#pump(),
        (error: unknown) => this.#failWaiting(error),
      );
      return;
    }
    for (let entry = this.#waiting.first; entry !== undefined && this.#channel !== undefined; entry = this.#waiting.first) {
      if (!entry.settled && !this.#fits(entry)) return;
      this.#waiting.shift();
      if (!entry.settled) this.#send(this.#channel, entry);
    }
  }

  #fits({ name, body }: Entry): boolean {
    if (this.#sent.size === 0) return true;
    return this.#sent.size < MAX_SENT && this.#sentBytes + body.byteLength <= MAX_SENT_BYTES && !this.#sent.has(name);
  }

  #send(channel: ConfirmChannel, entry: Entry): void {
    const { exchange, key } = entry.message;
    entry.attempts += 1;
    entry.returned = false;
    this.#sent.set(entry.name, entry);
    this.#sentBytes += entry.body.byteLength;
    try {
      channel.publish(exchange, key, entry.body, toOptions(entry.message), (error: unknown) => this.#answered(channel, entry, error));
    } catch (error) {
      // It was lost together with the answer that opened it, and said so before anybody listened.
      if (error instanceof IllegalOperationError) {
        this.#lost(channel, undefined);
        return;
      }
      this.#leave(entry);
      this.#settle(entry, toBusError(error, `message ${entry.message.message_id}`));
    }
  }

  #answered(channel: ConfirmChannel, entry: Entry, error: unknown): void {
    // A channel that was closed settles what was outstanding on it by itself.
    const refused = error instanceof Error && error.message === REFUSED;
    if ((error !== null && !refused) || channel !== this.#channel) return;
    this.#leave(entry);
    if (refused) this.#settle(entry, refusedByQueue(entry.message));
    else this.#settle(entry);
    this.#pump();
  }

  #leave(entry: Entry): void {
    if (this.#sent.delete(entry.name)) this.#sentBytes -= entry.body.byteLength;
  }

  #settle(entry: Entry, error?: BusError): void {
    if (entry.settled) return;
    entry.settled = true;
    if (error === undefined) entry.resolve({ routed: !entry.returned });
    else entry.reject(error);
  }

  #open(): Promise<void> {
    this.#opening ??= this.#openChannel().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #openChannel(): Promise<void> {
    let channel: ConfirmChannel;
    try {
      channel = await openChannel(this.#parts, 'publisher confirms', (model) => model.createConfirmChannel());
    } catch (error) {
      throw toBusError(error, 'publisher confirms');
    }
    let reason: unknown;
    channel.on('error', (error) => {
      reason = error;
    });
    channel.on('return', ({ fields, properties }: Message) => {
      const entry = this.#sent.get(JSON.stringify([fields.exchange, fields.routingKey, properties.messageId]));
      if (entry !== undefined) entry.returned = true;
    });
    channel.on('close', () => this.#lost(channel, reason));
    this.#channel = channel;
  }

  /**
   * The refusal of one message costs the channel: that one is told, and the others are sent again on the next. Where the line is
   * gone all are told, those that wait here too: they came behind, and would arrive before what has to be published again.
   */
  #lost(channel: ConfirmChannel, reason: unknown): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    const lost = [...this.#sent.values()];
    this.#sent.clear();
    this.#sentBytes = 0;
    const guilty = exchangeNamedBy(reason);
    if (guilty !== undefined) this.#known.delete(guilty);
    const again = lost.filter((entry) => {
      const own = guilty === entry.message.exchange;
      const repeat = !own && !entry.settled && replyCode(reason) !== undefined && entry.attempts < MAX_ATTEMPTS;
      if (!repeat) this.#settle(entry, toBusError(reason ?? unconfirmed(), `message ${entry.message.message_id}`));
      return repeat;
    });
    if (replyCode(reason) === undefined) this.#failWaiting(reason ?? unsent());
    this.#waiting.putBack(again);
    this.#pump();
  }

  #failWaiting(error: unknown): void {
    for (const entry of this.#waiting.drain()) this.#settle(entry, toBusError(error, `message ${entry.message.message_id}`));
  }

  /** Tells those that waited long enough. What was sent keeps its place until the broker answers, so that the bound holds. */
  #expire(): number {
    const now = this.#parts.clock.monotonic();
    const { blocked } = this.#parts.link;
    let next = Number.POSITIVE_INFINITY;
    for (const entry of [...this.#sent.values(), ...this.#waiting.all()]) {
      if (entry.settled) continue;
      if (entry.until > now) next = Math.min(next, entry.until);
      else this.#settle(entry, late(entry.message, blocked));
    }
    return next;
  }
}

function refusedByQueue({ message_id }: OutgoingMessage): BusError {
  return new BusError('full', `RabbitMQ refused the message ${message_id}: a queue that it leads to is full (x-overflow) or out of order`);
}

function unconfirmed(): Error {
  return new Error('it was not confirmed, and may be there: publish it again with the same message_id');
}

function unsent(): Error {
  return new Error('it was not sent: publish it again');
}

function late({ message_id }: OutgoingMessage, blocked: string | undefined): BusError {
  const seconds = CONFIRM_LIMIT_MS / 1000;
  if (blocked !== undefined) {
    return new BusError('full', `The message ${message_id} was not taken within ${seconds} s, RabbitMQ takes none at present: ${blocked}`);
  }
  return new BusError(
    'backend_away',
    `The message ${message_id} was not confirmed within ${seconds} s and may be there: publish it again with the same message_id`,
  );
}
