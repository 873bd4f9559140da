import type { Channel } from 'amqplib';
import type { Clock } from '../../../shared/ports/clock.ts';
import { toBusError } from './amqp-error.ts';
import { closeQuietly, inTime, openChannel } from './channels.ts';
import type { Link } from './link.ts';

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
      channel = this.#idle.pop() ?? (await this.#open(subject));
      const answer = await inTime(this.#clock, subject, work(channel));
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

  async #open(subject: string): Promise<Channel> {
    const channel = await openChannel({ link: this.#link, clock: this.#clock }, subject, (model) => model.createChannel());
    // The call on it rejects with the same; without a listener the event would end the process.
    channel.on('error', () => {});
    channel.on('close', () => {
      const at = this.#idle.indexOf(channel);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return channel;
  }
}
