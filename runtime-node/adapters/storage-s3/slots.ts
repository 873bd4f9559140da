import { StorageError } from '../../../shared/ports/object-storage.ts';

/** Lets `size` calls run at a time and at most `waiting` stand in line. */
export class Slots {
  readonly #waiting: number;
  readonly #queue: (() => void)[] = [];
  #free: number;

  constructor(size: number, waiting: number) {
    this.#free = size;
    this.#waiting = waiting;
  }

  /** First come, first served. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait();
    try {
      return await call();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  #wait(): Promise<void> {
    if (this.#queue.length >= this.#waiting)
      throw new StorageError(
        'backend_away',
        `${this.#waiting} requests wait for the object storage already: it is too slow or away; try again`,
      );
    return new Promise((resolve) => this.#queue.push(resolve));
  }
}

/** `work` on each item, `size` at a time, results in order. The first error ends it once those under way have settled. */
export async function eachOf<Item, Result>(items: readonly Item[], size: number, work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const entries = items.entries();
  let failed = false;
  const lane = async () => {
    for (const [index, item] of entries) {
      if (failed) return;
      results[index] = await work(item).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(size, items.length) }, lane));
  for (const one of lanes) if (one.status === 'rejected') throw one.reason;
  return results;
}

/** Runs what has the same name one after another. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(name, settled);
    try {
      return await mine;
    } finally {
      if (this.#last.get(name) === settled) this.#last.delete(name);
    }
  }
}
