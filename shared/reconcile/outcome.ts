import type { ComponentStatus } from '../contract/status.ts';
import type { PlannedAction } from './action.ts';
import type { ActionResult } from './run-actions.ts';
import type { ActionView } from './types.ts';
import { actionName, clipMessage, listed, skippedSentence, toIncompatible } from './wording.ts';

/** How a component stands after a run. */
export type Outcome = Pick<ComponentStatus, 'status' | 'message' | 'incompatible'>;

/** Sums up what ran and what was skipped. `restored`: the document had been applied before, so what was missing had changed. */
export function summarise(results: readonly ActionResult[], skipped: readonly PlannedAction[], restored: boolean): Outcome {
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  const waiting = results.filter(({ outcome }) => outcome === 'not_tried');
  const applied = results.filter(({ outcome }) => outcome === 'applied');
  const changed = restored ? applied.filter(({ probe }) => probe === undefined) : [];
  const views = [...skipped.map(({ view }) => view), ...results.filter(({ outcome }) => outcome === 'incompatible').map(toSkipped)];
  const sentences = [
    failed.length > 0 && `${failed.length} of ${results.length} failed: ${listed(failed.map(describeFailure))}`,
    waiting.length > 0 && `${waiting.length} not tried because of that: ${listed(waiting.map(({ view }) => actionName(view)))}`,
    failed.length === 0 && changed.length > 0 && `restored ${changed.length} that had changed`,
    skippedSentence(views),
  ].filter((sentence) => typeof sentence === 'string');
  const status = failed.length > 0 ? 'failed' : applied.length > 0 ? 'applied' : 'unchanged';
  const message = sentences.length === 0 ? {} : { message: clipMessage(sentences.join('. ')) };
  return { status, ...message, incompatible: toIncompatible(views) };
}

/** What the backend itself called incompatible stands beside what was seen to be before. */
function toSkipped({ view, message }: ActionResult): ActionView {
  return { ...view, safety: 'incompatible', ...(message === undefined ? {} : { detail: message }) };
}

function describeFailure({ view, message }: ActionResult): string {
  return `${actionName(view)}: ${message ?? ''}`;
}
