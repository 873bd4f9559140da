import type { PlannedService } from '../../contract/plan.ts';
import { type BackoffPolicy, backoffMs } from '../../decide/backoff.ts';

/** A crash is answered after at most a second at first, later after at most half a minute. */
export const RESTART_BACKOFF: BackoffPolicy = { base_ms: 1_000, cap_ms: 30_000 };
/** No restart comes sooner: full jitter may draw 0, and a program that fails at once must not spin. */
export const MIN_RESTART_MS = 100;
/** A crash loop is tried again after its window, but not sooner than this. */
export const MIN_RETRY_MS = 600_000;

export type RestartDecision =
  | { readonly kind: 'restart'; readonly delay_ms: number; readonly restarts: readonly number[] }
  | { readonly kind: 'give_up'; readonly retry_ms: number };

/**
 * What follows the end of a process that should run. `restarts` are the times (monotonic,
 * milliseconds) of its restarts so far, of which those inside the window count; `random` is in [0, 1).
 */
export function decideRestart(
  policy: PlannedService['restart'],
  restarts: readonly number[],
  now: number,
  random: number,
): RestartDecision {
  const window_ms = policy.window_seconds * 1_000;
  const recent = restarts.filter((at) => at > now - window_ms);
  if (recent.length >= policy.max) return { kind: 'give_up', retry_ms: Math.max(MIN_RETRY_MS, window_ms) };
  const delay_ms = Math.max(MIN_RESTART_MS, backoffMs(RESTART_BACKOFF, recent.length, random));
  return { kind: 'restart', delay_ms, restarts: [...recent, now] };
}
