import type { Fetch } from '../shared/client.ts';
import { sha256Hex } from '../shared/contract/canonical.ts';
import { type FleetKeys, isKeyHolder, type NodeKeys } from '../shared/contract/fleet-keys.ts';
import {
  FORWARDED_HEADER,
  formatForwarded,
  forwardNonce,
  KEY_REFUSED,
  type KeyHolder,
  type KnownCaller,
  PASSED_ON,
  signForward,
  signSubject,
} from '../shared/contract/forward.ts';
import { carriesJwt } from '../shared/contract/jwt.ts';
import { boundedFetch } from '../shared/discovery/bounded-fetch.ts';
import type { Identity } from '../shared/discovery/identify.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { FollowedLeader } from './followed.ts';
import { type AnyCall, isStreamed, toRequest, withoutHopHeaders } from './forward-call.ts';
import { isNotSent, reasonOf } from './forward-errors.ts';

/** What came of sending a call once. `not_done`: certainly nothing. `unknown`: it may have been done, or not. */
export type Attempt =
  | { readonly outcome: 'answered'; readonly response: Response }
  | { readonly outcome: 'not_done' | 'unknown'; readonly why: string };

export interface SenderParts {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Without the fleet key nobody is vouched for: only this node's own calls go on. */
  readonly keys: NodeKeys;
  readonly identity: Pick<Identity, 'node_id' | 'instance_id'>;
}

export interface SendOptions {
  /** For the whole answer, milliseconds. What is passed on as it comes has no end to wait for. */
  readonly within_ms: number;
  /** Aborts when it is of no use any more. */
  readonly signal: AbortSignal;
}

/** Sends a call once to a leader. Never rejects. */
export type Send = (call: AnyCall, leader: FollowedLeader, options: SendOptions) => Promise<Attempt>;

/**
 * A node's own credential goes along: it is sent over the LAN anyway, and only to the proved leader. Any other
 * stays here; a signature of this node stands in for it, for this one request. Of an issued key it covers the hash,
 * by which the leader finds it.
 */
export function createSend({ fetch, clock, keys, identity }: SenderParts): Send {
  let counter = 0;
  const sign = async (holder: FleetKeys, call: AnyCall, { url, epoch }: FollowedLeader): Promise<Headers> => {
    counter += 1;
    const { method, pathname, search, body } = call;
    const headers = new Headers(call.headers);
    headers.delete('x-api-key');
    const who = claimsOf(call.caller);
    const claims = await signSubject(holder, identity.node_id, {
      ...who,
      ...{ to: new URL(url).origin, epoch, nonce: forwardNonce(identity.instance_id, counter, who) },
      ...(body instanceof ReadableStream ? {} : { body_sha256: await sha256Hex(body ?? new Uint8Array()) }),
    });
    const covered = { method, path: `${pathname}${search}`, if_match: headers.get('if-match') };
    headers.set('authorization', `Bearer ${await signForward(holder, identity.node_id, claims, covered)}`);
    headers.set(FORWARDED_HEADER, formatForwarded(claims));
    return headers;
  };
  return async (call, leader, { within_ms, signal }) => {
    // A JWT of a node is good at the cloud too: it goes over no LAN.
    const isSigned = call.caller.scope !== 'node' || carriesJwt(call.headers);
    if (isSigned && !isKeyHolder(keys))
      return { outcome: 'not_done', why: 'this node has joined without the fleet key and vouches for nobody' };
    const headers =
      isSigned && isKeyHolder(keys) ? await sign(keys, call, leader) : new Headers([...call.headers, [FORWARDED_HEADER, PASSED_ON]]);
    const request = toRequest({ ...call, headers, signal }, leader.url);
    try {
      const bounded = boundedFetch({ fetch, clock, timeout_ms: () => within_ms, signal });
      return judge(await (isStreamed(call) ? fetch(request) : bounded(request)), leader, isSigned);
    } catch (error) {
      return { outcome: isNotSent(error) ? 'not_done' : 'unknown', why: `${leader.url} does not answer: ${reasonOf(error)}` };
    }
  };
}

function claimsOf(caller: AnyCall['caller']): KnownCaller | KeyHolder {
  if (caller.scope === 'issued') return caller;
  const { scope, node_id, subject } = caller;
  if (node_id !== undefined) return { scope, caller_node_id: node_id };
  return { scope, ...(subject === undefined ? {} : { subject }) };
}

function judge(response: Response, { url, epoch }: FollowedLeader, isSigned: boolean): Attempt {
  if (response.status === 421 && response.headers.get('location') === null) {
    return { outcome: 'not_done', why: `${url} does not lead at epoch ${epoch}` };
  }
  const isOfKey = response.headers.get('www-authenticate') === KEY_REFUSED;
  if (response.status === 401 && isSigned && !isOfKey) return { outcome: 'not_done', why: `${url} does not take calls from this node` };
  return { outcome: 'answered', response: answerOf(response) };
}

/** A body with an encoding was decoded by fetch already: neither that nor the length of the wire is its own any more. */
export function answerOf({ body, status, headers }: Response): Response {
  const kept = withoutHopHeaders(headers, 'content-encoding');
  const length = headers.get('content-length');
  // Of an artifact it is the answer: to a HEAD, and to whoever asks how far it has come.
  if (length !== null && !headers.has('content-encoding')) kept.set('content-length', length);
  return new Response(body, { status, headers: kept });
}
