import type { PruneEvidence, PruneOutcome, PruneResultItem } from '../../contract/prune.ts';
import type { ComponentOutcome } from '../../contract/status.ts';
import { openRun, type RunDeps, tell } from '../component-run.ts';
import { type ActionResult, runActions } from '../run-actions.ts';
import type { Desired } from '../types.ts';
import { actionName, errorKind } from '../wording.ts';
import type { Survey, SurveyDeps, Surveyed } from './survey.ts';
import { type Removal, StaysError } from './types.ts';

export interface ExecuteDeps extends RunDeps, Pick<SurveyDeps, 'ownership'> {
  /** Why nothing more may be removed there; asked before each action. */
  readonly whyNot: (part: Surveyed) => string | undefined;
}

export interface Approval {
  readonly approved_by: string;
  readonly include_non_empty: boolean;
}

/** Kinds of errors by which a backend says that the thing is in use: nothing has failed. */
const STAYS = new Set(['stays', 'not_empty', 'in_use']);

/** Runs what was approved, backend after backend, and tells how each action ended. Never rejects. */
export async function execute(
  deps: ExecuteDeps,
  { parts }: Survey,
  desired: Desired<unknown>,
  approval: Approval,
): Promise<PruneResultItem[]> {
  const results: PruneResultItem[] = [];
  for (const part of parts) if (part.removals.length > 0) results.push(...(await executePart(deps, part, desired, approval)));
  return results;
}

async function executePart(deps: ExecuteDeps, part: Surveyed, desired: Desired<unknown>, approval: Approval): Promise<PruneResultItem[]> {
  const { component, backend, identity } = part.component;
  const run = await openRun(deps, component, desired);
  const stayed = new Set<Removal>();
  const outcomeOf = (removal: Removal, { outcome }: ActionResult): PruneOutcome => {
    if (stayed.has(removal)) return 'kept';
    return outcome === 'incompatible' ? 'failed' : outcome;
  };
  const removals = new Map(part.removals.map((removal) => [removal.view.subject, removal]));
  const actions = part.removals.map((removal) => ({
    view: removal.view,
    needs: removal.needs,
    execute: (signal: AbortSignal) =>
      remove(deps, part, removal, { ...approval, signal }).catch((error) => throwAgain(error, () => stayed.add(removal))),
  }));
  const done = (result: ActionResult) => {
    const removal = removals.get(result.view.subject);
    if (removal === undefined) return;
    const status = TOLD_AS[outcomeOf(removal, result)];
    const action = actionName({ ...result.view, kind: 'prune' });
    const message = [
      `${removal.view.kind} on ${backend} at ${identity}, approved by ${approval.approved_by}`,
      ...(result.message === undefined ? [] : [result.message]),
    ];
    tell(deps, run, { action, status, duration_ms: result.duration_ms, message: message.join(': ') });
  };
  const ended = await runActions(actions, { ...deps, done });
  return part.removals.flatMap((removal, at) => {
    const result = ended[at];
    if (result === undefined) return [];
    const { duration_ms, message } = result;
    const how = { outcome: outcomeOf(removal, result), duration_ms, ...(message === undefined ? {} : { message }) };
    return [{ component, backend, identity, ...removal.view, ...how }];
  });
}

const TOLD_AS: Record<PruneOutcome, ComponentOutcome> = { applied: 'applied', kept: 'skipped', failed: 'failed', not_tried: 'failed' };

function throwAgain(error: unknown, onStays: () => void): never {
  if (STAYS.has(errorKind(error) ?? '')) onStays();
  throw error;
}

async function remove(
  { whyNot, ownership, log }: ExecuteDeps,
  part: Surveyed,
  { view, execute, forget, renew }: Removal,
  { include_non_empty, signal }: Approval & { readonly signal: AbortSignal },
): Promise<void> {
  const why = whyNot(part);
  if (why !== undefined) throw new StaysError(why);
  if (!include_non_empty) refuseLoss(view.evidence);
  await execute(signal);
  const { name } = part.place;
  try {
    if (forget !== undefined) await ownership.forget(name, [forget]);
    if (renew !== undefined) await ownership.renew(name, [renew]);
  } catch (error) {
    // The next look finds that it is not there, or another way.
    log.warn('what was pruned could not be taken out of the record', { subject: view.subject, error });
  }
}

function refuseLoss({ empty, used, unguarded }: PruneEvidence): void {
  if (used === true) throw new StaysError('somebody uses it, or did so lately, and that was not approved');
  if (!empty) throw new StaysError('it is not empty, and that was not approved');
  if (unguarded === true) throw new StaysError('its backend can’t make sure that it is empty as it goes, and that was not approved');
}
