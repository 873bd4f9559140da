import type { Clock } from '../../shared/ports/clock.ts';
import type { RateLimit } from '../../shared/ports/rate-limit.ts';
import { inMemoryLimits, type RateLimits } from '../../shared/supervisor/rate-limits.ts';

/** What is used of Cloudflare's rate limit binding. */
interface CountingBinding {
  limit(options: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

/** The rate limit bindings of `wrangler.toml`, each optional. */
export interface RateLimitBindings {
  /** Of callers with a right credential. */
  readonly CALLERS?: CountingBinding;
  /** Of everybody else, by address. */
  readonly STRANGERS?: CountingBinding;
}

/** A binding says nothing of when to try again: its shortest period, milliseconds. */
const PERIOD_MS = 10_000;
/** Of `wrangler dev`. */
const LOOPBACK = /^(::1$|127\.)/;

/**
 * What the bindings count holds for all isolates of a location. Where one is absent, each isolate counts by itself,
 * in memory. Cloudflare sets the address header on every request and lets nobody else set it.
 */
export function workerLimits({ CALLERS, STRANGERS }: RateLimitBindings, clock: Pick<Clock, 'monotonic'>): RateLimits {
  const inMemory = inMemoryLimits(clock);
  return {
    credential: CALLERS === undefined ? inMemory.credential : counted(CALLERS),
    address: STRANGERS === undefined ? inMemory.address : counted(STRANGERS),
    addressOf: ({ headers }) => {
      const address = headers.get('cf-connecting-ip');
      return address === null || LOOPBACK.test(address) ? undefined : address;
    },
  };
}

/** While what counts fails, nobody is limited: it must not be what keeps a fleet from its control plane. */
function counted(binding: CountingBinding): RateLimit {
  return {
    take: async (key) => {
      const { success } = await binding.limit({ key }).catch(() => ({ success: true }));
      return success ? 0 : PERIOD_MS;
    },
  };
}
