import type * as z from 'zod';
import { EPOCH_HEADER, type FencingToken, parseToken } from '../contract/headers.ts';
import type { ProblemCode } from '../contract/problem.ts';
import type { Caller, RouteScope } from './auth.ts';
import { check } from './body.ts';
import { ProblemError } from './problem.ts';

/** One answer of a route, as OpenAPI shows it. */
export interface Answer {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Default `application/json` where there is a schema. */
  readonly content_type?: string;
}

/** A call before its parts are checked against the route's schemas. */
export interface RawCall<Who> {
  readonly caller: Who;
  readonly request: Request;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** The parsed JSON body of a route that has one. */
  readonly body: unknown;
}

/** What a handler is given: everything checked. */
export interface Call<Who, Params, Query, Body> {
  readonly caller: Who;
  readonly request: Request;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
}

interface About {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** With `{name}` for a parameter, as OpenAPI writes it; at the end `{name...}` takes the rest, slashes included. */
  readonly path: string;
  readonly summary: string;
  readonly tag: string;
  /** The largest body, bytes. Default `MESSAGE_BYTES`. */
  readonly max_bytes?: number;
  /** Of a route whose handler reads the body as a stream of bytes, and counts them. */
  readonly upload?: { readonly content_type: string; readonly max_bytes: number };
  readonly answers: Readonly<Record<number, Answer>>;
  /** Beside those that every route may answer with. */
  readonly problems?: readonly ProblemCode[];
}

interface Schemas {
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly headers?: z.ZodObject;
  readonly body?: z.ZodType;
}

/** A registered route; `app.ts` mounts it, `openapi.ts` describes it. */
export interface Route extends About, Schemas {
  readonly scope: RouteScope;
  /** `caller` is undefined only on an open route. */
  run(call: RawCall<Caller | undefined>): Response | Promise<Response>;
}

type Parsed<T extends z.ZodType | undefined> = T extends z.ZodType ? z.output<T> : undefined;

interface Spec<Who, P extends z.ZodObject | undefined, Q extends z.ZodObject | undefined, B extends z.ZodType | undefined> extends About {
  readonly params?: P;
  readonly query?: Q;
  /** Only for the description: a handler reads headers from `request`. */
  readonly headers?: z.ZodObject;
  readonly body?: B;
  handle(call: Call<Who, Parsed<P>, Parsed<Q>, Parsed<B>>): Response | Promise<Response>;
}

/** A route that needs a credential of `scope`. The handler gets parameters and body checked. */
export function route<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(scope: Exclude<RouteScope, 'open' | 'admin'>, spec: Spec<Caller, P, Q, B>): Route {
  const run = (call: RawCall<Caller | undefined>) => {
    if (call.caller === undefined) throw new TypeError(`${spec.path} was mounted without its scope`);
    return spec.handle(checked(spec, { ...call, caller: call.caller }));
  };
  return { ...described(spec), scope, run };
}

/** A route that answers without a credential, and may say more with one. */
export function openRoute<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(spec: Spec<Caller | undefined, P, Q, B>): Route {
  return { ...described(spec), scope: 'open', run: (call) => spec.handle(checked(spec, call)) };
}

/** A route for the one who makes fleets: its call is of no fleet. */
export function adminRoute<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(spec: Spec<undefined, P, Q, B>): Route {
  return { ...described(spec), scope: 'admin', run: (call) => spec.handle(checked(spec, { ...call, caller: undefined })) };
}

function described<Who, P extends z.ZodObject | undefined, Q extends z.ZodObject | undefined, B extends z.ZodType | undefined>(
  spec: Spec<Who, P, Q, B>,
): Omit<Route, 'scope' | 'run'> {
  const { params, query, body, handle: _handle, ...about } = spec;
  return {
    ...about,
    ...(params === undefined ? {} : { params }),
    ...(query === undefined ? {} : { query }),
    ...(body === undefined ? {} : { body }),
  };
}

function checked<Who, P extends z.ZodObject | undefined, Q extends z.ZodObject | undefined, B extends z.ZodType | undefined>(
  spec: Spec<Who, P, Q, B>,
  call: RawCall<Who>,
): Call<Who, Parsed<P>, Parsed<Q>, Parsed<B>> {
  const { params, query, body } = spec;
  return {
    caller: call.caller,
    request: call.request,
    // Each cast restates the conditional type Parsed, which the compiler can't follow through a generic.
    params: (params === undefined ? undefined : check(params, call.params, 'invalid_parameter')) as Parsed<P>,
    query: (query === undefined ? undefined : check(query, call.query, 'invalid_parameter')) as Parsed<Q>,
    body: (body === undefined ? undefined : check(body, call.body, 'invalid_body')) as Parsed<B>,
  };
}

export function json(body: unknown, headers: Readonly<Record<string, string>> = {}, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });
}

/** `/v1/objects/{bucket}/{key...}` as OpenAPI writes it: it knows no parameter over several segments. */
export function openApiPath(path: string): string {
  return path.replaceAll('...}', '}');
}

export function empty(status: 202 | 204 | 304, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(null, { status, headers });
}

/** The fencing token that a write carries; undefined without one. Throws `bad_request` for a malformed one. */
export function readToken(request: Request): FencingToken | undefined {
  const text = request.headers.get(EPOCH_HEADER);
  if (text === null) return undefined;
  const token = parseToken(text);
  if (token === undefined)
    throw new ProblemError('bad_request', `the header ${EPOCH_HEADER} must be <epoch>/<leader node_id>, not "${text}"`);
  return token;
}
