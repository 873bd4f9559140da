import type { Fetch } from '../shared/client.ts';
import { isLoopback } from '../shared/contract/loopback.ts';
import { PROBLEM_JSON, problem } from '../shared/contract/problem.ts';

/** Set on a forwarded request: it goes one hop and no further. */
const FORWARDED_HEADER = 'bootplane-forwarded';
/** Of this node, whoever leads. */
const OWN_PATHS = new Set(['/healthz', '/readyz', '/metrics', '/v1/openapi.json', '/v1/leader', '/v1/reconcile/diff']);
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

/** How long the followed Supervisor may take to answer, milliseconds. Event streams have no end to wait for. */
const ANSWER_WITHIN_MS = 15_000;

export interface FrontDoorParts {
  /** The node's own Supervisor. */
  readonly own: Fetch;
  readonly fetch: Fetch;
  /** URL of the Supervisor that this node follows; undefined when it is its own, or none is known. */
  followed(): string | undefined;
}

/**
 * Who answers what comes in over HTTP: the node's own Supervisor, or, for control calls while the node
 * follows another, that one. The caller's credential goes along, which may be the fleet key, so only
 * to whom the connection itself proves: over https, or inside this machine.
 */
export function createFrontDoor({ own, fetch, followed }: FrontDoorParts): Fetch {
  return (request) => {
    const target = followed();
    if (target === undefined) return own(request);
    const { pathname, search } = new URL(request.url);
    if (OWN_PATHS.has(pathname)) return own(request);
    if (request.headers.has(FORWARDED_HEADER)) return Promise.resolve(unavailable(`this node does not lead; it follows ${target}`));
    if (!target.startsWith('https:') && !isLoopback(target)) {
      return Promise.resolve(unavailable(`${target}, which this node follows, is not proved by https: ask it directly`));
    }
    return forward(fetch, request, new URL(`${pathname}${search}`, target));
  };
}

async function forward(fetch: Fetch, request: Request, target: URL): Promise<Response> {
  const headers = new Headers(request.headers);
  for (const name of HOP_HEADERS) headers.delete(name);
  headers.set(FORWARDED_HEADER, '1');
  // The body is passed on as it comes: nobody has looked at the credential yet, so nothing is kept in memory.
  const body = request.body === null ? {} : { body: request.body, duplex: 'half' as const };
  const deadline = headers.get('accept') === 'text/event-stream' ? [] : [AbortSignal.timeout(ANSWER_WITHIN_MS)];
  const signal = AbortSignal.any([request.signal, ...deadline]);
  try {
    const answer = await fetch(new Request(target, { method: request.method, headers, signal, redirect: 'manual', ...body }));
    // fetch has decoded the body already: the length and the encoding of the wire are no longer its own.
    const answerHeaders = new Headers(answer.headers);
    for (const name of [...HOP_HEADERS, 'content-encoding']) answerHeaders.delete(name);
    return new Response(answer.body, { status: answer.status, headers: answerHeaders });
  } catch (error) {
    return unavailable(`${target.origin}, which this node follows, does not answer: ${reasonOf(error)}`);
  }
}

/** Of what fetch throws, only the cause says what it was. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

function unavailable(detail: string): Response {
  return new Response(JSON.stringify(problem('unavailable', detail)), { status: 503, headers: { 'content-type': PROBLEM_JSON } });
}
