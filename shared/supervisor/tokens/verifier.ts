import { type JWTPayload, jwtVerify } from 'jose';
import { LONGEST_JWT } from '../../contract/jwt.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Identity, Keyring, TokenVerifier } from '../auth.ts';
import { ProblemError } from '../problem.ts';
import { type Holder, readHolder } from './claims.ts';
import { exposedToken } from './exposed.ts';
import { ALGORITHMS, chooseKey, type KeySet, type VerificationKey } from './key-set.ts';
import { type KeySource, KeysAwayError } from './key-source.ts';
import { type Expected, explain, issuedLater, NoKeyError, refused } from './refusal.ts';
import { DEFAULT_SKEW_SECONDS } from './settings.ts';

export interface TokenVerifierOptions {
  readonly keys: KeySource;
  /** Whose fleets may be named. */
  readonly fleets: Keyring;
  readonly clock: Clock;
  /** `iss` of every token. */
  readonly issuer: string;
  /** What `aud` must name. */
  readonly audience: string;
  /** By how much the clocks of the issuer and of this Supervisor may differ, seconds. Default 60. */
  readonly skew_seconds?: number;
  /** How many verified tokens are remembered. Default 10000. */
  readonly remembered?: number;
  /** True for a request that others could read on its way. Default: never. */
  readonly isExposed?: (request: Request) => boolean;
}

const REMEMBERED = 10_000;

interface Verified {
  readonly holder: Holder;
  readonly key: VerificationKey;
  /** Milliseconds since the epoch, the allowed difference of the clocks included. */
  readonly from: number;
  readonly until: number;
  /** Where `key` was found the last time. */
  set: KeySet;
}

/**
 * Takes JWTs of one issuer (RFC 7519; RFC 8725). A verified one is remembered until it expires, and no longer than its key
 * is in the set of the issuer. Refuses with `unauthenticated`, `forbidden` for a request that others could read, and
 * `unavailable` while no keys could be read yet.
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { keys, fleets, clock, remembered: most = REMEMBERED, isExposed } = options;
  const remembered = new Map<string, Verified>();
  const remember = (token: string, verified: Verified) => {
    const oldest = remembered.size >= most ? remembered.keys().next().value : undefined;
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(token, verified);
    return verified;
  };
  const verified = async (token: string) => {
    const set = await keys.current();
    const known = remembered.get(token);
    if (known !== undefined && isGood(known, set, clock.now())) return known;
    remembered.delete(token);
    return remember(token, await verifyAnew(options, token, set));
  };
  return {
    async verify(token, request) {
      if (isExposed?.(request) === true) throw exposedToken();
      if (token.length > LONGEST_JWT) throw refused(`it has more than ${LONGEST_JWT} characters`);
      const { holder } = await verified(token).catch(asProblem);
      return callerOf(fleets, holder);
    },
  };
}

/** The look at the set is all that a request costs whose token was seen before. */
function isGood(known: Verified, set: KeySet, now: number): boolean {
  if (now < known.from || now >= known.until) return false;
  if (known.set !== set && !set.keys.some(({ identity }) => identity === known.key.identity)) return false;
  known.set = set;
  return true;
}

/** A key that is not known may be a new one. */
async function verifyAnew(options: TokenVerifierOptions, token: string, set: KeySet): Promise<Verified> {
  try {
    return await verifyWith(options, token, set);
  } catch (error) {
    const newer = error instanceof NoKeyError ? await options.keys.again() : set;
    if (newer !== set) return verifyWith(options, token, newer).catch((other: unknown) => refuse(options, other));
    return refuse(options, error);
  }
}

function refuse(options: TokenVerifierOptions, error: unknown): never {
  throw error instanceof ProblemError ? error : refused(explain(error, expectedOf(options)));
}

async function verifyWith(options: TokenVerifierOptions, token: string, set: KeySet): Promise<Verified> {
  const { issuer, audience, skew_seconds = DEFAULT_SKEW_SECONDS } = options;
  const expected = expectedOf(options);
  let key: VerificationKey | undefined;
  const { payload } = await jwtVerify(
    token,
    ({ alg, kid }) => {
      const chosen = chooseKey(set, alg, kid);
      if (typeof chosen === 'string') throw new NoKeyError(chosen);
      key = chosen;
      return chosen.key;
    },
    {
      ...{ algorithms: [...ALGORITHMS], issuer, audience, clockTolerance: skew_seconds, requiredClaims: ['exp'] },
      // biome-ignore lint/style/noRestrictedGlobals: a pure conversion that reads no clock
      currentDate: new Date(expected.now),
    },
  );
  if (key === undefined) throw new TypeError('a token was verified without a key');
  const { iat, nbf, exp = 0 } = payload;
  const skew_ms = skew_seconds * 1000;
  if (iat !== undefined && iat * 1000 > expected.now + skew_ms) throw refused(issuedLater(iat, expected));
  const from = Math.max(nbf ?? 0, iat ?? 0) * 1000 - skew_ms;
  return { holder: holderOf(payload), key, from, until: exp * 1000 + skew_ms, set };
}

function holderOf(payload: JWTPayload): Holder {
  const holder = readHolder(payload);
  if (typeof holder === 'string') throw refused(holder);
  return holder;
}

function expectedOf({ issuer, audience, clock }: TokenVerifierOptions): Expected {
  return { issuer, audience, now: clock.now() };
}

/** The keys of the fleet are looked up each time: they may be replaced while a token holds. */
async function callerOf(fleets: Keyring, { fleet, scope, subject }: Holder): Promise<Identity> {
  const isAdmin = scope === 'admin';
  if (isAdmin && fleets.isAdmin === undefined) throw refused('its scope is admin, and nobody makes fleets here');
  if (fleet === undefined) return { scope: 'admin' };
  const keys = await fleets.keysOf(fleet);
  if (keys === undefined) throw refused('there is no such fleet here as its claim "fleet" names');
  // Bound to its fleet by its claim: it does there what an admin may, and makes no fleets.
  if (isAdmin) return { fleet, keys, scope: 'operator', subject, rests_on: 'admin_of_fleet' };
  return { fleet, keys, scope, subject, ...(scope === 'node' ? { node_id: subject } : {}) };
}

function asProblem(error: unknown): never {
  if (error instanceof KeysAwayError) throw new ProblemError('unavailable', `no JWT can be checked now: ${error.message}`);
  throw error;
}
