/** At most so many at a time; the others wait in the order in which they came. */
export class Slots {
  readonly #waiting: (() => void)[] = [];
  readonly #refuse: (waiting: number) => void;
  #free: number;

  /** `refuse` is told how many wait before one more does: it throws where that is too many. Default: any number waits. */
  constructor(size: number, refuse: (waiting: number) => void = () => undefined) {
    this.#free = size;
    this.#refuse = refuse;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait();
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  #wait(): Promise<void> {
    this.#refuse(this.#waiting.length);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
