import type { Channel } from 'amqplib';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError } from '../../../shared/ports/event-bus.ts';
import { toBusError } from './amqp-error.ts';
import type { Link } from './link.ts';

const CALL_LIMIT_MS = 30_000;

/**
 * A bounded number of channels for calls that the broker may refuse. A refusal costs the channel it came on (AMQP 0-9-1,
 * section 4.10.1), so each call has one to itself, and the next call takes another.
 */
export class ChannelPool {
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #size: number;
  readonly #idle: Channel[] = [];
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(link: Link, clock: Clock, size: number) {
    this.#link = link;
    this.#clock = clock;
    this.#size = size;
  }

  /** Runs `work` on a channel of its own. `subject` begins the message of what it rejects with, a `BusError`. */
  async use<T>(subject: string, work: (channel: Channel) => Promise<T>): Promise<T> {
    await this.#turn();
    let channel: Channel | undefined;
    try {
      channel = this.#idle.pop() ?? (await this.#open());
      const answer = await this.#limited(subject, channel, work);
      this.#idle.push(channel);
      return answer;
    } catch (error) {
      // A refused channel is closed by the broker; one that only we gave up is closed here. Either way it is not used again.
      if (channel !== undefined) closeQuietly(channel);
      throw toBusError(error, subject);
    } finally {
      this.#taken -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    while (this.#taken >= this.#size) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#taken += 1;
  }

  async #open(): Promise<Channel> {
    const channel = await (await this.#link.model()).createChannel();
    // The call on it rejects with the same; without a listener the event would end the process.
    channel.on('error', () => {});
    channel.on('close', () => {
      const at = this.#idle.indexOf(channel);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return channel;
  }

  async #limited<T>(subject: string, channel: Channel, work: (channel: Channel) => Promise<T>): Promise<T> {
    const over = new AbortController();
    const late = this.#clock.sleep(CALL_LIMIT_MS, over.signal).then((): never => {
      throw new BusError('backend_away', `${subject}: RabbitMQ did not answer within ${CALL_LIMIT_MS / 1000} s`);
    });
    try {
      return await Promise.race([work(channel), late]);
    } finally {
      late.catch(() => {});
      over.abort();
    }
  }
}

/** Closes a channel that may be closed already. */
export function closeQuietly(channel: Channel): void {
  try {
    channel.close().catch(() => {});
  } catch {
    // It was closed before: that is what is wanted.
  }
}
