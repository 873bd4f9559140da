import { linkedAbort } from '../abort.ts';
import type { Fetch } from '../client.ts';
import type { Clock } from '../ports/clock.ts';

export interface BoundedFetchOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** For the whole answer, body included. Asked at each call: the TTL may change. */
  readonly timeout_ms: () => number;
  /** Ends every call. */
  readonly signal: AbortSignal;
}

/** A timer may be late by so much on any machine, milliseconds. */
const LATE_MS = 1;

/**
 * A fetch that always comes back: it rejects when the whole answer is not there in time, or when the
 * signal aborts, whether or not the fetch below listens. On a machine that is so busy that the time is noticed late, an
 * answer may have come and not have been read: the wait is longer by as much, at most twice as long.
 */
export function boundedFetch({ fetch, clock, timeout_ms, signal }: BoundedFetchOptions): Fetch {
  return async (request) => {
    const limit = timeout_ms();
    const call = linkedAbort(signal);
    const tooLate = Promise.withResolvers<never>();
    let isOver = false;
    // Nearly every call ends in time: for those no error is made.
    void sleepAndRead(clock, limit, call.signal).then(() => {
      if (!isOver) tooLate.reject(new Error(signal.aborted ? 'the call was given up' : `no answer within ${Math.round(limit)} ms`));
    });
    try {
      return await Promise.race([buffered(fetch(new Request(request, { signal: call.signal }))), tooLate.promise]);
    } finally {
      isOver = true;
      call.abort();
      call.dispose();
    }
  };
}

async function sleepAndRead(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const began = clock.monotonic();
  await clock.sleep(ms, signal);
  const late_ms = clock.monotonic() - began - ms;
  if (late_ms >= LATE_MS && !signal.aborted) await clock.sleep(Math.min(late_ms, ms), signal);
}

/** Statuses that a Response with a body may not have (Fetch standard, null body status). */
const NULL_BODY = [101, 204, 205, 304];

async function buffered(answering: Promise<Response>): Promise<Response> {
  const response = await answering;
  const body = await response.arrayBuffer();
  const { status, statusText, headers } = response;
  return new Response(NULL_BODY.includes(status) ? null : body, { status, statusText, headers });
}
