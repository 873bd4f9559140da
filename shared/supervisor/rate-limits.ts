import { ADDRESS_PER_SECOND, CREDENTIAL_PER_SECOND } from '../contract/rate-limit.ts';
import type { Clock } from '../ports/clock.ts';
import type { RateLimit } from '../ports/rate-limit.ts';
import type { Authenticate } from './auth.ts';
import { ProblemError } from './problem.ts';
import { createTokenBucket } from './token-bucket.ts';

type Who = NonNullable<Awaited<ReturnType<Authenticate>>>;

/** Who may call how often. */
export interface RateLimits {
  /** Of callers with a credential that is right, each by itself. */
  readonly credential: RateLimit;
  /** Of everybody else, by address: without a credential, or with one that is refused. */
  readonly address: RateLimit;
  /** Where a request comes from. Undefined: it is not limited, as what comes from this machine itself. */
  addressOf(request: Request): string | undefined;
}

/** After a pause this many seconds' worth of requests may come at once. */
const BURST_SECONDS = 4;

/** Both limits in the memory of this process. */
export function inMemoryLimits(
  clock: Pick<Clock, 'monotonic'>,
  per_second = CREDENTIAL_PER_SECOND,
): Pick<RateLimits, 'credential' | 'address'> {
  const bucket = (rate: number) => createTokenBucket({ clock, per_second: rate, burst: rate * BURST_SECONDS });
  return { credential: bucket(per_second), address: bucket(ADDRESS_PER_SECOND) };
}

/**
 * Tells who calls as `authenticate` does, and throws the problem `too_many_requests` with `Retry-After` for who calls
 * too often. Those with a right credential are not counted by address: behind one address there may be a whole site,
 * and a stranger in it must not lock the others out.
 */
export function limitCallers(authenticate: Authenticate, limits: RateLimits | undefined): Authenticate {
  if (limits === undefined) return authenticate;
  return (request) => {
    const address = limits.addressOf(request);
    return address === undefined ? authenticate(request) : admit(authenticate, limits, request, address);
  };
}

async function admit(authenticate: Authenticate, limits: RateLimits, request: Request, address: string): Promise<Who | undefined> {
  let caller: Who | undefined;
  try {
    caller = await authenticate(request);
  } catch (error) {
    await take(limits.address, address);
    throw error;
  }
  await (caller === undefined ? take(limits.address, address) : take(limits.credential, nameOf(caller)));
  return caller;
}

/** No name of a fleet or scope holds a blank. */
function nameOf(who: Who): string {
  if (!('fleet' in who)) return who.scope;
  const issued = 'issued' in who ? who.issued?.key_id : undefined;
  const subject = 'subject' in who ? who.subject : undefined;
  return `${who.fleet} ${who.scope} ${who.node_id ?? issued ?? subject ?? ''}`;
}

async function take(limit: RateLimit, key: string): Promise<void> {
  const wait_ms = await limit.take(key);
  if (wait_ms === 0) return;
  const seconds = Math.max(1, Math.ceil(wait_ms / 1000));
  throw new ProblemError('too_many_requests', `too many requests: try again in ${seconds} s`, {}, { 'retry-after': String(seconds) });
}
