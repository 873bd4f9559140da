import type { Liveness } from '../contract/node.ts';
import { livenessOf as livenessByAge } from '../decide/ttl.ts';

/** How long nothing was heard of a node, against the TTL; all milliseconds of the database's clock. */
export interface Heard {
  readonly silent_ms: number;
  readonly left_at: number | null;
  readonly ttl_ms: number;
}

/** The liveness of a node as its row was read. */
export function livenessOf({ silent_ms, left_at, ttl_ms }: Heard): Liveness {
  return livenessByAge(silent_ms, ttl_ms / 1000, left_at !== null);
}
