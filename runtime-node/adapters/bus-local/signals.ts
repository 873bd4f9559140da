/** Wakes those who wait for a queue to have something. */
export class Signals {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Resolves at the next `wake` of the queue, or when `signal` aborts. Ask before looking, so that nothing is missed. */
  next(queue: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(queue) ?? new Set();
      this.#waiting.set(queue, waiting);
      const done = () => {
        waiting.delete(done);
        if (waiting.size === 0 && this.#waiting.get(queue) === waiting) this.#waiting.delete(queue);
        resolve();
      };
      if (signal.aborted) done();
      else {
        waiting.add(done);
        signal.addEventListener('abort', done, { once: true });
      }
    });
  }

  /** How many wait for the queue. */
  waiting(queue: string): number {
    return this.#waiting.get(queue)?.size ?? 0;
  }

  wake(queues: Iterable<string>): void {
    for (const queue of new Set(queues)) for (const done of [...(this.#waiting.get(queue) ?? [])]) done();
  }
}
