import { errors } from 'jose';
import { toTimestamp } from '../../contract/ids.ts';
import { unauthenticated } from '../auth.ts';
import type { ProblemError } from '../problem.ts';
import { ALGORITHMS, type NoKey } from './key-set.ts';

/** No key of the set can have signed the token. */
export class NoKeyError extends Error {
  override readonly name = 'NoKeyError';
  readonly why: NoKey;
  constructor(why: NoKey) {
    super(why);
    this.why = why;
  }
}

export interface Expected {
  readonly issuer: string;
  readonly audience: string;
  /** Milliseconds since the epoch, by the clock of this Supervisor. */
  readonly now: number;
}

/** The problem for a token; `why` goes on from "the JWT is refused: ". What a token says is shown only when its signature holds. */
export function refused(why: string): ProblemError {
  return unauthenticated(`the JWT is refused: ${why}`);
}

const NO_KEY: Record<NoKey, string> = {
  unknown_kid: 'no key of the issuer has the "kid" that it names',
  other_type: 'the key that it names is not for the algorithm that it names',
  no_kid: 'more than one key of the issuer may have signed it; it must name one with "kid"',
};

/** In words what is wrong with a token that jose refused. */
export function explain(error: unknown, expected: Expected): string {
  if (error instanceof NoKeyError) return NO_KEY[error.why];
  if (error instanceof errors.JWTExpired) return `it expired at ${timeOf(error.payload.exp)}${clockOf(expected)}`;
  if (error instanceof errors.JWTClaimValidationFailed) return explainClaim(error, expected);
  if (error instanceof errors.JOSEAlgNotAllowed) return `its algorithm is none of ${ALGORITHMS.join(', ')}`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'its signature does not hold';
  return 'it is malformed';
}

function explainClaim({ claim, reason, payload }: errors.JWTClaimValidationFailed, expected: Expected): string {
  if (reason === 'missing') return `it has no claim "${claim}"`;
  if (reason === 'invalid') return `its claim "${claim}" is not of the right type`;
  if (claim === 'iss') return `it is not of the issuer ${expected.issuer}`;
  if (claim === 'aud') return `it is not for the audience ${expected.audience}`;
  if (claim === 'nbf') return `it holds only from ${timeOf(payload.nbf)} on${clockOf(expected)}`;
  return `its claim "${claim}" does not hold`;
}

export function issuedLater(iat: number, expected: Expected): string {
  return `it was issued in the future, at ${timeOf(iat)}${clockOf(expected)}`;
}

/** The one of the two clocks that is wrong may be this one. */
function clockOf({ now }: Expected): string {
  return `, and the clock here says ${timeOf(now / 1000)}`;
}

/** ECMAScript, section 21.4.1.1. */
const LATEST_MS = 8.64e15;

/** A time beyond that has no such form. */
function timeOf(seconds: number | undefined): string {
  const at = (seconds ?? Number.NaN) * 1000;
  return Math.abs(at) <= LATEST_MS ? toTimestamp(at) : 'no time that there is';
}
