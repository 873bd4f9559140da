import { toTimestamp } from '../../contract/ids.ts';
import type { ComponentOutcome, ComponentStatus } from '../../contract/status.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import { openRun, type RunDeps, type RunIdentity, tell } from '../component-run.ts';
import type { Attempts, Desired, Report } from '../types.ts';
import { actionName, clipMessage, listed } from '../wording.ts';
import { type ServiceAction, viewActions } from './diff.ts';
import type { Problem } from './steps.ts';
import type { ServiceUnit } from './unit.ts';

export interface JournalDeps {
  readonly node_id: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly attempts: Attempts;
  readonly report: Report;
}

export interface ApplyResult {
  readonly actions: readonly ServiceAction[];
  readonly problems: readonly Problem[];
  readonly superseded: boolean;
  /** Monotonic, milliseconds. */
  readonly started: number;
}

interface Outcome {
  readonly status: ComponentOutcome;
  readonly message?: string;
}

/**
 * What is told about the services: an event for each step of an apply and one for the whole, and one
 * for each crash and recovery between two applies. A run that did nothing and leaves everything as it
 * stood is silent.
 */
export class ServiceJournal {
  readonly #deps: RunDeps;
  readonly #units: () => readonly ServiceUnit[];
  #desired: Desired<unknown> | undefined;
  #status: ComponentStatus | undefined;
  #run: Promise<RunIdentity> | undefined;
  #applying = false;
  #lasting: readonly string[] = [];
  #troubled: ReadonlySet<string> = new Set();
  #told: string | undefined;

  constructor(deps: JournalDeps, units: () => readonly ServiceUnit[]) {
    this.#deps = { ...deps, call_limit_ms: 0 };
    this.#units = units;
  }

  /** The last apply, corrected by how the services stand now: what broke since is not shown as applied. */
  status(): ComponentStatus | undefined {
    const status = this.#status;
    if (status === undefined || this.#applying || status.status === 'pending') return status;
    const { message: before, ...rest } = status;
    const now = this.#standing();
    if (now.status === 'failed') return { ...rest, ...now };
    return status.status === 'failed' ? { ...rest, ...now } : status;
  }

  begin(desired: Desired<unknown>): void {
    this.#desired = desired;
    this.#run = undefined;
    this.#applying = true;
    this.#status ??= this.#toStatus(desired, { status: 'pending', message: 'services are being started' }, 0, 0);
  }

  /** The answer to an apply that was not carried out. */
  skip(desired: Desired<unknown>, status: 'skipped' | 'pending', message: string): ComponentStatus {
    return this.#toStatus(desired, { status, message }, 0, 0);
  }

  async noteStep(desired: Desired<unknown>, action: ServiceAction, problem: Problem | undefined, duration_ms: number): Promise<void> {
    const [view] = viewActions([action]);
    if (view === undefined) return;
    const run = await this.#open(desired);
    const outcome = problem === undefined ? { status: 'applied' as const } : { status: 'failed' as const, message: problem.message };
    tell(this.#deps, run, { action: actionName(view), duration_ms, ...outcome });
  }

  async finish(desired: Desired<unknown>, result: ApplyResult): Promise<ComponentStatus> {
    const duration_ms = Math.max(0, this.#deps.clock.monotonic() - result.started);
    this.#lasting = result.problems.filter(({ lasting }) => lasting).map(({ message }) => message);
    this.#troubled = new Set(this.#broken().map(({ name }) => name));
    const status = await this.#conclude(desired, summarise(result), duration_ms, this.#run !== undefined);
    this.#applying = false;
    return status;
  }

  /** Called at each change of a unit's state. Inside an apply the apply itself tells what came of it. */
  noteState(unit: ServiceUnit): void {
    const { name, version, state, detail } = unit;
    const level = state === 'backoff' || state === 'failed' || state === 'unhealthy' ? 'warn' : 'debug';
    this.#deps.log[level](`service ${unit.describe()}`, { service: name, version, state, ...(detail !== '' && { detail }) });
    if (this.#applying || this.#desired === undefined) return;
    const down = state === 'backoff' || state === 'failed';
    const recovered = state === 'running' && this.#troubled.has(name);
    if (!down && !recovered) return;
    const others = [...this.#troubled].filter((one) => one !== name);
    this.#troubled = new Set(down ? [...others, name] : others);
    const now = this.#standing();
    this.#run = undefined;
    void this.#conclude(this.#desired, now.status === 'failed' ? now : { ...now, message: `${name} is healthy again` }, 0, false);
  }

  async #conclude(desired: Desired<unknown>, outcome: Outcome, duration_ms: number, acted: boolean): Promise<ComponentStatus> {
    const well = outcome.status === 'applied' || outcome.status === 'unchanged';
    const standing = JSON.stringify([desired.generation, desired.hash, well ? 'well' : outcome]);
    const news = acted || standing !== this.#told;
    this.#told = standing;
    const run = news ? await this.#open(desired) : undefined;
    const status = this.#toStatus(desired, outcome, run?.attempt ?? this.#status?.attempt ?? 0, duration_ms);
    this.#status = status;
    if (run !== undefined) tell(this.#deps, run, { action: 'reconcile', ...outcome, duration_ms });
    return status;
  }

  /** How the services stand, whatever the last apply said. */
  #standing(): Outcome {
    const broken = [...this.#lasting, ...this.#broken().map((unit) => unit.describe())];
    return broken.length === 0 ? { status: 'applied' } : { status: 'failed', message: clipMessage(listed(broken)) };
  }

  #broken(): readonly ServiceUnit[] {
    return this.#units().filter(({ state }) => state !== 'running');
  }

  /** One number for all that a run tells. */
  #open(desired: Desired<unknown>): Promise<RunIdentity> {
    this.#run ??= openRun(this.#deps, 'services', desired);
    return this.#run;
  }

  #toStatus({ generation, hash }: Desired<unknown>, outcome: Outcome, attempt: number, duration_ms: number): ComponentStatus {
    const at = toTimestamp(this.#deps.clock.now());
    return { ...outcome, action: 'reconcile', generation, hash, attempt, duration_ms, incompatible: [], at };
  }
}

function summarise({ actions, problems, superseded }: ApplyResult): Outcome {
  if (superseded) return { status: 'pending', message: 'superseded by a later apply' };
  if (problems.length > 0) return { status: 'failed', message: clipMessage(listed(problems.map(({ message }) => message))) };
  const views = viewActions(actions);
  return views.length === 0 ? { status: 'unchanged' } : { status: 'applied', message: listed(views.map(actionName)) };
}
