import type { Channel, GetMessage, Message } from 'amqplib';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError, type Delivery } from '../../../shared/ports/event-bus.ts';
import { Alarm } from '../bus-local/alarm.ts';
import { Leases } from '../bus-local/leases.ts';
import { toBusError } from './amqp-error.ts';
import { closeQuietly, inTime, openChannel } from './channels.ts';
import type { Link } from './link.ts';
import { toDelivery } from './message.ts';

export interface PullParts {
  readonly link: Link;
  readonly clock: Clock;
  /** Begins the tokens of this process. */
  readonly instance: string;
}

export interface PullRequest {
  readonly queue: string;
  readonly limit: number;
  readonly wait_ms: number;
  readonly visibility_ms: number;
  /** Ends the wait. */
  readonly signal: AbortSignal | undefined;
}

/** Beyond this many, channels of queues that nothing is held of are closed. */
const MAX_CHANNELS = 256;
/** A consumer that only waits for the first message takes no second. */
const PREFETCH = 1;

/** The channel that a queue is pulled on. With the queue it may be lost, and with it what was handed out. */
interface QueueChannel {
  readonly queue: string;
  readonly channel: Channel;
  /** Receives under way. */
  busy: number;
  held: number;
  flushing: Promise<unknown> | undefined;
  /** Another one has its place, or will. */
  isLost: boolean;
}

interface Held {
  readonly from: QueueChannel;
  readonly message: Message;
}

/**
 * Messages that are asked for, each with a token. AMQP ties a delivery to its channel and knows no time limit, so the limit
 * is a timer here that puts it back. Each queue has a channel of its own, and a queue that is gone takes no other's deliveries.
 */
export class Pull {
  readonly #parts: PullParts;
  readonly #leases: Leases;
  readonly #alarm: Alarm;
  readonly #channels = new Map<string, Promise<QueueChannel>>();
  readonly #held = new Map<number, Held>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor(parts: PullParts) {
    this.#parts = parts;
    this.#leases = new Leases(parts.clock, parts.instance);
    this.#alarm = new Alarm(parts.clock, async () => this.#runOut());
  }

  receive(request: PullRequest): Promise<Delivery[]> {
    const receiving = this.#receive(request).finally(() => this.#underWay.delete(receiving));
    this.#underWay.add(receiving);
    return receiving;
  }

  async #receive({ queue, limit, wait_ms, visibility_ms, signal }: PullRequest): Promise<Delivery[]> {
    const from = await this.#channel(queue);
    from.busy += 1;
    try {
      const messages = await this.#take(from, limit);
      const ends = AbortSignal.any([this.#closing.signal, ...(signal === undefined ? [] : [signal])]);
      if (messages.length === 0 && wait_ms > 0 && !ends.aborted) {
        const first = await this.#arrival(from, wait_ms, ends);
        if (first !== undefined) messages.push(first, ...(await this.#take(from, limit - 1)));
      }
      return messages.map((message) => this.#grant(from, message, visibility_ms));
    } catch (error) {
      // What was taken for this call goes back. A channel on which no answer comes does not say either that it is closed.
      this.#giveUp(from);
      throw toBusError(error, `queue ${queue}`);
    } finally {
      from.busy -= 1;
    }
  }

  /** Resolves when the broker has taken it. */
  async settle(queue: string, token: string, how: 'ack' | 'drop' | 'requeue'): Promise<void> {
    const lease = this.#leases.find(queue, token);
    const held = lease === undefined ? undefined : this.#held.get(lease.number);
    if (lease === undefined || held === undefined) {
      throw new BusError(
        'unknown_delivery',
        `${token} is no open delivery of the queue ${queue}: it was settled before, its visibility_ms had passed, or the connection was lost`,
      );
    }
    this.#leases.end(lease);
    this.#release(lease.number);
    try {
      send(held, how);
      await inTime(this.#parts.clock, `queue ${queue}`, flush(held.from));
    } catch (error) {
      this.#giveUp(held.from);
      throw toBusError(error, `queue ${queue}`);
    }
  }

  /** What this process holds of a queue. */
  async count(queue: string): Promise<number> {
    const from = await this.#channels.get(queue)?.catch(() => undefined);
    return from?.held ?? 0;
  }

  /** What was handed out of a queue that is gone is gone with it. */
  forget(queue: string): void {
    for (const [number, { from }] of [...this.#held]) if (from.queue === queue) this.#release(number);
  }

  /** Waiting receives resolve with nothing; what is held goes back. */
  async stop(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#underWay);
    await this.#alarm.stop();
  }

  async #take({ channel, queue }: QueueChannel, limit: number): Promise<Message[]> {
    const taken: GetMessage[] = [];
    while (taken.length < limit) {
      const message = await inTime(this.#parts.clock, `queue ${queue}`, channel.get(queue));
      if (message === false) break;
      taken.push(message);
    }
    return taken;
  }

  #grant(from: QueueChannel, message: Message, visibility_ms: number): Delivery {
    const number = this.#leases.reserve();
    const until = this.#parts.clock.monotonic() + visibility_ms;
    const token = this.#leases.grant({ number, queue: from.queue, seq: message.fields.deliveryTag, until });
    this.#held.set(number, { from, message });
    from.held += 1;
    this.#alarm.setBy(until);
    return toDelivery(message, from.queue, token);
  }

  #release(number: number): void {
    const held = this.#held.get(number);
    if (held !== undefined && this.#held.delete(number)) held.from.held -= 1;
  }

  /** Puts back what was not settled in time, and answers when to look again. */
  #runOut(): number {
    for (const lease of this.#leases.due()) {
      const held = this.#held.get(lease.number);
      this.#leases.end(lease);
      this.#release(lease.number);
      try {
        if (held !== undefined) send(held, 'requeue');
      } catch {
        // Its channel is gone, and the broker has put it back.
      }
    }
    return this.#leases.next();
  }

  /** The first message that comes, if one comes in time. */
  async #arrival({ channel, queue }: QueueChannel, wait_ms: number, ends: AbortSignal): Promise<Message | undefined> {
    let came: Message | undefined;
    const over = new AbortController();
    const end = () => over.abort();
    const subscribing = channel.consume(queue, (message) => {
      came ??= message ?? undefined;
      end();
    });
    const { consumerTag } = await inTime(this.#parts.clock, `queue ${queue}`, subscribing);
    channel.once('close', end);
    if (came === undefined) await this.#parts.clock.sleep(wait_ms, AbortSignal.any([over.signal, ends]));
    channel.off('close', end);
    const isInTime = came !== undefined || !ends.aborted;
    // One may still come until the broker has taken the consumer away.
    await inTime(this.#parts.clock, `queue ${queue}`, channel.cancel(consumerTag));
    if (isInTime || came === undefined) return came;
    channel.nack(came, false, true);
    return undefined;
  }

  async #channel(queue: string): Promise<QueueChannel> {
    const known = this.#channels.get(queue);
    if (known !== undefined) return await known;
    await this.#trim();
    const opening = this.#open(queue);
    this.#channels.set(queue, opening);
    opening.catch(() => this.#channels.delete(queue));
    return await opening;
  }

  async #open(queue: string): Promise<QueueChannel> {
    let channel: Channel | undefined;
    try {
      channel = await openChannel(this.#parts, `queue ${queue}`, (model) => model.createChannel());
      channel.on('error', () => {});
      await inTime(this.#parts.clock, `queue ${queue}`, channel.prefetch(PREFETCH));
    } catch (error) {
      if (channel !== undefined) closeQuietly(channel);
      throw toBusError(error, `queue ${queue}`);
    }
    const from: QueueChannel = { queue, channel, busy: 0, held: 0, flushing: undefined, isLost: false };
    channel.on('close', () => this.#lost(from));
    return from;
  }

  /** The broker puts back what was handed out on a channel that is gone. */
  #lost(from: QueueChannel): void {
    if (from.isLost) return;
    from.isLost = true;
    this.#channels.delete(from.queue);
    for (const [number, held] of [...this.#held]) if (held.from === from) this.#held.delete(number);
    from.held = 0;
  }

  #giveUp(from: QueueChannel): void {
    this.#lost(from);
    closeQuietly(from.channel);
  }

  async #trim(): Promise<void> {
    if (this.#channels.size < MAX_CHANNELS) return;
    for (const opening of [...this.#channels.values()]) {
      const from = await opening.catch(() => undefined);
      if (from === undefined || from.busy + from.held > 0) continue;
      this.#giveUp(from);
    }
  }
}

function send({ from, message }: Held, how: 'ack' | 'drop' | 'requeue'): void {
  if (how === 'ack') from.channel.ack(message);
  else from.channel.nack(message, false, how === 'requeue');
}

/**
 * AMQP answers no acknowledgement, but it answers calls on a channel in order: an answer to any call says that all before
 * it were taken. Settlements that come while one is under way share the next.
 */
function flush(from: QueueChannel): Promise<unknown> {
  if (from.flushing === undefined) {
    from.flushing = from.channel.prefetch(PREFETCH).finally(() => {
      from.flushing = undefined;
    });
    return from.flushing;
  }
  return from.flushing.then(() => flush(from));
}
