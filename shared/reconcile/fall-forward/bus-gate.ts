/** Promises that a publish settles for the one behind it. */
interface Turn {
  /** It was handed to one side. */
  readonly handed: PromiseWithResolvers<void>;
  /** The external has answered it, or the fallback was handed it. */
  readonly passed: PromiseWithResolvers<void>;
}

/**
 * Decides for each publish whether it goes to the external or is kept, so that the order in which they came holds across
 * the change from one to the other.
 *
 * - They are handed over in the order in which they came.
 * - One is kept only once those before it, that had gone to the external, are answered or kept themselves.
 * - The change to the external happens while none is under way to the fallback and all that come wait.
 */
export class PublishGate {
  readonly #isAway: () => boolean;
  readonly #keeping = new Set<Promise<unknown>>();
  #last: Turn = turn(true);
  #isOver = false;
  #switching: Promise<void> | undefined;

  constructor(isAway: () => boolean) {
    this.#isAway = isAway;
  }

  /** Publishes go to the external. */
  get isOver(): boolean {
    return this.#isOver && !this.#isAway();
  }

  /** `over` answers undefined where the external did not take it: then it is kept. */
  async publish<Answer>(over: () => Promise<Answer | undefined>, keep: () => Promise<Answer>): Promise<Answer> {
    const before = this.#last;
    const own = turn(false);
    this.#last = own;
    try {
      await before.handed.promise;
      for (;;) {
        while (this.#switching !== undefined) await this.#switching;
        if (!this.isOver) {
          await before.passed.promise;
          if (this.#switching !== undefined || this.isOver) continue;
          const keeping = this.#keep(keep);
          settle(own);
          return await keeping;
        }
        const taking = over();
        own.handed.resolve();
        const answer = await taking;
        if (answer !== undefined) return answer;
        this.#isOver = false;
      }
    } finally {
      settle(own);
    }
  }

  /**
   * Lets publishes go to the external if `isEmpty` finds the fallback empty, while none goes to either. True when they do.
   */
  async switchOver(isEmpty: () => Promise<boolean>): Promise<boolean> {
    const over = Promise.withResolvers<void>();
    this.#switching = over.promise;
    try {
      await Promise.allSettled(this.#keeping);
      const isReady = (await isEmpty()) && !this.#isAway();
      if (isReady) this.#isOver = true;
      return isReady;
    } finally {
      this.#switching = undefined;
      over.resolve();
    }
  }

  #keep<Answer>(keep: () => Promise<Answer>): Promise<Answer> {
    this.#isOver = false;
    const keeping = keep().finally(() => this.#keeping.delete(keeping));
    this.#keeping.add(keeping);
    return keeping;
  }
}

function turn(isSettled: boolean): Turn {
  const made = { handed: Promise.withResolvers<void>(), passed: Promise.withResolvers<void>() };
  if (isSettled) settle(made);
  return made;
}

function settle({ handed, passed }: Turn): void {
  handed.resolve();
  passed.resolve();
}
