import { aborted, linkedAbort } from '../abort.ts';
import { type Answer, type Client, readNews, UnreachableError } from '../client.ts';
import { formatToken, parseToken } from '../contract/headers.ts';
import type { CurrentNews } from '../contract/news.ts';
import { backoffMs } from '../decide/backoff.ts';
import { CALL_TIMEOUT_MS, connect, connectStream } from './connect.ts';
import { isOnLan } from './located.ts';
import type { Session } from './session-state.ts';
import { takeOver } from './takeover.ts';

/** A process that dies may be there again at once: it is dead when its machine refuses twice, this long apart, milliseconds. */
const SECOND_TRY_MS = 50;
const RETRY_BASE_MS = 250;
/** A stream that ends sooner than this was of little use: the next one waits a little. */
const SHORT_MS = 1000;
/** How long a leader that was silent for a whole TTL may take to answer the last question, milliseconds. */
const LAST_QUESTION_MS = 300;
/** From this share of a TTL on a silent leader is looked for elsewhere. */
const SILENT_SHARE = 2 / 3;

/** Listens to the leader on the LAN and notices when it is gone. Nothing to do for another control plane. */
export async function newsLoop(session: Session): Promise<void> {
  if (!isOnLan(session.located)) return;
  await Promise.all([listenLoop(session), silenceLoop(session)]);
}

/** `goodbye`: the leader released its lease. `over`: the stream was open. `refused`: nobody listens there. */
type Listened = 'goodbye' | 'over' | 'refused' | 'failed';

async function listenLoop(session: Session): Promise<void> {
  const { active } = session;
  const { clock } = session.node.deps;
  for (let failures = 0, refused = 0; !active.aborted; ) {
    const began = clock.monotonic();
    const end = await listen(session);
    if (active.aborted) return;
    if (end === 'goodbye') return takeOver(session, 'it said goodbye');
    refused = end === 'refused' ? refused + 1 : 0;
    if (refused > 1) return takeOver(session, 'its process is dead, its machine refuses connections');
    if (refused === 1) await clock.sleep(SECOND_TRY_MS, active);
    else {
      failures = end === 'over' && clock.monotonic() - began >= SHORT_MS ? 0 : failures + 1;
      if (end === 'failed' || failures > 1) await clock.sleep(retryDelayMs(session, failures), active);
    }
  }
}

async function listen(session: Session): Promise<Listened> {
  const { node, located, active } = session;
  const { clock, config } = node.deps;
  const call = linkedAbort(active);
  let isOpen = false;
  try {
    const client = connectStream({ ...node, signal: call.signal }, located);
    const opening = client.newsStream(config.site);
    opening.catch(() => undefined);
    const response = await Promise.race([opening, clock.sleep(CALL_TIMEOUT_MS, call.signal)]);
    if (response === undefined) return 'failed';
    isOpen = true;
    const news = readNews(response, session.heard);
    const left = aborted(call.signal);
    for (;;) {
      const next = await Promise.race([news.next(), left]);
      if (next === undefined || next.done === true) return 'over';
      if (next.value.event === 'current') heedCurrent(session, next.value.current);
      else if (next.value.goodbye.node_id === located.leader?.node_id) return 'goodbye';
    }
  } catch (error) {
    if (isOpen) return 'over';
    return error instanceof UnreachableError && error.kind === 'refused' ? 'refused' : 'failed';
  } finally {
    call.abort();
    call.dispose();
  }
}

/** Who would take over is known at once; all else makes the node look. */
function heedCurrent(session: Session, { leader, plan, profile, emergencies, successors, places }: CurrentNews): void {
  const { standing } = session.node;
  const token = leader === null ? undefined : parseToken(leader);
  const { answer } = standing;
  if (answer !== undefined && answer.epoch === token?.epoch && answer.leader_node_id === token.node_id)
    standing.answer = { ...answer, successors };
  // Before the first look it is still to come, and sees what this tells.
  const numbers = `${emergencies?.plan} ${emergencies?.profile}`;
  if (session.desired !== undefined && (places !== session.places || numbers !== session.emergencies)) session.polls.wake();
  session.places = places;
  session.emergencies = numbers;
  heed(session, { plan: plan ?? undefined, profile: profile ?? undefined, leader });
}

/** The headers of an answer say the same as the news. */
export function heedAnswer(session: Session, { desired, token }: Answer<unknown>): void {
  heed(session, { plan: desired.plan, profile: desired.profile, leader: token === undefined ? undefined : formatToken(token) });
}

interface Heard {
  readonly plan: number | undefined;
  readonly profile: number | undefined;
  /** Null: nobody leads. Undefined: it was not told. */
  readonly leader: string | null | undefined;
}

/** What is told beside an answer is only a hint: it makes the node look. Before its first look there is nothing to compare. */
function heed({ node, desired, polls, looks }: Session, { plan, profile, leader }: Heard): void {
  if (desired === undefined) return;
  const { token } = node.standing;
  const hasMoved = plan !== desired.plan || profile !== desired.profile;
  const isOtherLeader = leader !== undefined && leader !== (token === undefined ? undefined : formatToken(token));
  if (hasMoved || isOtherLeader) polls.wake();
  if (isOtherLeader) looks.wake();
}

/** A leader that is merely silent is looked for elsewhere first; only after a whole TTL somebody takes over. */
async function silenceLoop(session: Session): Promise<void> {
  const { node, active, looks } = session;
  const { clock } = node.deps;
  let hasLooked = false;
  while (!active.aborted) {
    const ttl_ms = node.standing.ttl_seconds() * 1000;
    const quiet_ms = session.quietMs();
    if (quiet_ms < ttl_ms * SILENT_SHARE) {
      hasLooked = false;
      await clock.sleep(ttl_ms * SILENT_SHARE - quiet_ms, active);
    } else if (quiet_ms < ttl_ms) {
      if (!hasLooked) looks.wake();
      hasLooked = true;
      await clock.sleep(ttl_ms - quiet_ms, active);
    } else if (await answersStill(session)) session.heard();
    else if (!active.aborted) return takeOver(session, 'nothing was heard of it for a whole TTL');
  }
}

/** It may be this machine that was away, asleep perhaps: then the leader never was. */
async function answersStill({ node, located, active }: Session): Promise<boolean> {
  const client: Client = connect({ ...node, signal: active }, { ...located, timeout_ms: () => LAST_QUESTION_MS });
  return client.leader({ site: node.deps.config.site }).then(
    ({ body }) => body.node_id === located.leader?.node_id,
    () => false,
  );
}

function retryDelayMs({ node }: Session, failures: number): number {
  const cap_ms = (node.standing.ttl_seconds() * 1000) / 3;
  return backoffMs({ base_ms: RETRY_BASE_MS, cap_ms }, failures, node.deps.random.next());
}
