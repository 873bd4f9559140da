export interface BackoffPolicy {
  /** The longest wait before the first retry, milliseconds. */
  readonly base_ms: number;
  /** No wait is longer than this, milliseconds. */
  readonly cap_ms: number;
}

/** 2^30 times the base is beyond any cap in use; more would only risk Infinity. */
const MAX_DOUBLINGS = 30;

/**
 * How long to wait before retry number `attempt` (0 for the first), whole milliseconds.
 * Exponential with full jitter: anywhere between nothing and the ceiling, because a fleet that lost
 * its leader at one moment must not come back at one moment.
 * `random` is in [0, 1).
 */
export function backoffMs(policy: BackoffPolicy, attempt: number, random: number): number {
  return Math.floor(random * backoffCeilingMs(policy, attempt));
}

/** The longest wait before retry number `attempt`, milliseconds: doubles up to the cap. */
export function backoffCeilingMs({ base_ms, cap_ms }: BackoffPolicy, attempt: number): number {
  const doublings = Math.min(Math.max(0, attempt), MAX_DOUBLINGS);
  return Math.min(cap_ms, base_ms * 2 ** doublings);
}
