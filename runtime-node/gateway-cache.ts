import type { Caller } from '../shared/supervisor/auth.ts';
import type { Call } from './forward-call.ts';

/** An answer as it was when it came. */
export interface Kept {
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
  /** By the monotonic clock, milliseconds. */
  readonly at: number;
}

/** What a front end asks again and again. */
const CACHED = /^\/v1\/(?:cluster\/plan|bootstrap\/profile|nodes|state|devices)(?:\/history(?:\/\d+)?|\/[^/]+)?$/;
const MOST_ENTRIES = 256;
const MOST_BYTES = 16 * 1024 * 1024;

export interface GatewayCache {
  /** The last good answer to the same question by a caller who may see just as much. */
  find(call: Call): Kept | undefined;
  keep(call: Call, kept: Kept): void;
}

/** The last good answers of the leader, for the time when there is none; what was asked longest ago goes first. */
export function createGatewayCache(): GatewayCache {
  const entries = new Map<string, Kept>();
  let bytes = 0;
  const drop = (key: string) => {
    bytes -= entries.get(key)?.body.length ?? 0;
    entries.delete(key);
  };
  return {
    find: (call) => entries.get(keyOf(call)),
    keep(call, kept) {
      if (kept.body.length > MOST_BYTES) return;
      drop(keyOf(call));
      entries.set(keyOf(call), kept);
      bytes += kept.body.length;
      for (const key of entries.keys()) {
        if (bytes <= MOST_BYTES && entries.size <= MOST_ENTRIES) break;
        drop(key);
      }
    },
  };
}

export function isCached({ method, pathname }: Pick<Call, 'method' | 'pathname'>): boolean {
  return method === 'GET' && CACHED.test(pathname);
}

function keyOf({ pathname, search, caller }: Call): string {
  return `${standingOf(caller)} ${pathname}${search}`;
}

function standingOf({ fleet, scope, node_id }: Caller): string {
  return node_id === undefined ? `${fleet}/${scope}` : `${fleet}/${scope}/${node_id}`;
}
