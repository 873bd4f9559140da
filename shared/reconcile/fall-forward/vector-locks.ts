/** Lets one at a time work on an object. Whoever wants several gets all of them at once, so nobody waits in a ring. */
export class ObjectLocks {
  readonly #held = new Set<string>();
  #waiting: (() => void)[] = [];

  async hold<T>(place: string, ids: readonly string[], work: () => Promise<T>): Promise<T> {
    const keys = new Set(ids.map((id) => `${place}\0${id}`));
    while ([...keys].some((key) => this.#held.has(key))) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    for (const key of keys) this.#held.add(key);
    try {
      return await work();
    } finally {
      for (const key of keys) this.#held.delete(key);
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }
}
