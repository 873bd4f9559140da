import { idempotencyKey } from '../contract/canonical.ts';
import type { BootstrapEvent } from '../contract/event.ts';
import type { Component, ComponentOutcome } from '../contract/status.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { ActionResult } from './run-actions.ts';
import type { Attempts, Desired, Report } from './types.ts';
import { actionName, clipMessage, describeError } from './wording.ts';

/** What a reconciler works with, beside the three ports. */
export interface RunDeps {
  readonly node_id: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly attempts: Attempts;
  readonly report: Report;
  /** Milliseconds that one call to a backend may take. */
  readonly call_limit_ms: number;
}

/** What names one run in each of its events and log lines. */
export interface RunIdentity {
  readonly component: Component;
  readonly generation: number;
  readonly hash: string;
  readonly idempotency_key: string;
  readonly attempt: number;
}

/** Numbers a run that does or tells something. A run that does neither takes no number. Never rejects. */
export async function openRun(deps: RunDeps, component: Component, { generation, hash }: Desired<unknown>): Promise<RunIdentity> {
  const idempotency_key = await idempotencyKey(deps.node_id, component, generation, hash);
  return { component, generation, hash, idempotency_key, attempt: await nextAttempt(deps, component, idempotency_key) };
}

async function nextAttempt({ attempts, clock, log }: RunDeps, component: Component, idempotency_key: string): Promise<number> {
  try {
    return await attempts.next(component, idempotency_key);
  } catch (error) {
    // A disk that refuses a number must not keep the environment from being put right.
    log.warn('the attempt could not be numbered on disk, the time takes its place', {
      component,
      idempotency_key,
      error: describeError(error),
    });
    return Math.max(0, Math.floor(clock.now()));
  }
}

/** Tells one step to the Supervisor and to the log. */
export function tell(
  deps: RunDeps,
  run: RunIdentity,
  step: { action: string; status: ComponentOutcome; duration_ms: number } & Pick<BootstrapEvent, 'message' | 'incompatible'>,
): void {
  const { message, incompatible, ...rest } = step;
  deps.report({
    node_id: deps.node_id,
    ...run,
    ...rest,
    ...(message === undefined ? {} : { message: clipMessage(message) }),
    ...(incompatible === undefined || incompatible.length === 0 ? {} : { incompatible }),
  });
  const level = step.status === 'failed' || step.status === 'pending' ? 'warn' : 'info';
  deps.log[level](message ?? `${run.component}: ${step.action}`, { ...run, ...rest });
}

const TOLD_AS = { applied: 'applied', failed: 'failed', not_tried: 'failed', incompatible: 'skipped' } as const satisfies Record<
  ActionResult['outcome'],
  ComponentOutcome
>;

/** Tells how one action ended. */
export function tellAction(deps: RunDeps, run: RunIdentity, { view, outcome, duration_ms, message }: ActionResult): void {
  const status = TOLD_AS[outcome];
  tell(deps, run, { action: actionName(view), status, duration_ms, ...(message === undefined ? {} : { message }) });
}
