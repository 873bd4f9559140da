import { linkedAbort } from '../abort.ts';
import { announceLead } from './announce.ts';
import { cloudLoop } from './cloud-session.ts';
import type { NodeContext } from './context.ts';
import type { Located } from './located.ts';
import { newsLoop } from './news-loop.ts';
import { heartbeatLoop, leaseLoop, lookLoop, pollLoop, reportLoop } from './session-loops.ts';
import { openSession, type Session, type SessionEnd, type SessionSignals } from './session-state.ts';
import { syncLoop } from './sync-loop.ts';

/** How a session ended, and whether any call of it worked. */
export type SessionResult = SessionEnd & { readonly isProven: boolean };

const LOOPS = [pollLoop, syncLoop, heartbeatLoop, reportLoop, newsLoop, lookLoop, leaseLoop, cloudLoop, announceLead];

/**
 * Follows one control plane: registers, polls, heartbeats, reports, renews the lease where this node
 * leads, and looks for a better one, each in a loop of its own, so that none holds up another. Ends
 * when another control plane is to be followed, when this one is of no use any more, or with `signal`.
 */
export async function runSession(
  node: NodeContext,
  located: Located,
  { signal, active }: SessionSignals,
  onOpen: (session: Session) => void,
): Promise<SessionResult> {
  const life = linkedAbort(signal);
  const work = linkedAbort(life.signal);
  active.addEventListener('abort', work.abort, { once: true });
  if (active.aborted) work.abort();
  let result: SessionEnd = { why: 'this node stops' };
  const end = (why: SessionEnd) => {
    if (life.signal.aborted) return;
    result = why;
    life.abort();
  };
  const session = openSession(node, located, { signal: life.signal, active: work.signal }, end);
  onOpen(session);
  await Promise.all(LOOPS.map((loop) => loop(session)));
  active.removeEventListener('abort', work.abort);
  work.dispose();
  life.dispose();
  return { ...result, isProven: session.isProven };
}
