import type { Takeover } from './located.ts';
import type { Session } from './session-state.ts';

/** The leader is gone for sure: the session ends, and who comes next is decided among its successors. */
export function takeOver(session: Session, why: string): void {
  const { deps, standing } = session.node;
  const { leader, url } = session.located;
  if (leader === undefined) {
    session.end({ why });
    return;
  }
  const takeover: Takeover = { gone: leader.node_id, gone_url: url, successors: standing.answer?.successors ?? [] };
  deps.log.warn(`${leader.node_id} leads no more: ${why}`, { epoch: leader.epoch, url });
  session.end({ why: `${leader.node_id} is gone: ${why}`, takeover });
}
