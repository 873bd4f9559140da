import type { Context } from './context.ts';
import { type EventRow, toEventRecord } from './store/events.ts';

export interface StreamRequest {
  readonly fleet: string;
  readonly site: string | undefined;
  /** Events behind this cursor; undefined for those from now on. */
  readonly after: number | undefined;
  readonly signal: AbortSignal;
}

/** Rows of one read; a stream that is behind reads again at once. */
const CHUNK = 100;
const encoder = new TextEncoder();

/**
 * The event log as server-sent events (WHATWG HTML, section 9.2). Sends a comment when it opens and at
 * each poll without news, so that both ends notice a dead connection, and ends after `stream_seconds`.
 */
export function streamEvents(context: Context, request: StreamRequest): Response {
  const closed = new AbortController();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const write = (text: string) => controller.enqueue(encoder.encode(text));
      const signal = AbortSignal.any([request.signal, closed.signal]);
      follow(context, request, signal, write)
        .catch((error: unknown) => context.options.log.warn('an event stream broke off', { error: String(error) }))
        .finally(() => closeQuietly(controller));
    },
    cancel: () => closed.abort(),
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
}

async function follow(context: Context, request: StreamRequest, signal: AbortSignal, write: (text: string) => void): Promise<void> {
  const { clock, stream_seconds = 3600 } = context.options;
  const end = clock.monotonic() + stream_seconds * 1000;
  let after = request.after ?? (await context.events.newest(request.fleet));
  write(': open\n\n');
  while (!signal.aborted && clock.monotonic() < end) {
    after = await sendNews(context, { ...request, after, signal }, end - clock.monotonic(), write);
  }
}

/** Sends what is new and waits for more, unless a full read says that more is there. Resolves with the new cursor. */
async function sendNews(
  context: Context,
  request: StreamRequest & { after: number },
  left_ms: number,
  write: (text: string) => void,
): Promise<number> {
  const { fleet, site, after, signal } = request;
  const { clock, poll_ms = 2000 } = context.options;
  const enough = new AbortController();
  // Listening begins before the read, so that an event written in between wakes it.
  const woken = context.hub.wait(fleet, clock, Math.min(poll_ms, left_ms), AbortSignal.any([signal, enough.signal]));
  try {
    const rows = await context.events.list({ fleet, after, limit: CHUNK, ...(site === undefined ? {} : { site }) });
    if (signal.aborted) return after;
    write(rows.length === 0 ? ': idle\n\n' : rows.map(toServerSentEvent).join(''));
    if (rows.length < CHUNK) await woken;
    return rows.at(-1)?.seq ?? after;
  } finally {
    enough.abort();
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
