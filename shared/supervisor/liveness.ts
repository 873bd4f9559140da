import type { Liveness } from '../contract/node.ts';

/** How long ago a node was heard, against the TTL; all milliseconds of the database's clock. */
export interface Heard {
  readonly now: number;
  readonly heard_at: number;
  readonly left_at: number | null;
  readonly ttl_ms: number;
}

/** A node is `late` up to three TTLs after its last word, then `lost`. */
export function livenessOf({ now, heard_at, left_at, ttl_ms }: Heard): Liveness {
  if (left_at !== null) return 'left';
  const silent = now - heard_at;
  if (silent <= ttl_ms) return 'online';
  return silent <= 3 * ttl_ms ? 'late' : 'lost';
}
