/** Who waits for a piece of work that is done once. */
export interface Waiter {
  readonly signal: AbortSignal;
  readonly note: (words: string) => void;
}

interface Running<T> {
  readonly done: Promise<T>;
  readonly waiters: Set<Waiter>;
  readonly ending: AbortController;
}

/** Work by name that several may wait for and that is done once. It is given up when nobody waits any more. */
export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /** What is under way. */
  names(): string[] {
    return [...this.#running.keys()];
  }

  /** Rejects with the signal's reason as soon as it aborts. */
  async join(name: string, waiter: Waiter, work: (all: Waiter) => Promise<T>): Promise<T> {
    const job = await this.#jobOf(name, waiter, work);
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(waiter.signal.reason);
    waiter.signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([job.done, left.promise]);
    } finally {
      waiter.signal.removeEventListener('abort', leave);
      job.waiters.delete(waiter);
      if (job.waiters.size === 0) job.ending.abort();
    }
  }

  async #jobOf(name: string, waiter: Waiter, work: (all: Waiter) => Promise<T>): Promise<Running<T>> {
    // One that was given up may still be on its way out.
    for (let old = this.#running.get(name); old?.ending.signal.aborted === true; old = this.#running.get(name)) {
      await old.done.catch(() => undefined);
    }
    waiter.signal.throwIfAborted();
    const job = this.#running.get(name) ?? this.#start(name, work);
    job.waiters.add(waiter);
    return job;
  }

  #start(name: string, work: (all: Waiter) => Promise<T>): Running<T> {
    const waiters = new Set<Waiter>();
    const ending = new AbortController();
    const note = (words: string) => {
      for (const waiter of waiters) waiter.note(words);
    };
    const done = work({ signal: ending.signal, note }).finally(() => this.#running.delete(name));
    done.catch(() => undefined);
    const job = { done, waiters, ending };
    this.#running.set(name, job);
    return job;
  }
}
