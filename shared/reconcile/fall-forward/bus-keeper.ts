import { BusError, type EmbeddedBus, type OutgoingMessage } from '../../ports/event-bus.ts';
import { checkRoom, heldName, isHeld, isReserved, ORIGIN, REFUSED } from './bus-message.ts';

/** Messages that were routed nowhere and wait to be published to their exchange, over all exchanges. */
export const MAX_HELD = 100_000;

/** What the bus held at some time, and what came since. */
interface Tally {
  readonly counted: Promise<number>;
  added: number;
}

/** Keeps messages in the embedded bus: in the queues that it routes them to, or in one of ours for each exchange. */
export class Keeper {
  readonly #bus: EmbeddedBus;
  readonly #max: number;
  readonly #declared = new Map<string, Promise<void>>();
  #tally: Tally | undefined;

  constructor(bus: EmbeddedBus, max: number) {
    this.#bus = bus;
    this.#max = max;
  }

  /** Answers whether a queue of the embedded bus has it. `full` beyond `max` that are routed nowhere. */
  async keep(message: OutgoingMessage): Promise<{ routed: boolean }> {
    checkRoom(message);
    const isOurs = message.exchange === '' && isReserved(message.key);
    const answer = isOurs ? { routed: false } : await this.#bus.publish(message);
    if (!answer.routed) await this.#hold(message);
    return answer;
  }

  /** Puts one aside that the external refused for good. */
  async refuse(message: OutgoingMessage): Promise<void> {
    await this.#declare(REFUSED);
    await this.#bus.publish(message);
  }

  /** It is counted anew from what the bus holds. */
  recount(): void {
    this.#tally = undefined;
  }

  async #hold(message: OutgoingMessage): Promise<void> {
    this.#tally ??= { counted: this.#count(), added: 0 };
    const tally = this.#tally;
    if ((await tally.counted) + tally.added >= this.#max) {
      throw new BusError(
        'full',
        `${this.#max} messages that no queue here is bound for wait for the broker: bind a queue, or publish when it answers`,
      );
    }
    const name = await heldName(message.exchange);
    await this.#declare(name);
    const headers = { ...message.headers, [ORIGIN.exchange]: message.exchange };
    await this.#bus.publish({ ...message, exchange: name, headers });
    tally.added += 1;
  }

  async #count(): Promise<number> {
    const holdings = await this.#bus.holdings();
    return holdings.filter(({ queue }) => isHeld(queue)).reduce((sum, { ready, unacked }) => sum + ready + unacked, 0);
  }

  #declare(name: string): Promise<void> {
    const declaring = this.#declared.get(name) ?? this.#declareNow(name);
    this.#declared.set(name, declaring);
    declaring.catch(() => this.#declared.delete(name));
    return declaring;
  }

  async #declareNow(name: string): Promise<void> {
    await this.#bus.ensureExchange({ name, type: 'fanout' });
    await this.#bus.ensureQueue({ name, type: 'classic', arguments: {} });
    await this.#bus.ensureBinding({ exchange: name, queue: name, key: '', arguments: {} });
  }
}
