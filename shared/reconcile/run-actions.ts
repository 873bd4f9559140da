import type { Clock } from '../ports/clock.ts';
import type { PlannedAction } from './action.ts';
import { DeadlineError, withDeadline } from './deadline.ts';
import type { ActionView } from './types.ts';
import { describeError, errorKind } from './wording.ts';

/** How one action ended. `not_tried`: something that it needs had failed, or the backend does not answer. */
export interface ActionResult {
  readonly view: ActionView;
  readonly outcome: 'applied' | 'failed' | 'not_tried';
  readonly duration_ms: number;
  readonly message?: string;
}

export interface RunOptions {
  readonly clock: Clock;
  /** Milliseconds that one action may take. */
  readonly call_limit_ms: number;
  /** Told as each tried action ends, so that a crash in the middle leaves a trace of what was done. */
  readonly done: (result: ActionResult) => void;
}

/** After this many failures in a row that say "not reachable", the rest of a run is not tried. */
const UNREACHABLE_IN_A_ROW = 3;
const UNREACHABLE = new Set(['backend_away', 'unauthorized']);

/** Runs what can be run, in order. A failed action keeps only those from running that need it. */
export async function runActions(actions: readonly PlannedAction[], options: RunOptions): Promise<ActionResult[]> {
  const results: ActionResult[] = [];
  const failed = new Set<string>();
  let unreachable = 0;
  for (const { view, needs, execute } of actions) {
    if (execute === undefined) continue;
    if (unreachable >= UNREACHABLE_IN_A_ROW || needs.some((subject) => failed.has(subject))) {
      failed.add(view.subject);
      results.push({ view, outcome: 'not_tried', duration_ms: 0 });
      continue;
    }
    const { result, error } = await runOne(view, execute, options);
    results.push(result);
    options.done(result);
    if (result.outcome === 'failed') failed.add(view.subject);
    unreachable = countUnreachable(unreachable, error);
  }
  return results;
}

async function runOne(view: ActionView, execute: () => Promise<void>, { clock, call_limit_ms }: RunOptions) {
  const started = clock.monotonic();
  const took = () => Math.max(0, clock.monotonic() - started);
  try {
    await withDeadline(clock, call_limit_ms, execute);
    return { result: { view, outcome: 'applied', duration_ms: took() } satisfies ActionResult, error: undefined };
  } catch (error) {
    const message = describeError(error);
    return { result: { view, outcome: 'failed', duration_ms: took(), message } satisfies ActionResult, error };
  }
}

function countUnreachable(before: number, error: unknown): number {
  // A call that hangs is still under way: nothing is queued behind it.
  if (error instanceof DeadlineError) return UNREACHABLE_IN_A_ROW;
  return UNREACHABLE.has(errorKind(error) ?? '') ? before + 1 : 0;
}
