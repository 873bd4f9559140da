import type { Context } from './context.ts';
import { type EventRow, toEventRecord } from './store/events.ts';

export interface StreamRequest {
  readonly fleet: string;
  readonly site: string | undefined;
  /** Events behind this cursor; undefined for those from now on. */
  readonly after: number | undefined;
  /** It ends after this many seconds, or sooner. */
  readonly most_seconds?: number;
  readonly signal: AbortSignal;
}

/** Rows of one read; a stream that is behind reads again at once. */
const CHUNK = 100;
const encoder = new TextEncoder();

/**
 * The event log as server-sent events (WHATWG HTML, section 9.2). Sends a comment when it opens and at
 * each poll without news, so that both ends notice a dead connection, and ends after `stream_seconds`.
 * Reads on only when the reader does: the log stays in the database until it is wanted.
 */
export function streamEvents(context: Context, request: StreamRequest): Response {
  return streamText(context, request.signal, (signal) => follow(context, { ...request, signal }));
}

/** What `produce` yields, as the body of an answer, at the pace of its reader. `signal` aborts when that has gone. */
export function streamText(
  { options }: Pick<Context, 'options'>,
  gone: AbortSignal,
  produce: (signal: AbortSignal) => AsyncGenerator<string, undefined>,
): Response {
  const closed = new AbortController();
  const signal = AbortSignal.any([gone, closed.signal]);
  const parts = produce(signal);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value } = await parts.next().catch((error: unknown) => {
        // A Supervisor that stops puts its readers out before its database closes: what they still wanted concerns nobody.
        if (!signal.aborted) options.log.warn('a stream broke off', { error: String(error) });
        return { value: undefined };
      });
      if (value !== undefined) controller.enqueue(encoder.encode(value));
      else closeQuietly(controller);
    },
    cancel: () => closed.abort(),
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
}

/** A read that finds as much as it may is followed by another at once, any other by a wait for news. */
async function* follow(
  { options, events, hub }: Context,
  { fleet, site, after, most_seconds = Number.POSITIVE_INFINITY, signal }: StreamRequest,
): AsyncGenerator<string, undefined> {
  const { clock, stream_seconds = 3600, poll_ms = 2000 } = options;
  const end = clock.monotonic() + Math.min(stream_seconds, most_seconds) * 1000;
  const newest = await events.newest(fleet);
  // A cursor of another Supervisor's log may be ahead of this one: waiting for it would pass over all news.
  let cursor = Math.min(after ?? newest, newest);
  // A reader that has seen no event yet resumes from here too, and not from what is the newest when it comes back.
  yield after === undefined ? `id: ${cursor}\n: open\n\n` : ': open\n\n';
  while (!signal.aborted && clock.monotonic() < end) {
    const enough = new AbortController();
    // Listening begins before the read, so that an event written in between wakes it.
    const woken = hub.wait(fleet, clock, Math.min(poll_ms, end - clock.monotonic()), AbortSignal.any([signal, enough.signal]));
    try {
      const rows = await events.list({ fleet, after: cursor, limit: CHUNK, ...(site === undefined ? {} : { site }) });
      if (signal.aborted) return;
      cursor = rows.at(-1)?.seq ?? cursor;
      yield rows.length === 0 ? ': idle\n\n' : rows.map(toServerSentEvent).join('');
      if (rows.length < CHUNK) await woken;
    } finally {
      enough.abort();
    }
  }
}

function toServerSentEvent(row: EventRow): string {
  return `id: ${row.seq}\nevent: ${row.type}\ndata: ${JSON.stringify(toEventRecord(row))}\n\n`;
}

function closeQuietly(controller: ReadableStreamDefaultController<Uint8Array>): void {
  try {
    controller.close();
  } catch {
    // The reader went away first.
  }
}
