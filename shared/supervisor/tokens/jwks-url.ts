import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import { readBytes } from '../body.ts';
import { readKeySet } from './key-set.ts';
import { createKeyCache, type KeySource, type LoadedKeys } from './key-source.ts';

export interface JwksUrlOptions {
  /** https, or http on this machine. */
  readonly url: string;
  readonly fetch: (request: Request) => Promise<Response>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The largest JWKS, bytes. */
export const JWKS_BYTES = 256 * 1024;
const SHORTEST_AGE_S = 60;
const LONGEST_AGE_S = 86_400;
const DEFAULT_AGE_S = 600;
/** Whoever sends tokens with made-up keys makes the Supervisor ask no more often than this, milliseconds. */
const PAUSE_MS = 30_000;
const FIRST_PAUSE_MS = 5000;
const LIMIT_MS = 3000;
/** RFC 7517, section 8.5.2. */
const HEADERS = { accept: 'application/jwk-set+json, application/json' };

/** The keys at a URL, as long as it says itself (Cache-Control: max-age), between a minute and a day. */
export function createUrlJwks({ url, fetch, clock, log }: JwksUrlOptions): KeySource {
  const name = `the keys at ${url}`;
  const times = { pause_ms: PAUSE_MS, first_pause_ms: FIRST_PAUSE_MS, limit_ms: LIMIT_MS };
  return createKeyCache({
    name,
    load: (signal) => load(new Request(url, { headers: HEADERS, redirect: 'manual', signal }), fetch),
    ...times,
    clock,
    log,
  });
}

async function load(request: Request, fetch: JwksUrlOptions['fetch']): Promise<LoadedKeys> {
  const response = await fetch(request).catch(refuse);
  if (response.status !== 200) {
    await response.body?.cancel().catch(() => undefined);
    throw new Error(`can't be read (it answered ${response.status})`);
  }
  const bytes = await readBytes(response, JWKS_BYTES).catch(refuse);
  return { set: await readKeySet(new TextDecoder().decode(bytes)), max_age_ms: maxAgeSeconds(response.headers) * 1000 };
}

function refuse(error: unknown): never {
  throw new Error(`can't be read (${error instanceof Error ? error.message : String(error)})`, { cause: error });
}

/** RFC 9111, section 5.2.2. */
function maxAgeSeconds(headers: Headers): number {
  const directives = (headers.get('cache-control') ?? '').toLowerCase();
  if (/\bno-(?:store|cache)\b/.test(directives)) return SHORTEST_AGE_S;
  const said = /\bmax-age="?(\d{1,12})/.exec(directives)?.[1];
  return said === undefined ? DEFAULT_AGE_S : Math.min(Math.max(Number(said), SHORTEST_AGE_S), LONGEST_AGE_S);
}
