import * as z from 'zod';
import { EventList, MAX_LAST_EVENTS } from '../../contract/event.ts';
import { Id } from '../../contract/ids.ts';
import type { Caller } from '../auth.ts';
import type { Context } from '../context.ts';
import { streamEvents } from '../event-stream.ts';
import { REMEMBERED_MS } from '../identity/caller-memory.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import { toEventRecord } from '../store/events.ts';

const Cursor = z.string().regex(/^\d{1,15}$/, 'must be the cursor of an event');

const EventQuery = PageQuery.extend({
  after: Cursor.optional(),
  last: z.coerce.number().int().min(1).max(MAX_LAST_EVENTS).optional().meta({ description: 'The newest so many, instead of a page' }),
  site: Id.optional(),
}).refine(({ after, last }) => after === undefined || last === undefined, {
  path: ['last'],
  message: 'is the newest of the whole log: leave `after` out, or read on from `after` with `limit`',
});

export function eventRoutes(context: Context): Route[] {
  return [list(context)];
}

function list(context: Context): Route {
  return route('any', {
    method: 'get',
    path: '/v1/events',
    tag: 'events',
    summary: 'The event log from a cursor on; as a stream of server-sent events where the caller accepts one',
    query: EventQuery,
    headers: z.object({
      accept: z.string().optional().meta({ description: '`text/event-stream` for a stream' }),
      'last-event-id': Cursor.optional().meta({ description: 'Resumes a stream behind this event' }),
    }),
    answers: {
      200: {
        description: 'One page, oldest first; `next` is there when more follow. A stream sends each event with its cursor as id.',
        schema: EventList,
      },
    },
    problems: ['bad_request'],
    async handle({ caller, query, request }) {
      const { fleet } = caller;
      if (request.headers.get('accept')?.includes('text/event-stream')) {
        if (query.last !== undefined) throw notOfStream();
        const after = resumeAt(request, query.after);
        return streamEvents(context, { fleet, site: query.site, after, ...endOf(caller), signal: request.signal });
      }
      const { limit, last } = query;
      const where = { fleet, ...(query.site === undefined ? {} : { site: query.site }) };
      if (last !== undefined) return json({ events: (await context.events.latest({ ...where, limit: last })).map(toEventRecord) });
      const rows = await context.events.list({ ...where, after: Number(query.after ?? 0), limit: limit + 1 });
      const { items, next } = pageOf(rows, limit, ({ seq }) => String(seq));
      return json({ events: items.map(toEventRecord), ...next });
    },
  });
}

function notOfStream(): ProblemError {
  const detail = 'is of a page: a stream goes on behind `after`, or starts with what happens now';
  return new ProblemError('invalid_parameter', `last: ${detail}`, { errors: [{ pointer: '/last', detail }] });
}

/** A key that was revoked and a token that has expired must not read on: whoever has such a one opens a stream again and again. */
function endOf(caller: Caller): { most_seconds?: number } {
  // An admin may have come with a JWT, too.
  const isForGood = 'rests_on' in caller && caller.rests_on === 'fleet_key';
  return isForGood ? {} : { most_seconds: REMEMBERED_MS / 1000 };
}

/** A browser that reconnects sends the last id that it got; that says more than the URL. */
function resumeAt(request: Request, after: string | undefined): number | undefined {
  const last = request.headers.get('last-event-id') ?? after;
  if (last === undefined) return undefined;
  if (!Cursor.safeParse(last).success)
    throw new ProblemError('bad_request', `the header Last-Event-ID must be the cursor of an event, not "${last}"`);
  return Number(last);
}
