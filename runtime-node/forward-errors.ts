import { PROBLEM_JSON, type ProblemCode, problem } from '../shared/contract/problem.ts';

/** Codes with which a connection fails before any byte of the request has left. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Ends what is said of a call that may have been done or not. The command line knows such an answer by it. */
export const LOOK_FIRST = 'look before it is sent again';

/** True when fetch failed so that the request can't have reached anybody. */
export function isNotSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string' && NOT_SENT.has(error.code)) return true;
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isNotSent);
  return isNotSent(error.cause);
}

/** Of what fetch throws, only the cause says what it was. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** A problem document of the front door itself; 503 unless `status` says otherwise. */
export function refusal(code: ProblemCode, detail: string, status = 503, headers: Readonly<Record<string, string>> = {}): Response {
  const retry: Record<string, string> = status === 503 ? { 'retry-after': '1' } : {};
  return new Response(JSON.stringify({ ...problem(code, detail), status }), {
    status,
    headers: { 'content-type': PROBLEM_JSON, ...retry, ...headers },
  });
}
