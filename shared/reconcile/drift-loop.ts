import type { EnvironmentProfile } from '../contract/profile.ts';
import { jittered } from '../decide/jitter.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { Desired, EnvironmentReconciler } from './types.ts';
import { describeError } from './wording.ts';

export interface DriftLoopDeps {
  readonly reconciler: Pick<EnvironmentReconciler, 'apply'>;
  /** The last desired profile; undefined while there is none. */
  readonly desired: () => Desired<EnvironmentProfile> | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The longest time between two applies, milliseconds; default 60000. */
  readonly interval_ms?: number;
}

const INTERVAL_MS = 60_000;
/** Half the width of the jitter, as a share of its middle. */
const SPREAD = 0.1;

/** Milliseconds to the next look: up to a fifth less than the interval, never more, so that drift is seen within one interval. */
export function driftDelayMs(interval_ms: number, random: number): number {
  return jittered(interval_ms / (1 + SPREAD), random, SPREAD);
}

/** Applies the last desired profile again and again, until `signal` aborts. Never rejects. */
export async function runDriftLoop(deps: DriftLoopDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await deps.clock.sleep(driftDelayMs(deps.interval_ms ?? INTERVAL_MS, deps.random.next()), signal);
    const desired = deps.desired();
    if (signal.aborted || desired === undefined) continue;
    await deps.reconciler.apply(desired).catch((error) => deps.log.error('an apply was broken off', { error: describeError(error) }));
  }
}
