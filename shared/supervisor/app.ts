import { Hono } from 'hono';
import { TrieRouter } from 'hono/router/trie-router';
import type { DocumentKind } from '../contract/document.ts';
import { type Authenticate, createAuthenticator } from './auth.ts';
import { type Context, createContext, type SupervisorOptions, WAITING_EVENTS } from './context.ts';
import { dataRoutes } from './data/index.ts';

import { type Body, type SeedOutcome, seed } from './documents.ts';
import { createForwardVerifier } from './forwarded.ts';
import { createKeyVerifier } from './identity/issued-keys.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { ProblemError, problemResponse, toProblem } from './problem.ts';
import { limitCallers } from './rate-limits.ts';
import type { Route } from './route.ts';
import { artifactRoutes } from './routes/artifacts.ts';
import { backlogRoutes } from './routes/backlog.ts';
import { documentRoutes } from './routes/documents.ts';
import { eventRoutes } from './routes/events.ts';
import { fleetRoutes } from './routes/fleets.ts';
import { healthRoutes } from './routes/health.ts';
import { heartbeatRoutes } from './routes/heartbeats.ts';
import { introspectRoutes } from './routes/introspect.ts';
import { joinRoutes } from './routes/join.ts';
import { keyRoutes } from './routes/keys.ts';
import { leaderRoutes } from './routes/leader.ts';
import { newsRoutes } from './routes/news.ts';
import { nodeRoutes } from './routes/nodes.ts';
import { openApiRoute } from './routes/openapi.ts';
import { planRoutes } from './routes/plan.ts';
import { pruneRoutes } from './routes/prune.ts';
import { reconcileRoutes } from './routes/reconcile.ts';
import { stateRoutes } from './routes/state.ts';
import { statusRoutes } from './routes/status.ts';
import { uplinkRoutes } from './routes/uplink.ts';
import { serve } from './serve.ts';
import { createOutboxStore } from './store/outbox.ts';
import { createSweep, type SweepScope } from './sweep.ts';

export type { Keyring } from './auth.ts';
export type { Self, SupervisorOptions } from './context.ts';
export type { SeedOutcome } from './documents.ts';

/**
 * One file per noun in `routes/`, each a function from the context to its routes. A new noun is added
 * here and nowhere else; OpenAPI, scopes and the metrics follow from the list.
 */
const NOUNS: readonly ((context: Context) => Route[])[] = [
  nodeRoutes,
  joinRoutes,
  heartbeatRoutes,
  leaderRoutes,
  uplinkRoutes,
  newsRoutes,
  documentRoutes,
  planRoutes,
  artifactRoutes,
  statusRoutes,
  eventRoutes,
  stateRoutes,
  reconcileRoutes,
  pruneRoutes,
  backlogRoutes,
  keyRoutes,
  fleetRoutes,
  dataRoutes,
  healthRoutes,
];

export interface Supervisor {
  /** Answers one request of `/v1` and beside it. Never rejects. */
  fetch(request: Request): Promise<Response>;
  /** Tells who calls, as its routes do, and without a limit. */
  readonly authenticate: Authenticate;
  /**
   * Lays a seed file down as generation 0 of a fleet that holds no such document, or only another seed.
   * Rejects with the problem `invalid_body` for one that is not valid.
   */
  seed(fleet: string, kind: DocumentKind, body: Body): Promise<SeedOutcome>;
  /** Housekeeping, to be called every now and then (`createSweep`). Rejects when a part of it failed. */
  sweep(scope?: SweepScope): Promise<void>;
  /** Puts the event log on the bus; absent without `overlay`. */
  readonly outbox?: Outbox;
  readonly app: Hono;
  /** Every route, for tests and tools that walk them. */
  readonly routes: readonly Route[];
}

/** The control plane over one database: the same handlers on Workers and on Node. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const context = createContext(options);
  // Hono's default makes one expression of all routes at the first request: 5 ms of each start, to save two microseconds a request.
  const app = new Hono({ router: new TrieRouter() });
  // Imported when somebody asks: few do, and every start would pay for it.
  const document = async () => (await import('./openapi.ts')).openApiDocument(routes, options.version);
  const issued = createKeyVerifier(context.keys);
  const authenticate = createAuthenticator(options.fleets, {
    memory: context.callers,
    forwarded: options.self && createForwardVerifier(options.fleets, options.self, issued),
    tokens: options.tokens,
    issued,
    finder: options.finder,
  });
  const routes: readonly Route[] = [
    ...NOUNS.flatMap((noun) => noun(context)),
    ...introspectRoutes(context, authenticate),
    openApiRoute(document),
  ];
  const limited = limitCallers(authenticate, options.limits);
  for (const route of routes) app.on(route.method.toUpperCase(), honoPath(route.path), serve(context, limited, route));
  app.notFound((c) => problemResponse(noRoute(routes, c.req.method, c.req.path)));
  app.onError((error) => problemResponse(toProblem(error)));
  const outbox = openOutbox(context);
  return {
    fetch: async (request) => app.fetch(request),
    authenticate,
    seed: (fleet, kind, body) => plant(context, fleet, kind, body),
    sweep: createSweep(context, outbox?.trim),
    ...(outbox === undefined ? {} : { outbox }),
    app,
    routes,
  };
}

function openOutbox({ options, retention, events, hub, metrics }: Context): Outbox | undefined {
  const { database, overlay, fleets, waiting_events = WAITING_EVENTS } = options;
  if (overlay === undefined) return undefined;
  const store = createOutboxStore(database, { kept: retention.events, kept_ms: retention.events_ms, waiting: waiting_events });
  return createOutbox({ ...options, overlay, fleet: fleets.default_fleet, store, events, hub, metrics });
}

async function plant({ options, documents, announce }: Context, fleet: string, kind: DocumentKind, body: Body): Promise<SeedOutcome> {
  const keys = await options.fleets.keysOf(fleet);
  if (keys === undefined) throw new TypeError(`there is no fleet ${fleet} to seed`);
  const { outcome, event } = await seed(documents.store, options.clock, keys, kind, body);
  if (event !== undefined) announce(event);
  return outcome;
}

/** The rest of a path: also line breaks, which a key may hold. */
const REST = '[\\s\\S]+';

/** `/v1/nodes/{node_id}` as Hono writes it. */
function honoPath(path: string): string {
  return path.replace(/\{(\w+)\.\.\.\}$/, `:$1{${REST}}`).replaceAll(/\{(\w+)\}/g, ':$1');
}

function noRoute(routes: readonly Route[], method: string, path: string): ProblemError {
  const allowed = routes.filter((route) => pathPattern(route.path).test(path)).map((route) => route.method.toUpperCase());
  if (allowed.length === 0) return new ProblemError('not_found', `there is no ${path} here; GET /v1/openapi.json lists the routes`);
  const methods = [...new Set(allowed.flatMap((one) => (one === 'GET' ? ['GET', 'HEAD'] : [one])))].join(', ');
  return new ProblemError('method_not_allowed', `${path} knows ${methods}, not ${method}`, {}, { allow: methods });
}

function pathPattern(path: string): RegExp {
  const [fixed = '', rest = ''] = path.endsWith('...}') ? [path.replace(/\{\w+\.\.\.\}$/, ''), REST] : [path];
  return new RegExp(`^${fixed.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}${rest}$`);
}
