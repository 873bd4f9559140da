import { OpenAPIHono } from '@hono/zod-openapi';
import { createAuthenticator } from './auth.ts';
import { type Context, createContext, type SupervisorOptions } from './context.ts';
import { ProblemError, problemResponse, toProblem } from './problem.ts';
import type { Route } from './route.ts';
import { nodeRoutes } from './routes/nodes.ts';
import { serve } from './serve.ts';

export type { Keyring } from './auth.ts';
export type { Self, SupervisorOptions } from './context.ts';

/**
 * One file per noun in `routes/`, each a function from the context to its routes. A new noun is added
 * here and nowhere else; OpenAPI, scopes and the metrics follow from the list.
 */
const NOUNS: readonly ((context: Context) => Route[])[] = [nodeRoutes];

export interface Supervisor {
  /** Answers one request of `/v1` and beside it. Never rejects. */
  fetch(request: Request): Promise<Response>;
  readonly app: OpenAPIHono;
  /** Every route, for tests and tools that walk them. */
  readonly routes: readonly Route[];
}

/** The control plane over one database: the same handlers on Workers and on Node. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const context = createContext(options);
  const routes = NOUNS.flatMap((noun) => noun(context));
  const authenticate = createAuthenticator(options.fleets);
  const app = new OpenAPIHono();
  for (const route of routes) app.on(route.method.toUpperCase(), honoPath(route.path), serve(context, authenticate, route));
  app.notFound((c) => problemResponse(noRoute(routes, c.req.method, c.req.path)));
  app.onError((error) => problemResponse(toProblem(error)));
  return { fetch: async (request) => app.fetch(request), app, routes };
}

/** `/v1/nodes/{node_id}` as Hono writes it. */
function honoPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

function noRoute(routes: readonly Route[], method: string, path: string): ProblemError {
  const allowed = routes.filter((route) => pathPattern(route.path).test(path)).map((route) => route.method.toUpperCase());
  if (allowed.length === 0) return new ProblemError('not_found', `there is no ${path} here; GET /v1/openapi.json lists the routes`);
  const methods = [...new Set(allowed.flatMap((one) => (one === 'GET' ? ['GET', 'HEAD'] : [one])))].join(', ');
  return new ProblemError('method_not_allowed', `${path} knows ${methods}, not ${method}`, {}, { allow: methods });
}

function pathPattern(path: string): RegExp {
  return new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`);
}
