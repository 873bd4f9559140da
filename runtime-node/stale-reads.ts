import type { Fetch } from '../shared/client.ts';
import { STALE_HEADER } from '../shared/contract/headers.ts';
import type { Clock } from '../shared/ports/clock.ts';
import { type Call, toRequest } from './forward-call.ts';
import { type GatewayCache, isCached, type Kept } from './gateway-cache.ts';

/** The documents and their versions, which every node mirrors into its own Supervisor. */
const MIRRORED = /^\/v1\/(?:cluster\/plan|bootstrap\/profile)(?:\/history(?:\/\d+)?)?$/;

export interface StaleReads {
  /** True for a call that may be answered from what is kept here. */
  covers(call: Call): boolean;
  /** What was known last, marked with its age; undefined when nothing is. */
  find(call: Call): Promise<Response | undefined>;
  /** Takes an answer of the leader in, and gives it back. */
  heard(call: Call, response: Response): Promise<Response>;
}

export interface StaleReadsParts {
  readonly own: Fetch;
  readonly clock: Clock;
  /** Of a gateway. */
  readonly cache?: GatewayCache;
}

/** Answers for the time without a leader: of the documents those that are mirrored here, and on a gateway what was asked before. */
export function createStaleReads({ own, clock, cache }: StaleReadsParts): StaleReads {
  let heard_at = 0;
  return {
    covers: (call) => call.method === 'GET' && (MIRRORED.test(call.pathname) || (cache !== undefined && isCached(call))),
    async find(call) {
      const kept = cache?.find(call);
      const mirrored = MIRRORED.test(call.pathname) ? await readMirror(own, call, heard_at) : undefined;
      const newer = mirrored !== undefined && generationOf(mirrored) >= generationOf(kept) ? mirrored : (kept ?? mirrored);
      return newer && answer(call, newer, clock.monotonic());
    },
    async heard(call, response) {
      // What this node answers itself while nobody leads is no word of a leader.
      if (response.status < 500) heard_at = clock.monotonic();
      if (cache === undefined || !isCached(call) || response.status !== 200) return response;
      const body = new Uint8Array(await response.arrayBuffer());
      cache.keep(call, { headers: response.headers, body, at: heard_at });
      return new Response(body, { headers: response.headers });
    },
  };
}

/** The node's own Supervisor looks at the credential itself. */
async function readMirror(own: Fetch, call: Call, at: number): Promise<Kept | undefined> {
  const headers = new Headers(call.headers);
  headers.delete('if-none-match');
  const response = await own(toRequest({ ...call, headers }, 'http://127.0.0.1'));
  if (response.status !== 200) return undefined;
  return { headers: response.headers, body: new Uint8Array(await response.arrayBuffer()), at };
}

/** Of the tag that the answer for a document carries; what has none is as old as can be. */
function generationOf(kept: Kept | undefined): number {
  return Number(/^"(\d+)-/.exec(kept?.headers.get('etag') ?? '')?.[1] ?? -1);
}

function answer(call: Call, { headers: kept, body, at }: Kept, now: number): Response {
  const headers = new Headers(kept);
  headers.set(STALE_HEADER, String(Math.max(0, Math.round((now - at) / 1000))));
  const etag = headers.get('etag');
  const isCurrent = etag !== null && call.headers.get('if-none-match') === etag;
  return isCurrent ? new Response(null, { status: 304, headers }) : new Response(body, { headers });
}
