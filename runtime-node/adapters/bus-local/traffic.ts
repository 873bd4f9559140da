import type { Clock } from '../../../shared/ports/clock.ts';
import type { QueueTraffic } from '../../../shared/ports/event-bus.ts';

type Event = Exclude<keyof QueueTraffic, 'seconds'>;
type Counts = Record<Event, number>;

const SLOT_MS = 60_000;
const SLOTS = 10;

/** What went through each queue in the last ten minutes, in memory: after a restart only what came since is known. */
export class Traffic {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** By queue, then by minute. */
  readonly #queues = new Map<string, Map<number, Counts>>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  note(queue: string, event: Event, count = 1): void {
    const slots = this.#queues.get(queue) ?? new Map<number, Counts>();
    this.#queues.set(queue, slots);
    const slot = this.#slot();
    const counts = slots.get(slot) ?? { came: 0, taken: 0, asked_in_vain: 0 };
    counts[event] += count;
    if (slots.has(slot)) return;
    slots.set(slot, counts);
    for (const old of slots.keys()) if (old <= slot - SLOTS) slots.delete(old);
  }

  of(queue: string): QueueTraffic {
    const sum = { came: 0, taken: 0, asked_in_vain: 0 };
    for (const [slot, counts] of this.#queues.get(queue) ?? []) {
      if (slot <= this.#slot() - SLOTS) continue;
      sum.came += counts.came;
      sum.taken += counts.taken;
      sum.asked_in_vain += counts.asked_in_vain;
    }
    return { seconds: (SLOTS * SLOT_MS) / 1000, ...sum };
  }

  forget(queue: string): void {
    this.#queues.delete(queue);
  }

  #slot(): number {
    return Math.floor(this.#clock.monotonic() / SLOT_MS);
  }
}
