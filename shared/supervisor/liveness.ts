import type { Liveness } from '../contract/node.ts';
import { livenessOf as livenessByAge } from '../decide/ttl.ts';

/** How long ago a node was heard, against the TTL; all milliseconds of the database's clock. */
export interface Heard {
  readonly now: number;
  readonly heard_at: number;
  readonly left_at: number | null;
  readonly ttl_ms: number;
}

/** The liveness of a node as its row was read. */
export function livenessOf({ now, heard_at, left_at, ttl_ms }: Heard): Liveness {
  return livenessByAge(now - heard_at, ttl_ms / 1000, left_at !== null);
}
