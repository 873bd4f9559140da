import type { ChannelModel } from 'amqplib';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError, type RemoveQueueOptions } from '../../../shared/ports/event-bus.ts';
import type { BrokerAddress } from './address.ts';
import { replyCode, toBusError } from './amqp-error.ts';
import type { ChannelPool } from './channel-pool.ts';
import { inTime } from './channels.ts';
import { dial } from './dial.ts';

export interface RemovalParts {
  readonly pool: ChannelPool;
  readonly address: BrokerAddress;
  readonly ca?: string;
  readonly clock: Clock;
}

const CONNECT_LIMIT_MS = 30_000;
const NOT_IMPLEMENTED = 540;

interface Found {
  readonly messageCount: number;
  readonly consumerCount: number;
}

/**
 * Takes queues away, with the broker's own conditions. RabbitMQ has none for quorum queues and ends the whole connection of
 * whoever sets one, so a removal with conditions has a connection to itself, and a queue of that kind is looked at just before.
 */
export class QueueRemoval {
  readonly #parts: RemovalParts;

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  /** `held` is what this process has taken and not settled: the broker's condition does not see it. */
  async remove(queue: string, options: RemoveQueueOptions, held: number): Promise<void> {
    if (!options.if_empty && !options.if_unused) return await this.#delete(queue);
    if ((await this.#refuse(queue, options, held)) === 'absent') return;
    if (await this.#deleteIf(queue, options)) return;
    if ((await this.#refuse(queue, options, held)) !== 'absent') await this.#delete(queue);
  }

  async #refuse(queue: string, { if_empty, if_unused }: RemoveQueueOptions, held: number): Promise<'absent' | 'present'> {
    const found = await this.#look(queue);
    if (found === undefined) return 'absent';
    if (if_empty && found.messageCount + held > 0) {
      const handed = held > 0 ? ` and has handed out ${held}` : '';
      throw new BusError('not_empty', `The queue ${queue} holds ${found.messageCount} messages${handed}: it was left as it is`);
    }
    if (if_unused && found.consumerCount > 0) {
      throw new BusError('in_use', `The queue ${queue} has ${found.consumerCount} consumers: it was left as it is`);
    }
    return 'present';
  }

  async #look(queue: string): Promise<Found | undefined> {
    try {
      return await this.#parts.pool.use(`queue ${queue}`, (channel) => channel.checkQueue(queue));
    } catch (error) {
      if (error instanceof BusError && error.kind === 'no_such_queue') return undefined;
      throw error;
    }
  }

  async #delete(queue: string): Promise<void> {
    await this.#parts.pool.use(`queue ${queue}`, (channel) => channel.deleteQueue(queue));
  }

  /** False where the broker knows no such conditions for this kind of queue. */
  async #deleteIf(queue: string, { if_empty = false, if_unused = false }: RemoveQueueOptions): Promise<boolean> {
    const { address, ca, clock } = this.#parts;
    const limits = { timeout_ms: CONNECT_LIMIT_MS, heartbeat_s: 10 };
    const model = await dial({ address, name: 'bootplane removal', ...limits, ...(ca === undefined ? {} : { ca }) });
    let ended: unknown;
    // Tells why the broker ended it; without a listener it would end the process.
    model.on('error', (error) => {
      ended = error;
    });
    try {
      await inTime(clock, `queue ${queue}`, deleteOn(model, queue, { ifEmpty: if_empty, ifUnused: if_unused }));
      return true;
    } catch (error) {
      if (replyCode(ended) === NOT_IMPLEMENTED) return false;
      throw toBusError(ended ?? error, `queue ${queue}`);
    } finally {
      model.close().catch(() => {});
    }
  }
}

async function deleteOn(model: ChannelModel, queue: string, conditions: { ifEmpty: boolean; ifUnused: boolean }): Promise<void> {
  const channel = await model.createChannel();
  channel.on('error', () => {});
  await channel.deleteQueue(queue, conditions);
}
