import { toTimestamp } from '../contract/ids.ts';
import type { EnvironmentProfile } from '../contract/profile.ts';
import type { ComponentStatus } from '../contract/status.ts';
import type { PlannedAction } from './action.ts';
import type { EnvironmentComponent } from './component.ts';
import { openRun, type RunDeps, type RunIdentity, tell, tellAction } from './component-run.ts';
import { withDeadline } from './deadline.ts';
import { type Outcome, summarise } from './outcome.ts';
import { isWorthTelling, type Repeated, repeatedAfter, withCount } from './repeats.ts';
import { type ActionResult, isAway, runActions } from './run-actions.ts';
import type { Desired } from './types.ts';
import { actionName, clipMessage, describeError, listed } from './wording.ts';

/** What the runs of one component know of those before. Empty at the start. */
export interface ComponentMemory {
  status?: ComponentStatus | undefined;
  /** How the component stood when it was last reported, and in which run. */
  reported?: { readonly standing: Repeated; readonly run: RunIdentity } | undefined;
  /** How each action of the last run went that did not succeed, by its name. */
  troubles?: ReadonlyMap<string, Repeated> | undefined;
  /** The document that was last applied in full. */
  applied?: string | undefined;
}

/** What stands beside a backend. */
export interface Beside {
  /** How the component stands where the backend does not answer and something stands in. Undefined: nothing does. */
  standsIn(reason: string): Outcome | undefined;
  /** How it stands where the backend answered, with what else is to be said. */
  besides(outcome: Outcome): Outcome;
}

const NOTHING_BESIDE: Beside = { standsIn: () => undefined, besides: (outcome) => outcome };

/** One run of one component: read, diff, act, report. Never rejects. */
export async function applyComponent(
  deps: RunDeps,
  component: EnvironmentComponent,
  desired: Desired<EnvironmentProfile>,
  memory: ComponentMemory,
  beside: Beside = NOTHING_BESIDE,
): Promise<void> {
  const started = deps.clock.monotonic();
  const took = () => Math.max(0, deps.clock.monotonic() - started);
  const actions = await readActions(deps, component, desired, beside);
  if (!Array.isArray(actions)) return finish(deps, component, desired, memory, { outcome: actions, duration_ms: took() });
  const executable = actions.filter(({ execute }) => execute !== undefined);
  const skipped = actions.filter(({ execute }) => execute === undefined);
  if (executable.length === 0) {
    memory.troubles = undefined;
    memory.applied = documentName(desired);
    return finish(deps, component, desired, memory, { outcome: beside.besides(summarise([], skipped, false)), duration_ms: took() });
  }
  const run = await openRun(deps, component.component, desired);
  const drifted = memory.applied === documentName(desired);
  const changed = drifted ? executable.filter(({ probe }) => probe === undefined) : [];
  if (changed.length > 0) showDrift(deps, run, changed, memory);
  const { concurrency = 1 } = component;
  const results = await runActions(executable, { ...deps, concurrency, done: tellingOnce(deps, run, memory) });
  const lost = results.find(({ away }) => away);
  const stands = lost === undefined ? undefined : beside.standsIn(lost.message ?? '');
  const outcome = stands ?? beside.besides(summarise(results, skipped, drifted));
  memory.applied = outcome.status === 'failed' || outcome.status === 'pending' ? undefined : documentName(desired);
  const hasChanged = results.some((result) => result.outcome === 'applied');
  return finish(deps, component, desired, memory, { run, hasChanged, outcome, duration_ms: took() });
}

/** Tells how each action ended, but for one that ends as it did in the run before: that is counted. */
function tellingOnce(deps: RunDeps, run: RunIdentity, memory: ComponentMemory): (result: ActionResult) => void {
  const before = memory.troubles;
  const troubles = new Map<string, Repeated>();
  memory.troubles = troubles;
  return (result) => {
    const { view, outcome, message } = result;
    if (outcome === 'applied') return tellAction(deps, run, result);
    const name = actionName(view);
    const what = JSON.stringify([run.generation, run.hash, outcome, message]);
    const repeated = repeatedAfter(before?.get(name), what, nowOf(deps));
    troubles.set(name, repeated);
    const counted = withCount(message, repeated);
    if (isWorthTelling(repeated)) tellAction(deps, run, { ...result, ...(counted === undefined ? {} : { message: counted }) });
    else deps.log.debug(`${name}: as the last time`, { ...run, message });
  };
}

function nowOf({ clock }: RunDeps): string {
  return toTimestamp(clock.now());
}

/** Tells how the component stands, and touches nothing. Never rejects. */
export async function standAside(
  deps: RunDeps,
  component: EnvironmentComponent,
  desired: Desired<EnvironmentProfile>,
  { memory, outcome }: { readonly memory: ComponentMemory; readonly outcome: Outcome },
): Promise<void> {
  return finish(deps, component, desired, memory, { outcome, duration_ms: 0 });
}

/** Another node reconciles this backend for this one: says so, and touches nothing. Never rejects. */
export async function leaveComponent(
  deps: RunDeps,
  component: EnvironmentComponent,
  desired: Desired<EnvironmentProfile>,
  { memory, reconciled_by, beside = NOTHING_BESIDE }: Leaving,
): Promise<void> {
  // Whoever takes it over restores what is missing: that is no drift of its own.
  memory.applied = undefined;
  const message = `${reconciled_by} leads the site and reconciles this ${component.backend} for it`;
  return standAside(deps, component, desired, { memory, outcome: beside.besides({ status: 'skipped', message, incompatible: [] }) });
}

interface Leaving {
  readonly memory: ComponentMemory;
  readonly reconciled_by: string;
  readonly beside?: Beside;
}

async function readActions(deps: RunDeps, component: EnvironmentComponent, desired: Desired<EnvironmentProfile>, beside: Beside) {
  try {
    return await withDeadline(deps.clock, deps.call_limit_ms, () => component.plan(desired.body));
  } catch (error) {
    const stands = isAway(error) ? beside.standsIn(describeError(error)) : undefined;
    if (stands !== undefined) return stands;
    const message = clipMessage(`the state of ${component.component} (${component.backend}) could not be read: ${describeError(error)}`);
    return { status: 'failed', message, incompatible: [] } satisfies Outcome;
  }
}

function documentName({ generation, hash }: Desired<unknown>): string {
  return `${generation} ${hash}`;
}

/** Reality moved away from a document that had been applied in full: said before it is put right. */
function showDrift(deps: RunDeps, run: RunIdentity, actions: readonly PlannedAction[], memory: ComponentMemory): void {
  const message = clipMessage(`changed since it was applied, now restored by: ${listed(actions.map(({ view }) => actionName(view)))}`);
  const step: Step = { action: 'drift', status: 'pending', message, incompatible: [], duration_ms: 0 };
  memory.status = toStatus(deps, run, step);
  tell(deps, run, step);
}

/** An outcome, as it is told. */
interface Step extends Outcome {
  readonly action: string;
  readonly duration_ms: number;
}

interface Ended {
  /** Absent: there was nothing to do, or nothing could be done. */
  readonly run?: RunIdentity;
  /** Something was done, and with success. */
  readonly hasChanged?: boolean;
  readonly outcome: Outcome;
  readonly duration_ms: number;
}

async function finish(
  deps: RunDeps,
  { component }: EnvironmentComponent,
  desired: Desired<EnvironmentProfile>,
  memory: ComponentMemory,
  { run: opened, hasChanged = false, outcome, duration_ms }: Ended,
): Promise<void> {
  const before = memory.reported;
  const standing = repeatedAfter(before?.standing, JSON.stringify([documentName(desired), outcome]), nowOf(deps));
  const message = outcome.status === 'failed' ? withCount(outcome.message, standing) : outcome.message;
  const step: Step = { action: 'reconcile', ...outcome, ...(message === undefined ? {} : { message: clipMessage(message) }), duration_ms };
  // By level: a run that changed nothing and stands where it stood says nothing; without anything to try it takes no number.
  if (before !== undefined && standing.times > 1 && !hasChanged && (opened === undefined || !isWorthTelling(standing))) {
    const run = opened ?? before.run;
    memory.status = toStatus(deps, run, step);
    memory.reported = { standing, run };
    deps.log.debug(`${component} is as it was`, { ...run, action: 'reconcile', status: outcome.status, duration_ms });
    return;
  }
  const run = opened ?? (await openRun(deps, component, desired));
  memory.status = toStatus(deps, run, step);
  memory.reported = { standing, run };
  tell(deps, run, step);
}

function toStatus(
  { clock }: RunDeps,
  { generation, hash, attempt }: RunIdentity,
  { status, action, duration_ms, message, incompatible }: Step,
): ComponentStatus {
  const at = toTimestamp(clock.now());
  return { status, action, generation, hash, attempt, duration_ms, ...(message === undefined ? {} : { message }), incompatible, at };
}
