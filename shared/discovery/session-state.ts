import type { Client } from '../client.ts';
import type { DesiredGenerations } from '../contract/document.ts';
import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { type FailureAction, onFailure } from './failure.ts';
import { createFailureRecord } from './failure-record.ts';
import { messageOf } from './json-file.ts';
import type { Located } from './located.ts';
import { register } from './register.ts';
import { createWaker, type Waker } from './waker.ts';

/** Why a session ended, and what to follow next where that is known already. */
export interface SessionEnd {
  readonly why: string;
  readonly next?: Located;
}

/** Calls that fail and recover apart from each other. */
export type CallKind = 'plan' | 'heartbeat' | 'report';

/** The time with one control plane: what its loops share. */
export interface Session {
  readonly node: NodeContext;
  readonly client: Client;
  readonly signal: AbortSignal;
  readonly polls: Waker;
  readonly heartbeats: Waker;
  readonly looks: Waker;
  located: Located;
  /** What the last look said is current. */
  desired: DesiredGenerations;
  /**
   * Makes a call as a registered node, registering first where needed. Never rejects: says what went
   * wrong. While this node counts as a clone only its heartbeat is sent, to see whether that has cleared.
   */
  call(kind: CallKind, act: () => Promise<void>): Promise<'ok' | FailureAction>;
  readonly end: (end: SessionEnd) => void;
  /** True once any call worked. */
  readonly isProven: boolean;
}

/**
 * How many TTLs a node stays silent after it was told that another machine runs as the same node.
 * Then it looks whether that has cleared: a person may have stopped the other one.
 */
const DUPLICATE_SILENCE_TTLS = 2;
const DUPLICATE_ADVICE =
  'to mend it: stop one of the two, remove node.json from its data directory, start it again. Services stay as they are';

export function openSession(node: NodeContext, located: Located, signal: AbortSignal, end: (end: SessionEnd) => void): Session {
  const { deps, standing } = node;
  const { clock } = deps;
  const client = connect({ deps, credential: node.credential, signal }, { ...located, token: () => standing.token });
  const registration = createRegistration(
    () => register(node, client),
    () => `${deps.host().ip} ${deps.config.advertise_url()}`,
  );
  const failures = createFailureRecord(standing.waits, deps.log, client.url);
  let lastGood = clock.monotonic();
  let isProven = false;

  const fail = (kind: CallKind, error: unknown): FailureAction => {
    const action = onFailure(error);
    const ttl_ms = standing.ttl_seconds() * 1000;
    failures.note(kind, action, action === 'duplicate' ? `${messageOf(error)}; ${DUPLICATE_ADVICE}` : messageOf(error));
    if (action === 'relocate') end({ why: messageOf(error) });
    if (action === 'duplicate') standing.silent_until = clock.monotonic() + DUPLICATE_SILENCE_TTLS * ttl_ms;
    if (action === 'register') {
      registration.forget();
      standing.silent_until = undefined;
    }
    if (standing.silent_until === undefined && clock.monotonic() - lastGood >= ttl_ms)
      end({ why: `no good answer for a TTL: ${messageOf(error)}` });
    return action;
  };
  return {
    node,
    client,
    signal,
    polls: createWaker(clock),
    heartbeats: createWaker(clock),
    looks: createWaker(clock),
    located,
    desired: {},
    end,
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
        isProven = true;
        failures.clear(kind);
        return 'ok';
      } catch (error) {
        return signal.aborted ? 'retry' : fail(kind, error);
      }
    },
  };
}

/**
 * Registers when needed, again when the address of this node has changed; calls that overlap wait for
 * the same registration.
 */
function createRegistration(act: () => Promise<void>, address: () => string): { ensure(): Promise<void>; forget(): void } {
  let registered: Promise<void> | undefined;
  let registeredAs = '';
  const ensure = () => {
    const now = address();
    if (now !== registeredAs) registered = undefined;
    registeredAs = now;
    registered ??= act().catch((error) => {
      registered = undefined;
      throw error;
    });
    return registered;
  };
  return {
    ensure,
    forget() {
      registered = undefined;
    },
  };
}
