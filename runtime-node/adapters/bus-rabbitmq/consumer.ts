import type { Channel, ConsumeMessage } from 'amqplib';
import { aborted, linkedAbort } from '../../../shared/abort.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError, type Consumer, type Delivery } from '../../../shared/ports/event-bus.ts';
import type { Log } from '../../../shared/ports/log.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { messageOf } from '../../thrown.ts';
import { toBusError } from './amqp-error.ts';
import { closeQuietly, inTime, openChannel } from './channels.ts';
import type { Link } from './link.ts';
import { toDelivery } from './message.ts';

export interface ConsumerParts {
  readonly queue: string;
  readonly prefetch: number;
  readonly handler: (delivery: Delivery) => Promise<void>;
  readonly link: Link;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;
const LONGEST_ABSENCE_MS = 10_000;
const STOP_LIMIT_MS = 3000;

/**
 * A consumer that stays: whenever its channel is lost (the connection, the queue), it subscribes again, after pauses of
 * 10 ms to 10 s. A message that a handler failed at goes back after a pause that grows with each failure that follows (10 ms
 * to 1 s), so that one that nobody can handle does not keep the machine busy.
 */
export class RabbitConsumer implements Consumer {
  readonly #parts: ConsumerParts;
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  #channel: Channel | undefined;
  #tag = '';
  #failures = 0;
  #absences = 0;
  #resubscribing: Promise<void> | undefined;
  #ended: Promise<void> | undefined;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
  }

  /** Handlers under way, each with a message that is not settled. */
  get held(): number {
    return this.#underWay.size;
  }

  get queue(): string {
    return this.#parts.queue;
  }

  /** Rejects where the queue is not there or the broker is away. */
  async start(): Promise<void> {
    const { clock, queue, prefetch } = this.#parts;
    const subject = `queue ${queue}`;
    let opened: Channel | undefined;
    try {
      const channel = await openChannel(this.#parts, subject, (model) => model.createChannel());
      opened = channel;
      let isClosed = false;
      channel.on('error', () => {});
      channel.on('close', () => {
        isClosed = true;
        this.#lost(channel);
      });
      await inTime(clock, subject, channel.prefetch(prefetch));
      const { consumerTag } = await inTime(
        clock,
        subject,
        channel.consume(queue, (message) => this.#arrived(channel, message)),
      );
      // It may be lost together with the answer that it was waiting for: nobody would tell of it again.
      if (isClosed || this.#stopping.signal.aborted)
        throw new BusError('backend_away', `the channel of queue ${queue} was closed as soon as it was subscribed`);
      this.#tag = consumerTag;
      this.#channel = channel;
    } catch (error) {
      if (opened !== undefined) closeQuietly(opened);
      throw toBusError(error, subject);
    }
  }

  stop(): Promise<void> {
    this.#ended ??= this.#stop();
    return this.#ended;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ask((channel) => channel.cancel(this.#tag));
    await Promise.all([...this.#underWay, this.#resubscribing]);
    // Closing answers after all that was sent before it, and gives back what was not begun.
    await this.#ask((channel) => channel.close());
  }

  async #startUnless(signal: AbortSignal): Promise<void> {
    const stop = linkedAbort(signal);
    try {
      await Promise.race([this.start(), aborted(stop.signal)]);
    } finally {
      stop.dispose();
    }
  }

  /** A broker that does not answer holds up no stop. */
  async #ask(call: (channel: Channel) => Promise<unknown>): Promise<void> {
    const channel = this.#channel;
    if (channel === undefined) return;
    await inTime(this.#parts.clock, `queue ${this.queue}`, call(channel), STOP_LIMIT_MS).catch(() => {});
  }

  #arrived(channel: Channel, message: ConsumeMessage | null): void {
    // Nothing instead of a message: the queue was deleted.
    if (message === null) {
      closeQuietly(channel);
      return;
    }
    if (this.#stopping.signal.aborted) return;
    const task: Promise<void> = this.#handle(channel, message).finally(() => this.#underWay.delete(task));
    this.#underWay.add(task);
  }

  async #handle(channel: Channel, message: ConsumeMessage): Promise<void> {
    const { queue, handler, clock, log } = this.#parts;
    const { messageId } = message.properties;
    try {
      await handler(toDelivery(message, queue, `${message.fields.consumerTag}.${message.fields.deliveryTag}`));
      this.#failures = 0;
      settle(() => channel.ack(message));
    } catch (error) {
      this.#failures += 1;
      const about = { queue, message_id: messageId, redelivered: message.fields.redelivered };
      log.warn('A message could not be handled', { ...about, error: messageOf(error) });
      await clock.sleep(pauseAfter(this.#failures, LONGEST_PAUSE_MS), this.#stopping.signal);
      settle(() => channel.nack(message, false, true));
    }
  }

  #lost(channel: Channel): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    if (!this.#stopping.signal.aborted) this.#resubscribing ??= this.#subscribeAgain();
  }

  async #subscribeAgain(): Promise<void> {
    const { link, clock, random, log, queue } = this.#parts;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#absences += 1;
      const opened = new AbortController();
      const forget = link.onOpen(() => opened.abort());
      const pause = pauseAfter(this.#absences, LONGEST_ABSENCE_MS) * (0.5 + random.next() / 2);
      await clock.sleep(pause, AbortSignal.any([signal, opened.signal]));
      forget();
      if (signal.aborted) break;
      try {
        await this.#startUnless(signal);
        if (this.#channel === undefined) continue;
        log.info('A consumer is subscribed again', { queue, attempts: this.#absences });
        this.#absences = 0;
        break;
      } catch (error) {
        const away = error instanceof BusError && error.kind === 'backend_away';
        // Its own connection says so already where the broker is away.
        if (!away && this.#absences === 1) log.warn('A consumer could not be subscribed again', { queue, error: messageOf(error) });
      }
    }
    this.#resubscribing = undefined;
  }
}

function settle(send: () => void): void {
  try {
    send();
  } catch {
    // The channel is gone, and the broker has put its messages back.
  }
}

function pauseAfter(failures: number, longest: number): number {
  return Math.min(longest, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 20));
}
