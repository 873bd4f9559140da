import type { Clock } from '../ports/clock.ts';
import type { RateLimit } from '../ports/rate-limit.ts';

export interface TokenBucketOptions {
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Calls a second that go on for good; more than 0. */
  readonly per_second: number;
  /** Calls at once, after a pause. At least 1. */
  readonly burst: number;
  /** Callers that are told apart. Default 65536. */
  readonly keys?: number;
}

interface Bucket {
  tokens: number;
  /** Milliseconds of the monotonic clock when `tokens` was right. */
  at: number;
}

const KEYS = 65_536;

/**
 * A token bucket for each caller, in memory. Of too many callers the one that has been known for the longest time is
 * forgotten, and begins anew with a full bucket: memory is bounded, and nobody is locked out by others.
 */
export function createTokenBucket({ clock, per_second, burst, keys = KEYS }: TokenBucketOptions): RateLimit {
  const buckets = new Map<string, Bucket>();
  const make = (key: string, at: number): Bucket => {
    const oldest = buckets.size >= keys ? buckets.keys().next().value : undefined;
    if (oldest !== undefined) buckets.delete(oldest);
    const bucket = { tokens: burst, at };
    buckets.set(key, bucket);
    return bucket;
  };
  return {
    take(key) {
      const now = clock.monotonic();
      const bucket = buckets.get(key) ?? make(key, now);
      bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * per_second);
      bucket.at = now;
      if (bucket.tokens < 1) return ((1 - bucket.tokens) / per_second) * 1000;
      bucket.tokens -= 1;
      return 0;
    },
  };
}
