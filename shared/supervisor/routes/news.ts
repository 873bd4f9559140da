import * as z from 'zod';
import { Id } from '../../contract/ids.ts';
import { CurrentNews } from '../../contract/news.ts';
import type { Context } from '../context.ts';
import { streamNews } from '../news-stream.ts';
import { type Route, route } from '../route.ts';

export function newsRoutes(context: Context): Route[] {
  return [news(context)];
}

function news(context: Context): Route {
  return route('any', {
    method: 'get',
    path: '/v1/news',
    tag: 'leader',
    summary: 'Who leads a site and what is published, as a stream of server-sent events by level',
    query: z.object({ site: Id.default('default') }),
    answers: {
      200: {
        description:
          '`current` at once and on each change; `goodbye` with node_id and epoch when the leader has released its lease; comments in between.',
        schema: CurrentNews,
        content_type: 'text/event-stream',
      },
    },
    async handle({ caller: { fleet }, query: { site }, request }) {
      return streamNews(context, { fleet, site, signal: request.signal });
    },
  });
}
