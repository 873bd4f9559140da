/** The same bytes, and what the source failed with: a store that is given a broken stream only says that it broke. */
export function watchedStream(source: ReadableStream<Uint8Array>): { body: ReadableStream<Uint8Array>; failure(): unknown } {
  const reader = source.getReader();
  let failure: unknown;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          failure = error;
          throw error;
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return { body, failure: () => failure };
}

/** Whether two streams give the same bytes. Holds no more than a piece of each. Rejects as they do. */
export async function sameBytes(one: ReadableStream<Uint8Array>, other: ReadableStream<Uint8Array>): Promise<boolean> {
  const [left, right] = [new Pieces(one), new Pieces(other)];
  try {
    for (;;) {
      const [a, b] = [await left.peek(), await right.peek()];
      if (a === undefined || b === undefined) return a === b;
      const length = Math.min(a.length, b.length);
      for (let index = 0; index < length; index += 1) if (a[index] !== b[index]) return false;
      left.take(length);
      right.take(length);
    }
  } finally {
    await Promise.all([left.end(), right.end()]);
  }
}

class Pieces {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #piece: Uint8Array | undefined = new Uint8Array();

  constructor(source: ReadableStream<Uint8Array>) {
    this.#reader = source.getReader();
  }

  /** The next bytes, at least one; undefined at the end. */
  async peek(): Promise<Uint8Array | undefined> {
    while (this.#piece?.length === 0) this.#piece = (await this.#reader.read()).value;
    return this.#piece;
  }

  take(length: number): void {
    this.#piece = this.#piece?.subarray(length);
  }

  async end(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }
}
