import type { Queue } from '../../contract/profile.ts';
import { BusError, type Delivery, type EventBus, type OutgoingMessage } from '../../ports/event-bus.ts';
import { intoQueue, ORIGIN, outgoing, passageName } from './bus-message.ts';

/**
 * The way of a message straight into the queue of the same name in the external.
 *
 * Mostly that is the exchange "" with the name of the queue as the key. From a queue that dead-letters by the key of the
 * message it would die with that name and reach nobody: such a queue gets a fanout exchange of its own, through which its
 * messages go with the key that they had. It is there while messages go over.
 */
export class Passages {
  readonly #external: EventBus;
  readonly #open = new Map<string, Promise<string>>();

  constructor(external: EventBus) {
    this.#external = external;
  }

  async into(queue: Queue | undefined, delivery: Delivery): Promise<OutgoingMessage> {
    const diesByKey = queue?.dlx !== undefined && queue.arguments['x-dead-letter-routing-key'] === undefined;
    if (!diesByKey || delivery.key === delivery.queue) return intoQueue(delivery);
    const exchange = await this.#passage(delivery.queue);
    return { ...outgoing(delivery), exchange, headers: { ...delivery.headers, [ORIGIN.exchange]: delivery.exchange } };
  }

  /** It may have been removed by another node that had nothing left. */
  forget(queue: string): void {
    this.#open.delete(queue);
  }

  /** Nothing is left to go over: takes away what was made for that, as far as it can be. */
  async close(): Promise<void> {
    for (const [queue, opening] of [...this.#open]) {
      this.#open.delete(queue);
      try {
        const exchange = await opening;
        await this.#external.removeBinding({ exchange, queue, key: '', arguments: {} });
        await this.#external.removeExchange(exchange);
      } catch (error) {
        // It does no harm, and is used again the next time.
        if (!(error instanceof BusError)) throw error;
      }
    }
  }

  #passage(queue: string): Promise<string> {
    const opening = this.#open.get(queue) ?? this.#declare(queue);
    this.#open.set(queue, opening);
    opening.catch(() => this.#open.delete(queue));
    return opening;
  }

  async #declare(queue: string): Promise<string> {
    const exchange = await passageName(queue);
    await this.#external.ensureExchange({ name: exchange, type: 'fanout' });
    await this.#external.ensureBinding({ exchange, queue, key: '', arguments: {} });
    return exchange;
  }
}
