/** What is to happen, and when. `act` goes when the event is called off. */
interface Event {
  readonly at: number;
  readonly order: number;
  /** The machine that it happens to, where it is one. */
  readonly owner: string | undefined;
  /** The only one whom it may change, where that is known: its owner, or who has no say in when it happens. */
  readonly about: string | undefined;
  act: (() => void) | undefined;
}

/** More events than this at one moment are a loop. */
const MOST_AT_ONCE = 50_000;

/**
 * The one time of a simulated world, in milliseconds from its beginning. It moves only from event to
 * event, and only when nothing is left to do at the present one.
 */
export class Timeline {
  #now = 0;
  #order = 0;
  /** Events since time moved last. */
  #stands = 0;
  readonly #heap: Event[] = [];
  readonly #suspended = new Map<string, Event[]>();
  /** Events that have happened. */
  happened = 0;

  get now(): number {
    return this.#now;
  }

  /**
   * Lets `act` happen to `owner` after `ms` milliseconds; events of one moment happen in the order in which they were
   * asked for. Only `about` may be another for it. Returns how to call it off.
   */
  after(ms: number, act: () => void, owner?: string, about = owner): () => void {
    const event: Event = { at: this.#now + Math.max(0, ms), order: this.#nextOrder(), owner, about, act };
    push(this.#heap, event);
    return () => {
      event.act = undefined;
    };
  }

  /** From now on nothing happens to `owner` until it is resumed: then all that was due happens at once. */
  suspend(owner: string): void {
    if (!this.#suspended.has(owner)) this.#suspended.set(owner, []);
  }

  resume(owner: string): void {
    const due = this.#suspended.get(owner) ?? [];
    this.#suspended.delete(owner);
    for (const event of due) push(this.#heap, { ...event, at: this.#now, order: this.#nextOrder(), act: () => event.act?.() });
  }

  isSuspended(owner: string): boolean {
    return this.#suspended.has(owner);
  }

  /** Lets time pass until `end`. `observe` is called after each event, when all that followed from it is done, and says whether to go on. */
  async run(end: number, observe: (owner: string | undefined, about: string | undefined) => boolean): Promise<void> {
    await settle();
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      pop(this.#heap);
      if (next.act === undefined) continue;
      const waiting = next.owner === undefined ? undefined : this.#suspended.get(next.owner);
      if (waiting !== undefined) {
        waiting.push(next);
        continue;
      }
      this.#stands = next.at > this.#now ? 0 : this.#stands + 1;
      if (this.#stands > MOST_AT_ONCE) throw new Error(`time stands still at ${this.#now} ms: something goes on without waiting`);
      this.#now = next.at;
      this.happened += 1;
      next.act();
      await settle();
      if (!observe(next.owner, next.about)) return;
    }
    this.#now = end;
  }

  #nextOrder(): number {
    this.#order += 1;
    return this.#order;
  }
}

/** Node comes to the next immediate only when no promise is left that could go on: nothing else in a simulated world leaves the event loop. */
const settle = (() => {
  const { setImmediate } = globalThis;
  return () => new Promise<void>((resolve) => setImmediate(resolve));
})();

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A binary heap, the earliest event first. */
function push(heap: Event[], event: Event): void {
  let index = heap.length;
  heap.push(event);
  while (index > 0) {
    const above = (index - 1) >> 1;
    const parent = heap[above];
    if (parent === undefined || !isBefore(event, parent)) break;
    heap[index] = parent;
    index = above;
  }
  heap[index] = event;
}

function pop(heap: Event[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let index = 0;
  for (;;) {
    const left = heap[2 * index + 1];
    const right = heap[2 * index + 2];
    const below = right !== undefined && left !== undefined && isBefore(right, left) ? 2 * index + 2 : 2 * index + 1;
    const child = heap[below];
    if (child === undefined || !isBefore(child, last)) break;
    heap[index] = child;
    index = below;
  }
  heap[index] = last;
}
