/** Work that must not overlap: an apply puts back what a removal takes away. */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

/** Runs one after another, in the order in which they came. What one rejects with is its own caller's business. */
export function createTurns(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  };
}
