import type { NodeContext } from './context.ts';
import type { Located } from './located.ts';
import { heartbeatLoop, leaseLoop, lookLoop, pollLoop, reportLoop } from './session-loops.ts';
import { openSession, type Session, type SessionEnd } from './session-state.ts';
import { linkedAbort } from './waker.ts';

/** How a session ended, and whether any call of it worked. */
export type SessionResult = SessionEnd & { readonly isProven: boolean };

/**
 * Follows one control plane: registers, polls, heartbeats, reports, renews the lease where this node
 * leads, and looks for a better one, each in a loop of its own, so that none holds up another. Ends
 * when another control plane is to be followed, when this one is of no use any more, or with `signal`.
 */
export async function runSession(
  node: NodeContext,
  located: Located,
  signal: AbortSignal,
  onOpen: (session: Session) => void,
): Promise<SessionResult> {
  const life = linkedAbort(signal);
  let result: SessionEnd = { why: 'this node stops' };
  const end = (why: SessionEnd) => {
    if (life.signal.aborted) return;
    result = why;
    life.abort();
  };
  const session = openSession(node, located, life.signal, end);
  onOpen(session);
  await Promise.all([pollLoop, heartbeatLoop, reportLoop, lookLoop, leaseLoop].map((loop) => loop(session)));
  life.dispose();
  return { ...result, isProven: session.isProven };
}
