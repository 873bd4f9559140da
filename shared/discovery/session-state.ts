import type { Client } from '../client.ts';
import type { DesiredGenerations } from '../contract/document.ts';
import { describeFailure } from './cloud-trouble.ts';
import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { DUPLICATE_ADVICE, type FailureAction, onFailure } from './failure.ts';
import { createFailureRecord } from './failure-record.ts';
import { messageOf } from './json-file.ts';
import { isOnLan, type Located, type Takeover } from './located.ts';
import { register } from './register.ts';
import { createRegistration } from './registration.ts';
import { createExchange, type Exchange } from './sync-exchange.ts';
import { createWaker, type Waker } from './waker.ts';

/** Why a session ended, and what to follow next where that is known already. */
export interface SessionEnd {
  readonly why: string;
  readonly next?: Located;
  /** Present when somebody has to take over from the leader that was followed. */
  readonly takeover?: Takeover;
}

/** Calls that fail and recover apart from each other. */
export type CallKind = 'plan' | 'heartbeat' | 'report';

/** The time with one control plane: what its loops share. */
export interface Session {
  readonly node: NodeContext;
  readonly client: Client;
  readonly signal: AbortSignal;
  /** Aborts before `signal` when the node stops: it leads no more, looks for nobody, and only its last reports go out. */
  readonly active: AbortSignal;
  readonly polls: Waker;
  readonly heartbeats: Waker;
  readonly looks: Waker;
  readonly syncs: Waker;
  readonly exchange: Exchange;
  located: Located;
  /** What the last look said is current; undefined before the first. */
  desired: DesiredGenerations | undefined;
  /** `places` of the last news. */
  places: number | undefined;
  /** The numbers of the emergency versions that the last news told of. */
  emergencies: string | undefined;
  /**
   * Makes a call as a registered node, registering first where needed. Never rejects: says what went
   * wrong. While this node counts as a clone only its heartbeat is sent, to see whether that has cleared.
   */
  call(kind: CallKind, act: () => Promise<void>): Promise<'ok' | FailureAction>;
  readonly end: (end: SessionEnd) => void;
  /** The control plane lives: something came from it, an answer or anything on its stream. */
  readonly heard: () => void;
  /** Milliseconds since anything came from it. */
  readonly quietMs: () => number;
  /** True once any call worked. */
  readonly isProven: boolean;
}

/**
 * How many TTLs a node stays silent after it was told that another machine runs as the same node.
 * Then it looks whether that has cleared: a person may have stopped the other one.
 */
const DUPLICATE_SILENCE_TTLS = 2;

/** What was heard elsewhere and is above what is held here. */
function newsFor({ standing: { heard }, documents }: NodeContext): DesiredGenerations | undefined {
  const held = { plan: documents.plan?.held.document.meta.generation, profile: documents.profile?.document.meta.generation };
  const news = (['plan', 'profile'] as const).filter((kind) => (heard[kind] ?? -1) > (held[kind] ?? -1));
  return news.length === 0 ? undefined : Object.fromEntries(news.map((kind) => [kind, heard[kind]]));
}

export interface SessionSignals {
  readonly signal: AbortSignal;
  readonly active: AbortSignal;
}

export function openSession(
  node: NodeContext,
  located: Located,
  { signal, active }: SessionSignals,
  end: (end: SessionEnd) => void,
): Session {
  const { deps, standing } = node;
  const { clock } = deps;
  const client = connect(
    { deps, credential: node.credential, signal },
    { ...located, token: () => standing.token, heard: () => newsFor(node) },
  );
  const registration = createRegistration(
    () => register(node, client),
    () => `${deps.host().ip} ${deps.config.advertise_url()}`,
  );
  const failures = createFailureRecord(standing.waits, deps.log, client.url);
  let lastGood = clock.monotonic();
  let lastHeard = lastGood;
  let isProven = false;

  const fail = (kind: CallKind, error: unknown): FailureAction => {
    const action = onFailure(error);
    const ttl_ms = standing.ttl_seconds() * 1000;
    failures.note(kind, action, action === 'duplicate' ? `${messageOf(error)}; ${DUPLICATE_ADVICE}` : describeFailure(error));
    if (action === 'relocate') end({ why: messageOf(error) });
    if (action === 'duplicate') standing.silent_until = clock.monotonic() + DUPLICATE_SILENCE_TTLS * ttl_ms;
    if (action === 'register') {
      registration.forget();
      standing.silent_until = undefined;
    }
    // A leader on the LAN that is silent altogether is no matter of its answers: `newsLoop` asks it once more, then it is taken over from.
    const isSilent = isOnLan(located) && clock.monotonic() - lastHeard >= ttl_ms / 2;
    if (standing.silent_until === undefined && !isSilent && clock.monotonic() - lastGood >= ttl_ms)
      end({ why: `no good answer for a TTL: ${messageOf(error)}` });
    return action;
  };
  const session: Session = {
    node,
    client,
    signal,
    active,
    polls: createWaker(clock),
    heartbeats: createWaker(clock),
    looks: createWaker(clock),
    syncs: createWaker(clock),
    exchange: createExchange(node, client, () => session.located, active),
    located,
    desired: undefined,
    places: undefined,
    emergencies: undefined,
    end,
    heard: () => {
      lastHeard = clock.monotonic();
    },
    quietMs: () => clock.monotonic() - lastHeard,
    get isProven() {
      return isProven;
    },
    async call(kind, act) {
      try {
        if (standing.silent_until === undefined) await registration.ensure();
        else if (kind !== 'heartbeat') return 'duplicate';
        else await clock.sleep(standing.silent_until - clock.monotonic(), signal);
        if (signal.aborted) return 'retry';
        await act();
        if (kind === 'heartbeat') standing.silent_until = undefined;
        lastGood = clock.monotonic();
        lastHeard = lastGood;
        isProven = true;
        failures.clear(kind);
        return 'ok';
      } catch (error) {
        return signal.aborted ? 'retry' : fail(kind, error);
      }
    },
  };
  return session;
}
