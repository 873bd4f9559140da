import type { Clock } from '../../../shared/ports/clock.ts';
import type { Advert } from '../../../shared/ports/lan.ts';

export interface BrowseDeps {
  readonly clock: Clock;
  known(): readonly Advert[];
  /** Calls `add` with each advert that is heard, until the returned function is called. */
  listen(add: (advert: Advert) => void): () => void;
  /** Ends the browse, with what it has not yet yielded. */
  readonly signal: AbortSignal;
}

/** Yields each different advert once: those known, then those heard within `timeout_ms`. */
export async function* browse(timeout_ms: number, { clock, known, listen, signal }: BrowseDeps): AsyncGenerator<Advert, void> {
  const ended = new AbortController();
  const seen = new Set<string>();
  const found: Advert[] = [];
  let wake = () => {};
  const add = (advert: Advert) => {
    const text = JSON.stringify(advert);
    if (seen.has(text)) return;
    seen.add(text);
    found.push(advert);
    wake();
  };
  let over = signal.aborted;
  for (const advert of known()) add(advert);
  const unlisten = listen(add);
  void clock.sleep(timeout_ms, AbortSignal.any([signal, ended.signal])).then(() => {
    over = true;
    wake();
  });
  try {
    while (!signal.aborted) {
      const next = found.shift();
      if (next !== undefined) yield next;
      else if (over) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    unlisten();
    ended.abort();
  }
}
