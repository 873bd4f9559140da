import type { DesiredGenerations } from '../contract/document.ts';
import { jittered } from '../decide/jitter.ts';
import { QUIET_TTLS } from '../decide/ttl.ts';
import type { Session } from './session-state.ts';

/**
 * Exchanges versions with the control plane after the first look, when something is new here or there, and every few
 * TTLs whatever was told. In a loop of its own: no look waits for it.
 */
export async function syncLoop(session: Session): Promise<void> {
  const { node, exchange, syncs, polls, active } = session;
  const { random } = node.deps;
  // The cloud says with each renewal what is current there, and sets its own pace: its lease lasts as long as its TTL.
  const ttlMs = () => Math.max(node.standing.ttl_seconds() * 1000, session.located.cloud_lease?.held.expires_in_ms ?? 0);
  for (let isFine = true; !active.aborted; ) {
    await syncs.wait(active, jittered(isFine ? QUIET_TTLS * ttlMs() : ttlMs(), random.next()));
    if (active.aborted || node.standing.silent_until !== undefined) continue;
    const result = await exchange.run();
    isFine = result !== 'failed';
    if (result === 'changed') polls.wake();
  }
}

/**
 * What an answer of the cloud says is current there makes a leader look whether it has it. Once for each news: what the
 * exchange could not bring, as a version that is not believed, `syncLoop` tries again in its own time.
 */
export function cloudHeeder({ node: { documents }, syncs }: Session): (desired: DesiredGenerations) => void {
  let heeded = '';
  return (desired) => {
    const plan = documents.plan?.held.document.meta.generation;
    const profile = documents.profile?.document.meta.generation;
    const isSame = desired.plan === plan && desired.profile === profile;
    const news = `${desired.plan} ${desired.profile}, held ${plan} ${profile}`;
    if (!isSame && news !== heeded) syncs.wake();
    heeded = news;
  };
}
