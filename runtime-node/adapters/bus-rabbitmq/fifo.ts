const WORTH_IT = 1024;

/** First in, first out, however many wait: taking the first costs the same at any length. */
export class Fifo<Item> {
  #items: Item[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get first(): Item | undefined {
    return this.#items[this.#head];
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): void {
    this.#head += 1;
    if (this.#head < WORTH_IT || this.#head * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }

  /** Puts `items` before all that wait. */
  putBack(items: readonly Item[]): void {
    this.#items = [...items, ...this.all()];
    this.#head = 0;
  }

  all(): Item[] {
    return this.#items.slice(this.#head);
  }

  /** All that wait, which is nothing afterwards. */
  drain(): Item[] {
    const all = this.all();
    this.#items = [];
    this.#head = 0;
    return all;
  }
}
