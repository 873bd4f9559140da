import { heartbeatIntervalMs } from './ttl.ts';

/** A tenth to each side. */
const DEFAULT_SPREAD = 0.1;

/** Spreads a repeated wait evenly over `interval_ms` ± `spread` (a share of it). `random` is in [0, 1). */
export function jittered(interval_ms: number, random: number, spread = DEFAULT_SPREAD): number {
  return interval_ms * (1 - spread + 2 * spread * random);
}

/** A fifth of the interval. */
const HEARTBEAT_SPREAD = 0.2;

/**
 * Milliseconds to the next heartbeat: the interval or up to a fifth less. Never more, so that a node
 * whose two last heartbeats were lost is still within its TTL.
 */
export function heartbeatDelayMs(ttl_seconds: number, random: number): number {
  return heartbeatIntervalMs(ttl_seconds) * (1 - HEARTBEAT_SPREAD * random);
}
