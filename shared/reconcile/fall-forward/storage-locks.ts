interface Held {
  /** Those that may run beside one another; 0 while one holds it alone. */
  shared: number;
  /** Resolves when nobody holds it any more. */
  readonly free: PromiseWithResolvers<void>;
}

/** Keeps those that work on one key apart from whoever needs it alone. */
export class KeyLocks {
  readonly #held = new Map<string, Held>();

  /** Runs beside others of its kind, and not beside one that has the key alone. */
  async shared<T>(name: string, work: () => Promise<T>): Promise<T> {
    for (let held = this.#held.get(name); held?.shared === 0; held = this.#held.get(name)) await held.free.promise;
    const held = this.#held.get(name) ?? this.#hold(name);
    held.shared += 1;
    try {
      return await work();
    } finally {
      held.shared -= 1;
      if (held.shared === 0) this.#release(name, held);
    }
  }

  /** Runs alone, once everybody else has ended. */
  async alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    for (let held = this.#held.get(name); held !== undefined; held = this.#held.get(name)) await held.free.promise;
    const held = this.#hold(name);
    try {
      return await work();
    } finally {
      this.#release(name, held);
    }
  }

  isHeld(name: string): boolean {
    return this.#held.has(name);
  }

  #hold(name: string): Held {
    const held = { shared: 0, free: Promise.withResolvers<void>() };
    this.#held.set(name, held);
    return held;
  }

  #release(name: string, held: Held): void {
    this.#held.delete(name);
    held.free.resolve();
  }
}
