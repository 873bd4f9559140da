import { BusError, type RemoveQueueOptions } from '../../../shared/ports/event-bus.ts';
import type { MessageStore } from './message-store.ts';
import type { QueueRow, TopologyStore } from './topology.ts';

/** Messages that one commit takes, so that it never holds up others for long. */
const CHUNK = 1000;

export interface RemovalParts {
  readonly topology: TopologyStore;
  readonly messages: MessageStore;
  /** Durable when it resolves. */
  readonly run: <T>(work: () => T) => Promise<T>;
  /** Whether anybody consumes from a queue or waits for its messages. */
  readonly isUsed: (queue: string) => boolean;
  /** Told when a queue is gone. */
  readonly onGone: (queue: string) => void;
}

/** Takes queues away. One is gone with the commit that renames it; its messages follow in parts, also after a crash. */
export class QueueRemoval {
  readonly #parts: RemovalParts;

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  async remove(queue: string, { if_empty = false, if_unused = false }: RemoveQueueOptions): Promise<void> {
    const { topology, run, isUsed, onGone } = this.#parts;
    await run(() => {
      const row = topology.find(queue);
      if (row === undefined) return;
      if (if_unused && isUsed(queue)) {
        throw new BusError('in_use', `The queue ${queue} has consumers, or somebody waits for its messages: it was left as it is`);
      }
      if (if_empty) this.#refuseContent(row);
      topology.leave(row);
    });
    onGone(queue);
    await this.discardLeft();
  }

  /** Also what a crash has left. */
  async discardLeft(): Promise<void> {
    const { topology, messages, run } = this.#parts;
    const some = () => {
      const id = topology.left();
      if (id !== undefined && messages.discardSome(id, CHUNK) === 0) topology.forgetQueue(id);
      return id !== undefined;
    };
    while (await run(some));
  }

  #refuseContent(row: QueueRow): void {
    const { messages } = this.#parts;
    if (!messages.holdsAny(row)) return;
    const { ready, unacked } = messages.stats(row);
    throw new BusError('not_empty', `The queue ${row.name} holds ${ready} messages and has handed out ${unacked}: it was left as it is`);
  }
}
