import type { Clock } from '../ports/clock.ts';

/** As many as a node remembers of a LAN. */
const MAX_HEARD = 1024;

/** Who was heard, and not too long ago. */
export interface HeardLately {
  note(who: string): void;
  has(who: string): boolean;
}

/** Counts what is no older than `within_ms`. When it is full, whoever was heard longest ago is forgotten. */
export function createHeardLately(clock: Pick<Clock, 'monotonic'>, within_ms: () => number): HeardLately {
  /** The one heard longest ago first. */
  const heard = new Map<string, number>();
  return {
    note(who) {
      heard.delete(who);
      const [oldest] = heard.keys();
      if (heard.size >= MAX_HEARD && oldest !== undefined) heard.delete(oldest);
      heard.set(who, clock.monotonic());
    },
    has(who) {
      const at = heard.get(who);
      return at !== undefined && clock.monotonic() - at <= within_ms();
    },
  };
}
