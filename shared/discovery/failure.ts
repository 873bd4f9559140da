import { ApiError } from '../client.ts';

/**
 * What a failed call means for the session. `register`: the Supervisor does not know this node or
 * not any more. `relocate`: another leads now. `duplicate`: another machine runs as this node.
 * `defect`: the same call will fail again, but is tried on, because a new version may mend it.
 */
export type FailureAction = 'register' | 'relocate' | 'duplicate' | 'retry' | 'defect';

/** What a person does about another machine that runs as the same node. */
export const DUPLICATE_ADVICE =
  'to mend it: stop one of the two, remove node.json from its data directory, start it again. Services stay as they are';

/** A control plane that answers for another leader, or goes on answering for an epoch before the one that it was known to lead at: another one stands there now. */
export class OutdatedError extends Error {}

/** Specification, section 7. */
export function onFailure(error: unknown): FailureAction {
  if (error instanceof OutdatedError) return 'relocate';
  if (!(error instanceof ApiError)) return 'retry';
  const { status, code } = error.problem;
  // Whoever leads no more, and may pass nothing on, says so.
  if (code === 'stale_epoch' || code === 'misdirected') return 'relocate';
  if (code === 'duplicate_node') return 'duplicate';
  if (status === 401 || status === 403 || code === 'unknown_node') return 'register';
  return status >= 500 || status === 429 || code === 'no_leader' ? 'retry' : 'defect';
}
