import type { Fetch } from '../shared/client.ts';
import { FORWARDED_HEADER, PASSED_ON } from '../shared/contract/forward.ts';
import { isPrivateWire } from '../shared/contract/loopback.ts';
import { PROBLEM_JSON } from '../shared/contract/problem.ts';
import type { Clock } from '../shared/ports/clock.ts';
import { withoutHopHeaders } from './forward-call.ts';
import { isNotSent, reasonOf, refusal } from './forward-errors.ts';
import { answerOf } from './forward-send.ts';
import { ANSWER_WITHIN_MS } from './forwarding.ts';

export interface CloudAnswer {
  readonly response: Response;
  /** Present where no Supervisor has answered, in words. */
  readonly unreached?: Unreached;
}

export interface Unreached {
  readonly why: string;
  /** Nothing can have been done there: not one byte was sent. */
  readonly isNotSent: boolean;
}

/**
 * Passes a request on to the cloud with the caller's own credential, which may be the fleet key, so only
 * to whom the connection itself proves: over https, or inside this machine. The body goes on as it
 * comes, since nobody may have looked at the credential yet. `within_ms`: for the answer to begin; a stream of events has no such
 * limit. Never rejects.
 */
export async function passToCloud(
  fetch: Fetch,
  clock: Clock,
  request: Request,
  cloud_url: string,
  within_ms = ANSWER_WITHIN_MS,
): Promise<CloudAnswer> {
  if (!isPrivateWire(cloud_url)) {
    const why = `${cloud_url}, which this node follows, is not proved by https: ask it directly`;
    return { response: refusal('unavailable', why), unreached: { why, isNotSent: true } };
  }
  const { pathname, search } = new URL(request.url);
  const headers = withoutHopHeaders(request.headers);
  headers.set(FORWARDED_HEADER, PASSED_ON);
  const body = request.body === null ? {} : { body: request.body, duplex: 'half' as const };
  const deadline = headers.get('accept') === 'text/event-stream' ? undefined : limit(clock, within_ms);
  const signal = deadline === undefined ? request.signal : AbortSignal.any([request.signal, deadline.signal]);
  const { method } = request;
  try {
    const url = new URL(`${pathname}${search}`, cloud_url);
    const response = answerOf(await fetch(new Request(url, { method, headers, signal, redirect: 'manual', ...body })));
    const isOfAnother = response.status >= 500 && response.headers.get('content-type')?.startsWith(PROBLEM_JSON) !== true;
    const why = `something before ${url.origin} answers ${response.status}`;
    return { response, ...(isOfAnother ? { unreached: { why, isNotSent: false } } : {}) };
  } catch (error) {
    const why = `${new URL(cloud_url).origin}, which this node follows, does not answer: ${reasonOf(error)}`;
    return { response: refusal('unavailable', why), unreached: { why, isNotSent: isNotSent(error) } };
  } finally {
    deadline?.cancel();
  }
}

/** Aborts after `ms`, unless it is cancelled before. */
function limit(clock: Clock, ms: number): { readonly signal: AbortSignal; cancel(): void } {
  const [late, over] = [new AbortController(), new AbortController()];
  void clock.sleep(ms, over.signal).then(() => {
    if (!over.signal.aborted) late.abort(new Error(`no answer within ${ms} ms`));
  });
  return { signal: late.signal, cancel: () => over.abort() };
}
