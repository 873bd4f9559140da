/** Lets `most` pieces of work run at once; up to `queue` more wait in the order they came. `refuse` makes the error for any beyond. */
export function createGate(most: number, queue: number, refuse: () => Error) {
  let running = 0;
  const waiting: (() => void)[] = [];
  const enter = async () => {
    if (running < most) {
      running += 1;
      return;
    }
    if (waiting.length >= queue) throw refuse();
    await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const leave = () => {
    const next = waiting.shift();
    // Whoever leaves hands its place on, so nobody comes in between.
    if (next === undefined) running -= 1;
    else next();
  };
  return async <T>(work: () => Promise<T>): Promise<T> => {
    await enter();
    try {
      return await work();
    } finally {
      leave();
    }
  };
}
