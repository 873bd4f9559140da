import type { ComponentStatus } from '../contract/status.ts';
import type { PlannedAction } from './action.ts';
import type { ActionResult } from './run-actions.ts';
import { actionName, clipMessage, listed, skippedSentence, toIncompatible } from './wording.ts';

/** How a component stands after a run. */
export type Outcome = Pick<ComponentStatus, 'status' | 'message' | 'incompatible'>;

/** Sums up what ran and what was skipped. `restored`: reality had drifted from an applied document. */
export function summarise(results: readonly ActionResult[], skipped: readonly PlannedAction[], restored: boolean): Outcome {
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  const waiting = results.filter(({ outcome }) => outcome === 'not_tried');
  const views = skipped.map(({ view }) => view);
  const sentences = [
    failed.length > 0 && `${failed.length} of ${results.length} failed: ${listed(failed.map(describeFailure))}`,
    waiting.length > 0 && `${waiting.length} not tried because of that: ${listed(waiting.map(({ view }) => actionName(view)))}`,
    restored && failed.length === 0 && `restored ${results.length} that had changed`,
    skippedSentence(views),
  ].filter((sentence) => typeof sentence === 'string');
  const status = failed.length > 0 ? 'failed' : results.length > 0 ? 'applied' : 'unchanged';
  const message = sentences.length === 0 ? {} : { message: clipMessage(sentences.join('. ')) };
  return { status, ...message, incompatible: toIncompatible(views) };
}

function describeFailure({ view, message }: ActionResult): string {
  return `${actionName(view)}: ${message ?? ''}`;
}
