import type { Context as HonoContext } from 'hono';
import type { ProblemCode } from '../contract/problem.ts';
import { type Authenticate, type Caller, type Identity, requireAdmin, requireScope } from './auth.ts';
import { MESSAGE_BYTES, readJson } from './body.ts';
import type { Context } from './context.ts';
import type { Counter } from './metrics.ts';
import { isFault, ProblemError, problemResponse, toProblem } from './problem.ts';
import type { Route } from './route.ts';

/** Answers one route: credential, scope, body, handler; whatever is thrown becomes a problem document. */
export function serve(context: Context, authenticate: Authenticate, route: Route): (c: HonoContext) => Promise<Response> {
  const limit = route.max_bytes ?? MESSAGE_BYTES;
  const count = countAnswers(context, route);
  return async (c) => {
    let response: Response;
    try {
      const caller = allow(route, await authenticate(c.req.raw));
      refuseMalformedPath(c.req.raw);
      const body = route.body === undefined ? undefined : await readJson(c.req.raw, limit);
      response = await route.run({ caller, request: c.req.raw, params: c.req.param(), query: c.req.query(), body });
    } catch (error) {
      response = answerProblem(context, route, error);
    }
    count(response.status);
    return response;
  };
}

/** On an open route a service, a join key and an admin who names no fleet are told no more than anybody. */
function allow(route: Route, identity: Identity | undefined): Caller | undefined {
  if (route.scope === 'admin') requireAdmin(identity);
  else if (route.scope !== 'open') return requireScope(identity, route.scope);
  return identity === undefined || ['service', 'join', 'admin'].includes(identity.scope) ? undefined : (identity as Caller);
}

/** A percent sign that encodes nothing would name another thing than the caller means. */
function refuseMalformedPath({ url }: Request): void {
  try {
    if (url.includes('%')) decodeURIComponent(new URL(url).pathname);
  } catch {
    throw new ProblemError('bad_request', 'the path has a % that is not followed by two hex digits of UTF-8: encode it as %25');
  }
}

function answerProblem({ options }: Context, route: Route, error: unknown): Response {
  const answer = toProblem(error);
  const { code } = answer.problem;
  const request = `${route.method} ${route.path}`;
  // A service asks again every few seconds while a server is away: that is nothing that a stack would explain.
  if (isOfBackend(code)) options.log.warn('a request could not be served', { route: request, code, error: answer.message });
  else if (isFault(answer)) options.log.error('a request failed', { route: request, code, error: causeOf(error) });
  return problemResponse(answer);
}

function isOfBackend(code: ProblemCode): boolean {
  return code === 'backend_away' || code === 'backend_refused';
}

/** A refusal that was foreseen says all in its message; only what nobody foresaw needs its stack. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof ProblemError && error.cause === undefined ? error.message : (error.stack ?? error.message);
}

/** Counts by status without building labels at each request. */
function countAnswers({ metrics }: Context, { method, path }: Route): (status: number) => void {
  const counters = new Map<number, Counter>();
  return (status) => {
    const labels = () => ({ method: method.toUpperCase(), route: path, status: String(status) });
    const counter = counters.get(status) ?? metrics.counter('bootplane_http_requests_total', labels());
    counters.set(status, counter);
    counter.add();
  };
}
