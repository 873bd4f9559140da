import { FORWARDED_HEADER, type KeyHolder } from '../shared/contract/forward.ts';
import type { FleetCaller } from '../shared/supervisor/auth.ts';
import { DOCUMENT_BYTES, OFFER_BYTES, readBytes } from '../shared/supervisor/body.ts';

/** A control call that this node takes for the one that decides. Its caller is known, unless it comes with an issued key. */
export interface Call<Who = FleetCaller> {
  readonly method: string;
  readonly pathname: string;
  /** With the question mark, or empty. */
  readonly search: string;
  /** As they came, but for those of the connection. */
  readonly headers: Headers;
  readonly caller: Who;
  /** A stream only where the path names the hash of the body: an artifact is too large to be kept in memory. */
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | undefined;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
}

export type AnyCall = Call<FleetCaller | KeyHolder>;

const ARTIFACT = /^\/v1\/artifacts\/[0-9a-f]{64}$/;
const DOCUMENTS = /^\/v1\/(?:cluster\/plan|bootstrap\/profile)$/;

/** Of one connection, not of the request (RFC 9110, sections 7.6.1 and 10.1.1). */
const HOP_HEADERS = [
  'connection',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-authorization',
  'host',
  'content-length',
];

/** The headers that travel on. */
export function withoutHopHeaders(headers: Headers, ...more: readonly string[]): Headers {
  const kept = new Headers(headers);
  for (const name of [...HOP_HEADERS, ...more]) kept.delete(name);
  return kept;
}

/** Versions of documents that a node offers come several at once. */
const OFFER = /^\/v1\/(?:cluster\/plan|bootstrap\/profile)\/versions$/;

/** The largest body that is taken in, bytes. What a call may have in truth, the leader says. */
const largestBody = (pathname: string) => (OFFER.test(pathname) ? OFFER_BYTES : DOCUMENT_BYTES);

/** Takes a request in. Throws `too_large` for a body that no control call has. */
export async function readCall<Who extends AnyCall['caller']>(request: Request, caller: Who): Promise<Call<Who>> {
  const { pathname, search } = new URL(request.url);
  const { method, signal } = request;
  const body =
    request.body === null ? undefined : isUpload({ method, pathname }) ? request.body : await readBytes(request, largestBody(pathname));
  const headers = withoutHopHeaders(request.headers, FORWARDED_HEADER);
  return { method, pathname, search, headers, caller, body, signal };
}

type Named = Pick<Call, 'method' | 'pathname'>;

export function isUpload({ method, pathname }: Named): boolean {
  return method === 'PUT' && ARTIFACT.test(pathname);
}

export function isArtifactRead({ method, pathname }: Named): boolean {
  return isRead({ method }) && ARTIFACT.test(pathname);
}

export function isPublish({ method, pathname }: Named): boolean {
  return method === 'PUT' && DOCUMENTS.test(pathname);
}

/** Publishing for the whole fleet, which the cloud does where there is one. An emergency version is the site's own. */
export function isFleetPublish(call: Named & Pick<Call, 'search'>): boolean {
  return isPublish(call) && !isBreakGlass(call);
}

/** An emergency version for the site, which its leader signs. */
export function isEmergencyPublish(call: Named & Pick<Call, 'search'>): boolean {
  return isPublish(call) && isBreakGlass(call);
}

/** Calls by which a node speaks to the leader of its site: nobody else can answer them in its place. */
const OF_NODES = /^\/v1\/(?:nodes\/(?:register|plan|heartbeats?|leave)|bootstrap\/events|leader\/\w+|sites\/\w+)$/;

export function isOfNode({ method, pathname }: Named): boolean {
  return method === 'POST' && OF_NODES.test(pathname);
}

function isBreakGlass({ search }: Pick<Call, 'search'>): boolean {
  return new URLSearchParams(search).get('break_glass') === 'true';
}

export function isRead({ method }: Pick<Call, 'method'>): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** True for what is asked and done to nobody: a read, or what publishing would change. */
export function changesNothing(call: Pick<Call, 'method' | 'pathname' | 'search'>): boolean {
  return isRead(call) || (isPublish(call) && new URLSearchParams(call.search).get('dry_run') === 'true');
}

/** True for answers that are passed on as they come: they may have no end, or no bound. */
export function isStreamed(call: Pick<Call, 'method' | 'pathname' | 'headers'>): boolean {
  return call.headers.get('accept') === 'text/event-stream' || ARTIFACT.test(call.pathname);
}

/** Doing these twice is doing them once, because they set what their sender says, whole. */
const REPEATABLE_POSTS = new Set([
  '/v1/nodes/register',
  '/v1/nodes/plan',
  '/v1/nodes/heartbeat',
  '/v1/nodes/heartbeats',
  '/v1/nodes/leave',
  // Signed versions, named by their hash.
  '/v1/cluster/plan/versions',
  '/v1/bootstrap/profile/versions',
]);

/**
 * True when the call may be sent again although it may have been done already. Publishing is, since
 * If-Match lets a second one fail; `publishedBefore` tells that from another's publish.
 */
export function isRepeatable(call: Pick<Call, 'method' | 'pathname' | 'headers'>): boolean {
  if (isRead(call)) return true;
  if (isPublish(call)) return call.headers.has('if-match');
  return call.method === 'POST' && REPEATABLE_POSTS.has(call.pathname);
}

/** The call as a request to the node's own Supervisor, or, with `url`, to another one. */
export function toRequest({ method, pathname, search, headers, body, signal }: AnyCall, url: string): Request {
  const withBody = body === undefined ? {} : { body, duplex: 'half' as const };
  return new Request(new URL(`${pathname}${search}`, url), { method, headers, signal, redirect: 'manual', ...withBody });
}
