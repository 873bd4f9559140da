import { type Client, createClient, type Fetch } from '../client.ts';
import type { DesiredGenerations } from '../contract/document.ts';
import type { FencingToken } from '../contract/headers.ts';
import { boundedFetch } from './bounded-fetch.ts';
import type { DiscoveryDeps } from './types.ts';

/** One call may take this long, milliseconds; a lease or a short TTL bounds it further. */
export const CALL_TIMEOUT_MS = 5000;

export interface ConnectContext {
  readonly deps: Pick<DiscoveryDeps, 'clock'>;
  readonly credential: string;
  readonly signal: AbortSignal;
}

export interface Target {
  readonly url: string;
  readonly fetch: Fetch;
  readonly token?: () => FencingToken | undefined;
  /** Generations to tell of; see `ClientOptions`. */
  readonly heard?: () => DesiredGenerations | undefined;
  readonly timeout_ms?: () => number;
}

/** A client with this node's own credential whose calls always come back in time. */
export function connect({ deps, credential, signal }: ConnectContext, target: Target): Client {
  const { url, fetch, token, heard, timeout_ms = () => CALL_TIMEOUT_MS } = target;
  return createClient({
    url,
    credential,
    fetch: boundedFetch({ fetch, clock: deps.clock, timeout_ms, signal }),
    ...(token === undefined ? {} : { token }),
    ...(heard === undefined ? {} : { heard }),
  });
}

/** A client for streams, which end when their reader or `signal` says so and not after a time. */
export function connectStream({ credential, signal }: ConnectContext, { url, fetch }: Pick<Target, 'url' | 'fetch'>): Client {
  return createClient({ url, credential, fetch, signal });
}
