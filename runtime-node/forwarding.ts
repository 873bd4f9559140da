import { linkedAbort } from '../shared/abort.ts';
import type { Fetch } from '../shared/client.ts';
import type { Clock } from '../shared/ports/clock.ts';
import { type Decider, type FollowedLeader, isSameDecider } from './followed.ts';
import { type AnyCall, changesNothing, isOfNode, isRepeatable, isUpload, toRequest } from './forward-call.ts';
import { LOOK_FIRST, refusal } from './forward-errors.ts';
import type { Attempt, Send } from './forward-send.ts';

/** How long a call waits for a leader, milliseconds. */
export const HOLD_MS = 3000;
/** How long a leader may take to answer. */
export const ANSWER_WITHIN_MS = 15_000;
/** Between two looks at who leads, while calls wait. */
const LOOK_MS = 20;
/** Between two tries at one and the same leader: its process may just be starting again. */
const RETRY_MS = 100;
/** More calls than this are not under way at one time: each may hold a document in memory. */
const MAX_HELD = 2000;

export interface ForwardingParts {
  readonly decider: () => Decider;
  readonly send: Send;
  /** The node's own Supervisor, which answers when this node has come to lead. */
  readonly own: Fetch;
  /** Passes a call on to the cloud, with the caller's own credential. */
  readonly toCloud: (call: AnyCall, url: string, within_ms?: number) => Promise<Response>;
  /** Of this node's own settings. Absent: a leader that points to a cloud points in vain. */
  readonly cloud_url?: string;
  readonly clock: Clock;
}

export interface PassOptions {
  /** Until when a leader is waited for. 0: there must be one now, and it gets one try. */
  readonly hold_ms: number;
  readonly within_ms: number;
}

export interface Forwarding {
  /** Brings a call to who decides; undefined when nobody gave an answer that can be passed back. Never rejects. */
  pass(call: AnyCall, options: PassOptions): Promise<Response | undefined>;
  /** As `pass`, waiting for a leader as long as is bearable, then saying what went wrong. */
  insist(call: AnyCall): Promise<Response>;
}

/**
 * Brings calls to the leader across failovers. What certainly was not done is sent again whatever it
 * is; what may have been done only when doing it twice is doing it once.
 */
export function createForwarding(parts: ForwardingParts): Forwarding {
  const watch = createWatch(parts);
  let held = 0;
  const run = async (call: AnyCall, options: PassOptions): Promise<Outcome> => {
    if (held >= MAX_HELD) return { why: `${MAX_HELD} calls are under way already` };
    held += 1;
    try {
      return await passOn(parts, watch, call, options);
    } finally {
      held -= 1;
    }
  };
  return {
    pass: async (call, options) => (await run(call, options)).response,
    async insist(call) {
      const { response, why, isUnknown = false } = await run(call, { hold_ms: HOLD_MS, within_ms: ANSWER_WITHIN_MS });
      if (response !== undefined) return response;
      if (isUnknown && changesNothing(call)) return refusal('unavailable', `${why}; ask again in a moment`);
      if (isUnknown) return refusal('unavailable', `${why}; the call may have been done or not: ${LOOK_FIRST}`);
      return refusal('no_leader', `${why ?? 'this node knows no leader now'}; ask again in a moment`);
    },
  };
}

interface Outcome {
  readonly response?: Response;
  readonly why?: string;
  /** The call may have been done. */
  readonly isUnknown?: boolean;
}

async function passOn(parts: ForwardingParts, watch: Watch, call: AnyCall, { hold_ms, within_ms }: PassOptions): Promise<Outcome> {
  const until = parts.clock.monotonic() + hold_ms;
  let last: Outcome = {};
  let tried: Decider | undefined;
  for (;;) {
    const next = await watch.next(tried, until, call.signal);
    if (next === undefined || call.signal.aborted) return last;
    if (next.kind === 'own') return { response: await parts.own(toRequest(call, OWN_ORIGIN)) };
    if (next.kind === 'cloud') return { response: await parts.toCloud(call, next.url, within_ms) };
    const attempt = await whileItLeads(parts, watch, call, next, within_ms);
    const elsewhere = await sendElsewhere(parts, call, attempt, within_ms);
    if (elsewhere !== undefined) return { response: elsewhere };
    const done = isFinal(call, attempt);
    last = outcomeOf(attempt, last);
    if (done || isUpload(call)) return last;
    tried = next;
  }
}

/**
 * A leader without the fleet key can't tell that a call was passed on by a node of the fleet, and names the cloud: the call goes there with the
 * caller's own credential, and to the cloud of this node's own settings alone.
 */
async function sendElsewhere(
  { cloud_url, toCloud }: ForwardingParts,
  call: AnyCall,
  attempt: Attempt,
  within_ms: number,
): Promise<Response | undefined> {
  if (attempt.outcome !== 'answered' || attempt.response.status !== 421 || cloud_url === undefined || isOfNode(call)) return undefined;
  if (!(call.body instanceof ReadableStream)) return toCloud(call, cloud_url, within_ms);
  return refusal('unavailable', `the leader has no fleet key and took none of the body: send it again, to the cloud (${cloud_url})`);
}

/** Only its path is looked at: a request in process is not dialled. */
const OWN_ORIGIN = 'http://127.0.0.1';

/** A leader that is starting, or whose database is busy, may give another answer in a moment. */
function isFinal(call: AnyCall, attempt: Attempt): boolean {
  if (attempt.outcome === 'not_done') return false;
  if (!isRepeatable(call)) return true;
  return attempt.outcome === 'answered' && attempt.response.status !== 503;
}

/** Once a call may have been done, only an answer changes that. */
function outcomeOf(attempt: Attempt, before: Outcome): Outcome {
  if (attempt.outcome === 'answered') return { response: attempt.response };
  return { why: attempt.why, isUnknown: before.isUnknown === true || attempt.outcome === 'unknown' };
}

/** A call that may be sent again is given up as soon as another leads: a machine that was cut off never answers. */
async function whileItLeads(
  { send }: ForwardingParts,
  watch: Watch,
  call: AnyCall,
  leader: FollowedLeader,
  within_ms: number,
): Promise<Attempt> {
  const life = linkedAbort(call.signal);
  const over = new AbortController();
  if (isRepeatable(call)) void watch.moved(leader, over.signal).then(life.abort);
  try {
    return await send(call, leader, { within_ms, signal: life.signal });
  } finally {
    over.abort();
    life.dispose();
  }
}

type Somebody = Exclude<Decider, { kind: 'nobody' }>;

interface Watch {
  /** Who decides now. After one that was tried in vain, another one, or the same a little later. Undefined when time is up. */
  next(tried: Decider | undefined, until: number, signal: AbortSignal): Promise<Somebody | undefined>;
  /** Resolves when another decides than this one, or with the signal. */
  moved(from: Decider, signal: AbortSignal): Promise<void>;
}

/** All that wait share one timer. */
function createWatch({ decider, clock }: ForwardingParts): Watch {
  let tick: Promise<void> | undefined;
  const look = () => {
    tick ??= clock.sleep(LOOK_MS).then(() => {
      tick = undefined;
    });
    return tick;
  };
  return {
    async next(tried, until, signal) {
      const again = clock.monotonic() + RETRY_MS;
      for (;;) {
        const now = decider();
        const isNew = tried === undefined || !isSameDecider(tried, now) || clock.monotonic() >= again;
        if (tried !== undefined && clock.monotonic() >= until) return undefined;
        if (now.kind !== 'nobody' && isNew) return now;
        if (clock.monotonic() >= until || signal.aborted) return undefined;
        await look();
      }
    },
    async moved(from, signal) {
      while (!signal.aborted) {
        await look();
        const now = decider();
        if (now.kind !== 'nobody' && !isSameDecider(from, now)) return;
      }
    },
  };
}
