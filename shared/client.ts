import * as z from 'zod';
import { ApiError, reasonOf, UnreachableError } from './client-errors.ts';
import { parseJson } from './client-streams.ts';
import { BacklogConflicts, type BacklogMove, BacklogMoved, type ConflictDecision, ConflictResolved } from './contract/backlog-conflict.ts';
import {
  type DesiredGenerations,
  type DocumentKind,
  History,
  OfferAnswer,
  PublishAnswer,
  type VersionsOffer,
} from './contract/document.ts';
import { type BootstrapEvent, EventList } from './contract/event.ts';
import {
  DESIRED_HEADER,
  EPOCH_HEADER,
  type FencingToken,
  formatDesired,
  formatToken,
  parseDesired,
  parseToken,
} from './contract/headers.ts';
import { ClaimAnswer, type ClaimRequest, Leader, type ReleaseRequest } from './contract/leader.ts';
import { DeviceList, type HeartbeatRequest, NodeList, NodeRecord, RegisterAnswer, type RegisterRequest } from './contract/node.ts';
import { NodePlan } from './contract/plan.ts';
import { PROBLEM_JSON, Problem } from './contract/problem.ts';
import { PrunePreview, type PruneRequest, PruneResult } from './contract/prune.ts';
import { ReconcileDiff } from './contract/reconcile.ts';
import { ClusterFile, type Health, Health as HealthSchema, NodeStatus, SiteState } from './contract/status.ts';
import { UplinkAnswer, UplinkPage, type UplinkRequest } from './contract/uplink.ts';

export { ApiError, reasonOf, UnreachableError } from './client-errors.ts';
export { readEvents, readNews, readServerSentEvents, type ServerSentEvent } from './client-streams.ts';
export { ClusterFile };

export type Fetch = (request: Request) => Promise<Response>;

export interface ClientOptions {
  /** Origin of a Supervisor or node, as `http://127.0.0.1:7420`. */
  readonly url: string;
  /** Fleet key, node credential, issued key or JWT. */
  readonly credential?: string;
  readonly fetch?: Fetch;
  /** What the caller follows; sent with every write. */
  readonly token?: () => FencingToken | undefined;
  /** Generations that the caller knows of and may be news where it calls; sent with every write. */
  readonly heard?: () => DesiredGenerations | undefined;
  /** Ends all calls. */
  readonly signal?: AbortSignal;
}

/** An answer with what its headers say of the fleet. */
export interface Answer<T> {
  readonly body: T;
  /** The HTTP status: 304 means that what `etag` named is still current. */
  readonly status: number;
  readonly desired: DesiredGenerations;
  readonly token?: FencingToken;
  readonly etag?: string;
}

export interface Call<T> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly schema?: z.ZodType<T>;
  readonly signal?: AbortSignal;
  /** True for a call that changes nothing, though its method is not GET. */
  readonly isQuestion?: boolean;
}

/** A document in the wire's form; `fromWire` takes it apart. */
const WireDocument = z.record(z.string(), z.unknown());

const DOCUMENT_PATHS: Record<DocumentKind, string> = { plan: '/v1/cluster/plan', profile: '/v1/bootstrap/profile' };

export interface PublishOptions {
  /** The generation that this version replaces, 0 for the first; or the ETag of what it replaces, as it was read. */
  readonly if_match: number | string;
  readonly dry_run?: boolean;
  readonly allow_empty?: boolean;
  /** An emergency version for the site of the node that is asked. */
  readonly break_glass?: boolean;
}

/** Names an emergency version beside its generation. */
export interface EmergencyQuery {
  readonly site: string;
  readonly emergency: number;
}

export type Client = ReturnType<typeof createClient>;

/** A typed client of `/v1`. Calls reject with `ApiError` or `UnreachableError`. */
export function createClient(options: ClientOptions) {
  const send = <T>(call: Call<T>) => request(options, call);
  return {
    url: options.url,
    register: (body: RegisterRequest) => send({ method: 'POST', path: '/v1/nodes/register', body, schema: RegisterAnswer }),
    plan: (node_id: string) => send({ method: 'POST', path: '/v1/nodes/plan', body: { node_id }, schema: NodePlan }),
    heartbeat: (body: HeartbeatRequest) => send({ method: 'POST', path: '/v1/nodes/heartbeat', body }),
    leave: (node_id: string) => send({ method: 'POST', path: '/v1/nodes/leave', body: { node_id } }),
    claim: (body: ClaimRequest, site: string) =>
      send({ method: 'POST', path: '/v1/leader/claim', query: { site }, body, schema: ClaimAnswer }),
    release: (body: ReleaseRequest, site: string) => send({ method: 'POST', path: '/v1/leader/release', query: { site }, body }),
    uplink: (body: UplinkRequest) => send({ method: 'POST', path: '/v1/sites/uplink', body, schema: UplinkAnswer }),
    /** What this node, if it leads, would tell the cloud of its site. Only for the node that answers itself. */
    uplinkPage: (query: { site?: string; after?: string; limit?: number } = {}) =>
      send({ method: 'GET', path: '/v1/sites/uplink', query, schema: UplinkPage }),
    leader: (query: { site?: string; challenge?: string; fleet?: string; origin?: string; advert?: string } = {}, signal?: AbortSignal) =>
      send({ method: 'GET', path: '/v1/leader', query, schema: Leader, ...(signal === undefined ? {} : { signal }) }),
    /** The published document in the wire's form, or what holds for `site` instead; undefined when `etag` is still current. */
    document: (kind: DocumentKind, etag?: string, site?: string) =>
      send<Record<string, unknown> | undefined>({
        method: 'GET',
        path: DOCUMENT_PATHS[kind],
        query: { site },
        headers: etag === undefined ? {} : { 'if-none-match': etag },
        schema: WireDocument,
      }),
    publish: (kind: DocumentKind, body: unknown, { if_match, ...query }: PublishOptions) =>
      send({
        method: 'PUT',
        path: DOCUMENT_PATHS[kind],
        query: { ...query },
        body,
        headers: { 'if-match': typeof if_match === 'number' ? `"${if_match}"` : if_match },
        schema: PublishAnswer,
        isQuestion: query.dry_run === true,
      }),
    /** `site`: whose emergency versions are listed; without it those of all sites. */
    history: (kind: DocumentKind, site?: string) =>
      send({ method: 'GET', path: `${DOCUMENT_PATHS[kind]}/history`, query: { site }, schema: History }),
    /** The history; undefined when `etag` is still current. */
    changedHistory: (kind: DocumentKind, etag: string | undefined, site?: string) =>
      send<History | undefined>({
        method: 'GET',
        path: `${DOCUMENT_PATHS[kind]}/history`,
        query: { site },
        headers: etag === undefined ? {} : { 'if-none-match': etag },
        schema: History,
      }),
    version: (kind: DocumentKind, generation: number, hash?: string, emergency?: EmergencyQuery) =>
      send({ method: 'GET', path: `${DOCUMENT_PATHS[kind]}/history/${generation}`, query: { hash, ...emergency }, schema: WireDocument }),
    /** Hands versions to a Supervisor that may lack them. `decider: sender` is for a node that mirrors into its own. */
    offerVersions: (kind: DocumentKind, offer: VersionsOffer, query: { site?: string; decider?: 'receiver' | 'sender' } = {}) =>
      send({ method: 'POST', path: `${DOCUMENT_PATHS[kind]}/versions`, query, body: offer, schema: OfferAnswer }),
    status: (node_id: string) => send({ method: 'GET', path: '/v1/bootstrap/status', query: { node_id }, schema: NodeStatus }),
    report: (body: BootstrapEvent | BootstrapEvent[]) => send({ method: 'POST', path: '/v1/bootstrap/events', body }),
    /** `liveness`: only those of which one of these is true, as `late,lost`. */
    nodes: (query: { site?: string; after?: string; limit?: number; liveness?: string } = {}) =>
      send({ method: 'GET', path: '/v1/nodes', query, schema: NodeList }),
    node: (node_id: string) => send({ method: 'GET', path: `/v1/nodes/${encodeURIComponent(node_id)}`, schema: NodeRecord }),
    devices: (query: { site?: string; after?: string; limit?: number } = {}) =>
      send({ method: 'GET', path: '/v1/devices', query, schema: DeviceList }),
    state: (site?: string) => send({ method: 'GET', path: '/v1/state', query: { site }, schema: SiteState }),
    /** `last`: the newest so many. A Supervisor from before there was `last` answers with the first page. */
    events: (query: { after?: string; limit?: number; last?: number; site?: string } = {}) =>
      send({ method: 'GET', path: '/v1/events', query, schema: EventList }),
    /** What the next reconcile of the node that answers would do. A Supervisor that is no node has no such route. */
    reconcileDiff: () => send({ method: 'GET', path: '/v1/reconcile/diff', schema: ReconcileDiff }),
    /** What documents that are not published would do on the node that answers. */
    draftDiff: (drafts: { readonly profile?: unknown; readonly plan?: unknown }) =>
      send({ method: 'POST', path: '/v1/reconcile/diff', body: drafts, schema: ReconcileDiff, isQuestion: true }),
    /** What the node that answers made, its profile no longer names, and may be removed. */
    prunePreview: () => send({ method: 'GET', path: '/v1/reconcile/prune', schema: PrunePreview }),
    /** Removes exactly what the hash of a preview names. May take minutes. */
    prune: (body: PruneRequest) => send({ method: 'POST', path: '/v1/reconcile/prune', body, schema: PruneResult }),
    /** What the node that answers kept while an external was away, and could not bring over. */
    backlogConflicts: (query: { limit?: number; after?: string; id?: string; component?: string } = {}) =>
      send({ method: 'GET', path: '/v1/backlog/conflicts', query, schema: BacklogConflicts }),
    /** Ends one of them. */
    resolveConflict: (body: ConflictDecision) =>
      send({ method: 'POST', path: '/v1/backlog/conflicts/resolve', body, schema: ConflictResolved }),
    /** Lets what waits for an external that is configured no more go to the one of now. */
    moveBacklog: (body: BacklogMove) => send({ method: 'POST', path: '/v1/backlog/move', body, schema: BacklogMoved }),
    health: (): Promise<Answer<Health>> => send({ method: 'GET', path: '/healthz', schema: HealthSchema }),
    /** The raw answer of the event stream; read it with `readEvents`. */
    eventStream: (after: string | undefined, signal?: AbortSignal) =>
      openStream(options, { path: '/v1/events', headers: after === undefined ? {} : { 'last-event-id': after } }, signal),
    /** The raw answer of the news of a site; read it with `readNews`. */
    newsStream: (site: string, signal?: AbortSignal) => openStream(options, { path: '/v1/news', query: { site } }, signal),
  };
}

/** One call, for clients of a part of `/v1` beside this one. */
export async function request<T>(options: ClientOptions, call: Call<T>): Promise<Answer<T>> {
  const isOfChange = call.method !== 'GET' && call.isQuestion !== true;
  const response = await dial(options, buildRequest(options, call), isOfChange);
  const text = await readText(options.url, response, isOfChange);
  if (response.status === 304) return answer(response, undefined as T);
  if (!response.ok) throw new ApiError(readProblem(options.url, response, text, isOfChange));
  if (text === '' && call.schema === undefined) return answer(response, undefined as T);
  return answer(response, parseBody(options.url, call, text, isOfChange));
}

function buildRequest<T>(options: ClientOptions, call: Call<T>): Request {
  const url = new URL(call.path, options.url);
  for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) url.searchParams.set(name, String(value));
  const headers = new Headers({ accept: 'application/json', ...call.headers });
  if (options.credential !== undefined) headers.set('authorization', `Bearer ${options.credential}`);
  const token = call.method === 'GET' ? undefined : options.token?.();
  if (token !== undefined) headers.set(EPOCH_HEADER, formatToken(token));
  const heard = call.method === 'GET' ? undefined : options.heard?.();
  if (heard !== undefined) headers.set(DESIRED_HEADER, formatDesired(heard));
  const signals = [options.signal, call.signal].filter((signal) => signal !== undefined);
  const init: RequestInit = {
    method: call.method,
    headers,
    redirect: 'manual',
    ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
  };
  if (call.body !== undefined) {
    headers.set('content-type', 'application/json');
    init.body = JSON.stringify(call.body);
  }
  return new Request(url, init);
}

async function dial(options: ClientOptions, outgoing: Request, isOfChange = false): Promise<Response> {
  try {
    return await (options.fetch ?? fetch)(outgoing);
  } catch (error) {
    const kind = isRefused(error) ? 'refused' : 'no_answer';
    throw new UnreachableError(kind, `${options.url} does not answer: ${reasonOf(error)}`, { cause: error, isOfChange });
  }
}

/** fetch says only in the code of its cause that the connection was refused, and of several addresses lists each. */
function isRefused(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && error.code === 'ECONNREFUSED') return true;
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isRefused);
  return isRefused(error.cause);
}

async function readText(url: string, response: Response, isOfChange = false): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    throw new UnreachableError('broken_off', `${url} broke off its answer: ${reasonOf(error)}`, { cause: error, isOfChange });
  }
}

/** What stands between may answer 502 or 504 in its own words, and have passed the call on. */
function readProblem(url: string, response: Response, text: string, isOfChange = false): Problem {
  const isProblem = response.headers.get('content-type')?.startsWith(PROBLEM_JSON) === true;
  const parsed = isProblem ? Problem.safeParse(parseJson(text)) : undefined;
  if (parsed?.success) return parsed.data;
  throw new UnreachableError(
    'not_understood',
    `${url} answered ${response.status} in another form than a Supervisor's; is this the right address?`,
    { isOfChange: isOfChange && response.status >= 500 },
  );
}

function parseBody<T>(url: string, call: Call<T>, text: string, isOfChange: boolean): T {
  const json = parseJson(text);
  if (call.schema === undefined) return json as T;
  const parsed = call.schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new UnreachableError(
    'not_understood',
    `${url} answered ${call.path} with something else than this version of bootplane knows: ${parsed.error.issues[0]?.message}`,
    { isOfChange },
  );
}

function answer<T>(response: Response, body: T): Answer<T> {
  const token = parseToken(response.headers.get(EPOCH_HEADER) ?? '');
  const etag = response.headers.get('etag') ?? undefined;
  return {
    body,
    status: response.status,
    desired: parseDesired(response.headers.get(DESIRED_HEADER) ?? ''),
    ...(token === undefined ? {} : { token }),
    ...(etag === undefined ? {} : { etag }),
  };
}

async function openStream(
  options: ClientOptions,
  { headers, ...call }: Pick<Call<never>, 'path' | 'query' | 'headers'>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const about = { ...call, method: 'GET', headers: { accept: 'text/event-stream', ...headers } } as const;
  const response = await dial(options, buildRequest(options, signal === undefined ? about : { ...about, signal }));
  if (!response.ok || response.body === null) throw new ApiError(readProblem(options.url, response, await readText(options.url, response)));
  return response;
}

export interface RawCall {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer> | string;
  readonly signal?: AbortSignal;
}

/** The raw answer of a call whose bodies are no JSON. Rejects as the typed calls do, but for what `isExpected` takes. */
export async function callRaw(
  options: ClientOptions,
  { body, method, ...call }: RawCall,
  isExpected: (status: number) => boolean = () => false,
): Promise<Response> {
  const request = new Request(buildRequest(options, { ...call, method: 'GET' }), { method });
  // Written so because the Fetch standard, and not every type of it, asks for `duplex` with a stream.
  const outgoing = body === undefined ? request : new Request(request, { body, duplex: 'half' } as RequestInit);
  const response = await dial(options, outgoing);
  if (response.ok || isExpected(response.status)) return response;
  throw new ApiError(readProblem(options.url, response, await readText(options.url, response)));
}

/** One server-sent event: `event` is `message` unless the server named it. */
