import { VectorError, type VectorErrorKind } from '../../../shared/ports/vector-index.ts';
import { type Answer, TooLate } from './http.ts';

/** The address as it is shown: it never holds a credential. */
export type Place = string;

const AWAY: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'the host does not answer',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
};

const CERTIFICATE = /^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT)/;
const NOT_TLS = /^(EPROTO|ERR_SSL)/;

/** Why there was no answer at all, and what to set. */
export function toConnectionError(error: unknown, place: Place): VectorError {
  if (error instanceof VectorError) return error;
  const { kind, message } = explain(error, place);
  return new VectorError(kind, message, { cause: error });
}

function explain(error: unknown, place: Place): { kind: VectorErrorKind; message: string } {
  const code = codeOf(error);
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof TooLate) return { kind: 'backend_away', message: `Weaviate at ${place} gave ${reason}` };
  const away = AWAY[code];
  if (away !== undefined) {
    return {
      kind: 'backend_away',
      message: `Weaviate at ${place} cannot be reached: ${away} (${code}). Start it, or correct WEAVIATE_URL`,
    };
  }
  if (CERTIFICATE.test(code)) {
    const message = `The certificate of ${place} is not trusted: ${reason} (${code}). Name its certificate authority, or correct the host in WEAVIATE_URL`;
    return { kind: 'failed', message };
  }
  if (NOT_TLS.test(code)) {
    return {
      kind: 'failed',
      message: `What listens at ${place} does not speak TLS (${code}). Set WEAVIATE_URL to http:// or to the TLS port`,
    };
  }
  if (code.startsWith('HPE_')) {
    const message = `What listens at ${place} does not speak HTTP/1.1 (${reason}). WEAVIATE_URL is the REST port (8080 by default), not the gRPC port`;
    return { kind: 'failed', message };
  }
  return { kind: 'backend_away', message: `The call to Weaviate at ${place} broke off: ${reason}` };
}

/** Node puts several addresses of one host into one error. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** What Weaviate says went wrong, from any of its answers; undefined when it is no error of Weaviate's. */
export function messageOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  if ('error' in body && Array.isArray(body.error)) {
    const said = body.error.flatMap((one: unknown) => messageOf(one) ?? []);
    return said.length > 0 ? said.join('; ') : undefined;
  }
  return 'message' in body && typeof body.message === 'string' ? body.message : undefined;
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The first answer of all has shown that no Weaviate is there. */
export function toForeignServerError(answer: Answer, place: Place): VectorError {
  if (/HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS/i.test(answer.text)) {
    return new VectorError('failed', `What listens at ${place} speaks TLS only. Set WEAVIATE_URL to https://`);
  }
  return new VectorError(
    'failed',
    `What answers at ${place} is not Weaviate (${describe(answer)}). Set WEAVIATE_URL to Weaviate's REST address`,
  );
}

/** Weaviate is there, but this was not said by it. */
export function toStrangeAnswer(answer: Answer, subject: string, place: Place): VectorError {
  return new VectorError('failed', `The answer to ${subject} at ${place} is not Weaviate's own (${describe(answer)}): it may be a proxy's`);
}

function describe({ status, headers }: Answer): string {
  const { server, location, 'content-type': type = 'no content type' } = headers;
  const said = { server, 'redirects to': location };
  const more = Object.entries(said).flatMap(([what, value]) =>
    value === undefined ? [] : [`${what} ${JSON.stringify(value.slice(0, 200))}`],
  );
  return [`status ${status}`, type, ...more].join(', ');
}

export function toUnauthorized(status: number, body: unknown, place: Place, hasKey: boolean): VectorError {
  const said = messageOf(body) ?? `status ${status}`;
  const hint = hasKey ? 'Set WEAVIATE_API_KEY to a key that it knows' : 'It wants a key: set WEAVIATE_API_KEY';
  const advice = status === 403 ? 'Give the key the permission that is missing' : hint;
  return new VectorError('unauthorized', `Weaviate at ${place} refuses the call: ${said}. ${advice}`);
}

/** While it starts, Weaviate knows its classes before it has opened them. */
const UNOPENED = /non-existing index/i;

/** It has not opened a class yet, or has none of that name. */
export function isUnopened(error: unknown): boolean {
  return error instanceof VectorError && UNOPENED.test(error.message);
}

/** What the messages of Weaviate mean. Most have no code of their own. */
const MEANINGS: readonly (readonly [RegExp, VectorErrorKind, string?])[] = [
  [
    /read-only|disk usage too high|no space left|not enough memory|memory usage too high/i,
    'full',
    'Free space or memory there, then set its shards to READY again',
  ],
  [/vector (lengths|with length|dimensions)|inconsistent vector/i, 'bad_dimensions'],
  [/leader not found|no leader|not ready|node .* unavailable/i, 'backend_away'],
  [UNOPENED, 'backend_away'],
  [
    /could not find class|no schema is present|class .*not (found|present|exist)|find collection|Cannot query field .* on type .(Get|Aggregate)Objects/i,
    'no_such_class',
  ],
  [/reserved|is not a valid (property|class) name|similar class/i, 'bad_name'],
  [/no such prop|invalid .* property|property .* (not found|does not exist)/i, 'bad_property'],
];

/** `subject` says what was being done: `storing object a of Frame`. */
export function toStatedError(said: string, subject: string): VectorError {
  const [, kind, advice] = MEANINGS.find(([pattern]) => pattern.test(said)) ?? [undefined, 'failed' as const];
  return new VectorError(kind, `Weaviate refuses ${subject}: ${said}${advice === undefined ? '' : `. ${advice}`}`);
}
