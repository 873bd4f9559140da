import type { Clock } from '../ports/clock.ts';
import type { PlannedAction, Probe } from './action.ts';
import { DeadlineError, withDeadline } from './deadline.ts';
import type { ActionView } from './types.ts';
import { describeError, errorKind } from './wording.ts';

/**
 * How one action ended. `not_tried`: something that it needs had failed, or the backend does not answer.
 * `incompatible`: only the backend could tell that what exists can't become what is wanted; it is as it was.
 */
export interface ActionResult {
  readonly view: ActionView;
  readonly probe?: Probe;
  readonly outcome: 'applied' | 'failed' | 'not_tried' | 'incompatible';
  readonly duration_ms: number;
  readonly message?: string;
  /** It failed because the backend did not answer. */
  readonly away?: true;
}

export interface RunOptions {
  readonly clock: Clock;
  /** Milliseconds that one action may take. */
  readonly call_limit_ms: number;
  /** Told as each tried action ends, so that a crash in the middle leaves a trace of what was done. */
  readonly done: (result: ActionResult) => void;
  /** How many actions of one kind may run at once. Default 1. */
  readonly concurrency?: number;
}

/** After this many failures in a row that say "not reachable", the rest of a run is not tried. */
const UNREACHABLE_IN_A_ROW = 3;
const INCOMPATIBLE = 'incompatible';
const UNREACHABLE = new Set(['backend_away', 'unauthorized']);

/**
 * Runs what can be run, kind after kind in the order given. A failed action keeps only those from running that need it.
 * The results have the order of the actions, whichever ended first.
 */
export async function runActions(actions: readonly PlannedAction[], options: RunOptions): Promise<ActionResult[]> {
  const run: RunState = { failed: new Set(), unreachable: 0, hangs: false };
  const results: ActionResult[] = [];
  for (const group of groups(actions)) {
    const ended: ActionResult[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < group.length) {
        const at = next;
        next += 1;
        const one = group[at];
        if (one !== undefined) ended[at] = await runOne(one, run, options);
      }
    };
    await Promise.all(Array.from({ length: Math.min(options.concurrency ?? 1, group.length) }, worker));
    results.push(...ended);
  }
  return results;
}

/** The error of a backend that does not answer, as opposed to one that answers with an error. */
export function isAway(error: unknown): boolean {
  return error instanceof DeadlineError || errorKind(error) === 'backend_away';
}

type Executable = PlannedAction & Required<Pick<PlannedAction, 'execute'>>;

/** What the actions of a run know of each other. */
interface RunState {
  readonly failed: Set<string>;
  /** Failures in a row that say "not reachable". */
  unreachable: number;
  /** A call has not come back: whatever the others say, nothing more is started beside it. */
  hangs: boolean;
}

/** Neighbours of one kind, as long as none needs another of them. */
function groups(actions: readonly PlannedAction[]): Executable[][] {
  const all: Executable[][] = [];
  let subjects = new Set<string>();
  for (const action of actions) {
    const { view, needs, execute } = action;
    if (execute === undefined) continue;
    const group = all.at(-1);
    if (group?.[0]?.view.kind === view.kind && !needs.some((subject) => subjects.has(subject))) group.push({ ...action, execute });
    else {
      all.push([{ ...action, execute }]);
      subjects = new Set();
    }
    subjects.add(view.subject);
  }
  return all;
}

async function runOne({ view, needs, probe, execute }: Executable, run: RunState, options: RunOptions): Promise<ActionResult> {
  if (run.hangs || run.unreachable >= UNREACHABLE_IN_A_ROW || needs.some((subject) => run.failed.has(subject))) {
    run.failed.add(view.subject);
    return { view, outcome: 'not_tried', duration_ms: 0 };
  }
  const { result, error } = await tryOne(view, execute, options);
  options.done(result);
  if (result.outcome === 'failed') run.failed.add(view.subject);
  if (error instanceof DeadlineError) run.hangs = true;
  run.unreachable = UNREACHABLE.has(errorKind(error) ?? '') ? run.unreachable + 1 : 0;
  return probe === undefined ? result : { ...result, probe };
}

async function tryOne(view: ActionView, execute: Executable['execute'], { clock, call_limit_ms }: RunOptions) {
  const started = clock.monotonic();
  const took = () => Math.max(0, clock.monotonic() - started);
  try {
    await withDeadline(clock, call_limit_ms, execute);
    return { result: { view, outcome: 'applied', duration_ms: took() } satisfies ActionResult, error: undefined };
  } catch (error) {
    const message = describeError(error);
    const outcome = errorKind(error) === INCOMPATIBLE ? 'incompatible' : 'failed';
    const away = isAway(error) ? ({ away: true } as const) : {};
    return { result: { view, outcome, duration_ms: took(), message, ...away } satisfies ActionResult, error };
  }
}
