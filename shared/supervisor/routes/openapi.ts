import * as z from 'zod';
import { json, type Route, route } from '../route.ts';

/** `document` is asked once; it describes this route, too. */
export function openApiRoute(document: () => Promise<object>): Route {
  let made: Promise<object> | undefined;
  return route('any', {
    method: 'get',
    path: '/v1/openapi.json',
    tag: 'health',
    summary: 'This description',
    answers: { 200: { description: 'OpenAPI 3.1.', schema: z.record(z.string(), z.unknown()) } },
    async handle() {
      made ??= document();
      return json(await made);
    },
  });
}
