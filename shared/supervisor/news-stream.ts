import type { CurrentNews, GoodbyeNews } from '../contract/news.ts';
import type { Context } from './context.ts';
import { streamText } from './event-stream.ts';
import type { NewsRow } from './store/leases.ts';

export interface NewsRequest {
  readonly fleet: string;
  readonly site: string;
  readonly signal: AbortSignal;
}

/** A line at least this often, milliseconds, however long the TTL is. */
const LONGEST_SILENCE_MS = 5000;

/**
 * How a site stands, as server-sent events by level: the state at once and again whenever it differs,
 * so that a reader which missed some has lost nothing. A comment between them says that this
 * Supervisor lives. Ends after `stream_seconds`; the reader then opens another.
 */
export function streamNews(context: Context, request: NewsRequest): Response {
  return streamText(context, request.signal, (signal) => follow(context, { ...request, signal }));
}

async function* follow({ options, leases, news }: Context, { fleet, site, signal }: NewsRequest): AsyncGenerator<string, undefined> {
  const { clock, ttl_seconds, stream_seconds = 3600, poll_ms = 2000 } = options;
  const end = clock.monotonic() + stream_seconds * 1000;
  let told = '';
  let parted: number | null = null;
  while (!signal.aborted) {
    const enough = new AbortController();
    // Listening begins before the read, so that what is written in between wakes it.
    const woken = news.wait(fleet, clock, Math.max(0, end - clock.monotonic()), AbortSignal.any([signal, enough.signal]));
    try {
      const row = await leases.news(fleet, site);
      if (signal.aborted) return;
      const goodbye = row.released_epoch === parted ? '' : goodbyeOf(row);
      parted = row.released_epoch;
      const current = eventOf('current', currentOf(row));
      const text = goodbye + (current === told ? '' : current);
      told = current;
      yield text === '' ? ': alive\n\n' : text;
      if (clock.monotonic() >= end) return;
      const tick_ms = Math.min(((row.ttl_seconds ?? ttl_seconds) * 1000) / 6, LONGEST_SILENCE_MS, poll_ms);
      await Promise.race([woken, clock.sleep(tick_ms, enough.signal)]);
    } finally {
      enough.abort();
    }
  }
}

function currentOf({ leader, plan, profile, plan_emergency, profile_emergency, successors, places }: NewsRow): CurrentNews {
  const emergencies = {
    ...(plan_emergency === null ? {} : { plan: plan_emergency }),
    ...(profile_emergency === null ? {} : { profile: profile_emergency }),
  };
  return {
    ...{ leader, plan, profile },
    ...(Object.keys(emergencies).length === 0 ? {} : { emergencies }),
    ...{ successors: [...(successors ?? [])], places: places ?? 0 },
  };
}

function goodbyeOf({ released_by, released_epoch }: NewsRow): string {
  if (released_by === null || released_epoch === null) return '';
  return eventOf('goodbye', { node_id: released_by, epoch: released_epoch } satisfies GoodbyeNews);
}

function eventOf(name: 'current' | 'goodbye', data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
