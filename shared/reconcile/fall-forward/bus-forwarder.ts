import type { Queue } from '../../contract/profile.ts';
import {
  BusError,
  type BusErrorKind,
  type Delivery,
  type EmbeddedBus,
  type EventBus,
  type Holding,
  type OutgoingMessage,
} from '../../ports/event-bus.ts';
import type { Declarations } from './bus-declarations.ts';
import { type Drain, drain } from './bus-drain.ts';
import type { Environment } from './bus-environment.ts';
import type { PublishGate } from './bus-gate.ts';
import type { Keeper } from './bus-keeper.ts';
import { isHeld, REFUSED, refusedMessage, toOrigin } from './bus-message.ts';
import type { Passages } from './bus-passage.ts';
import { inParallel } from './in-parallel.ts';
import type { Presence } from './presence.ts';

/** Messages of a batch, two of which are on their way at once, and queues at a time. */
const WINDOW = 512;
const QUEUES = 4;
/** As many may be left when publishers are made to wait for the rest. */
const REST = 1000;
/** Answers of the external that another try of the same message does not change. */
const FINAL: readonly BusErrorKind[] = ['unsupported', 'bad_name'];

export interface ForwarderParts {
  readonly external: EventBus;
  readonly fallback: EmbeddedBus;
  readonly presence: () => Pick<Presence, 'call'>;
  readonly gate: PublishGate;
  readonly keeper: Keeper;
  readonly environment: Environment;
  readonly declarations: Declarations;
  readonly passages: Passages;
  /** A message was refused for good and waits for a person. */
  refused(message: string): void;
}

/** Lets the messages that the embedded bus holds go over to the external, queue by queue, each in its order. */
export class Forwarder {
  readonly #parts: ForwarderParts;
  /** Queues that refused one before. */
  readonly #careful = new Set<string>();
  /** Queues of ours whose exchange is not in the external, or not ours to publish to. */
  readonly #stuck = new Set<string>();
  #waiting = 0;
  #forwarded = 0;
  #refused = 0;

  constructor(parts: ForwarderParts) {
    this.#parts = parts;
  }

  /** As far as it is known: exact after each round. */
  get counts(): { waiting: number; forwarded: number; conflicts: number } {
    return { waiting: this.#waiting, forwarded: this.#forwarded, conflicts: this.#refused };
  }

  kept(): void {
    this.#waiting += 1;
  }

  settled(): void {
    this.#waiting = Math.max(0, this.#waiting - 1);
  }

  /** True when publishes go to the external and nothing waits. They go there also while something waits that has no place there yet. */
  async forward(signal: AbortSignal): Promise<boolean> {
    const { gate, declarations, environment, passages } = this.#parts;
    const isDeclared = await declarations.forward();
    const isComplete = await environment.isComplete();
    await this.#drainAll(signal);
    const left = await this.#left();
    if (!gate.isOver && (signal.aborted || !isComplete || left > REST || !(await this.#switchOver(signal)))) return false;
    await passages.close();
    return isDeclared && isComplete && !signal.aborted && this.#waiting === 0;
  }

  #switchOver(signal: AbortSignal): Promise<boolean> {
    return this.#parts.gate.switchOver(async () => {
      await this.#drainAll(signal);
      return !signal.aborted && (await this.#left()) === 0;
    });
  }

  /** Counts what waits, and answers how many of them have somewhere to go. */
  async look(): Promise<number> {
    return await this.#left();
  }

  async #left(): Promise<number> {
    const { fallback, environment, keeper } = this.#parts;
    const holdings = await fallback.holdings();
    keeper.recount();
    const sum = (some: typeof holdings) => some.reduce((all, { ready, unacked }) => all + ready + unacked, 0);
    const waiting = holdings.filter(({ queue }) => queue !== REFUSED);
    this.#waiting = sum(waiting);
    this.#refused = sum(holdings) - this.#waiting;
    return sum(waiting.filter(({ queue }) => !this.#stuck.has(queue) && !environment.lacks(queue)));
  }

  /**
   * All that is ready now. What was routed nowhere goes first: it came before a binding that leads others of its exchange
   * to a queue.
   */
  async #drainAll(signal: AbortSignal): Promise<void> {
    const { fallback, environment } = this.#parts;
    const holdings = (await fallback.holdings()).filter(({ ready }) => ready > 0);
    const own = holdings.filter(({ queue }) => queue !== REFUSED && !environment.lacks(queue));
    const ours = own.filter(({ queue }) => isHeld(queue));
    const others = own.filter(({ queue }) => !isHeld(queue));
    // What the external says to one queue says nothing about the others.
    const failures = [
      ...(await inParallel(QUEUES, ours, (holding) => this.#drainHeld(holding, signal))),
      ...(await inParallel(QUEUES, others, (holding) => this.#drainQueue(holding, signal))),
    ];
    if (failures.length === 0) return;
    // Counted exactly, also in a round that ends here.
    await this.#left();
    throw failures[0];
  }

  async #drainQueue({ queue, ready }: Holding, signal: AbortSignal): Promise<void> {
    const { environment, passages } = this.#parts;
    const spec = environment.queue(queue);
    try {
      await this.#drain({ queue, window: this.#windowOf(spec, queue), limit: ready, signal }, async (delivery) => {
        const { routed } = await this.#publish(await passages.into(spec, delivery));
        if (!routed) throw new BusError('no_such_queue', `there is no queue ${queue} yet`);
      });
      this.#careful.delete(queue);
    } catch (error) {
      if (isOf(error, 'full')) this.#careful.add(queue);
      if (!isOf(error, 'no_such_queue') && !isOf(error, 'no_such_exchange')) throw error;
      passages.forget(queue);
      environment.lookAgain();
    }
  }

  /** Where one may be refused and the next taken, each goes alone. After a refusal more and more go together again. */
  #windowOf(spec: Queue | undefined, queue: string): () => number {
    const mayRefuse = String(spec?.arguments['x-overflow'] ?? '').startsWith('reject-publish');
    if (mayRefuse) return () => 1;
    let window = this.#careful.has(queue) ? 1 : WINDOW;
    return () => {
      const now = window;
      window = Math.min(WINDOW, 2 * window);
      return now;
    };
  }

  async #drainHeld({ queue, ready }: Holding, signal: AbortSignal): Promise<void> {
    this.#stuck.delete(queue);
    try {
      await this.#drain({ queue, window: () => WINDOW, limit: ready, signal }, async (delivery) => {
        // Nobody wanted it there either: so it is with a broker.
        await this.#publish(toOrigin(delivery));
      });
    } catch (error) {
      if (!isOf(error, 'no_such_exchange') && !isOf(error, 'unauthorized')) throw error;
      this.#stuck.add(queue);
    }
  }

  #drain(part: Omit<Drain, 'bus' | 'send' | 'settled'>, publish: (delivery: Delivery) => Promise<void>): Promise<void> {
    const send = (delivery: Delivery) =>
      publish(delivery).catch((error: unknown) => {
        if (!(error instanceof BusError && FINAL.includes(error.kind))) throw error;
        return this.#refuse(delivery, error);
      });
    const settled = (count: number) => {
      this.#forwarded += count;
      this.#waiting = Math.max(0, this.#waiting - count);
    };
    return drain({ ...part, bus: this.#parts.fallback, send, settled });
  }

  #publish(message: OutgoingMessage): Promise<{ routed: boolean }> {
    return this.#parts.presence().call(() => this.#parts.external.publish(message));
  }

  async #refuse(delivery: Delivery, error: BusError): Promise<void> {
    await this.#parts.keeper.refuse(await refusedMessage(delivery, error.message));
    this.#refused += 1;
    this.#parts.refused(`message ${delivery.message_id} of queue ${delivery.queue} is refused and kept in ${REFUSED}: ${error.message}`);
  }
}

function isOf(error: unknown, kind: BusErrorKind): boolean {
  return error instanceof BusError && error.kind === kind;
}
