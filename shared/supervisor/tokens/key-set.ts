import { importJWK } from 'jose/key/import';
import * as z from 'zod';

/** The signatures that are taken, and no others (RFC 7518, section 3.1; RFC 8037). */
export const ALGORITHMS = ['EdDSA', 'ES256', 'RS256'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** A public key that tokens are signed with. */
export interface VerificationKey {
  readonly kid?: string;
  /** A key is good for one algorithm, whatever a token says. */
  readonly alg: Algorithm;
  /** The same for the same key in another reading of the set. */
  readonly identity: string;
  readonly key: CryptoKey;
}

/** A JSON Web Key Set as it was read once. */
export interface KeySet {
  readonly keys: readonly VerificationKey[];
  /** What the others can't be used for, one sentence each. */
  readonly ignored: readonly string[];
}

/** A text that is no JWKS, or one without any key that could be used. `message` goes on from "the keys in …". */
export class KeySetError extends Error {
  override readonly name = 'KeySetError';
}

/** More keys are no set that anybody rotates. */
const MOST_KEYS = 100;

const part = z.string().max(4096);
const Jwk = z.object({
  kty: part,
  kid: part.optional(),
  use: part.optional(),
  key_ops: z.array(part).optional(),
  alg: part.optional(),
  crv: part.optional(),
  x: part.optional(),
  y: part.optional(),
  n: part.optional(),
  e: part.optional(),
  d: z.unknown().optional(),
  k: z.unknown().optional(),
});
type Jwk = z.infer<typeof Jwk>;
const Jwks = z.object({ keys: z.array(z.unknown()).max(MOST_KEYS) });

/** Reads a JWKS (RFC 7517, section 5). Keys that can't verify a signature are left out. Rejects with `KeySetError`. */
export async function readKeySet(text: string): Promise<KeySet> {
  const { keys: members } = parse(text);
  const read = await Promise.all(members.map((member, index) => readKey(member, `key ${index + 1}`)));
  const keys = read.flatMap((one) => (typeof one === 'string' ? [] : [one]));
  const ignored = read.filter((one) => typeof one === 'string');
  if (keys.length > 0) return { keys, ignored };
  throw new KeySetError(`hold none for ${ALGORITHMS.join(', ')}${ignored.length === 0 ? '' : `: ${ignored.slice(0, 3).join('; ')}`}`);
}

function parse(text: string): z.infer<typeof Jwks> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new KeySetError('are not JSON');
  }
  const parsed = Jwks.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new KeySetError(`are no JWKS: an object with "keys", a list of at most ${MOST_KEYS}`);
}

/** The key, or why it is not used. */
async function readKey(member: unknown, place: string): Promise<VerificationKey | string> {
  const parsed = Jwk.safeParse(member);
  if (!parsed.success) return `${place} is no JSON Web Key`;
  const jwk = parsed.data;
  const name = jwk.kid === undefined ? place : `key ${JSON.stringify(jwk.kid.slice(0, 64))}`;
  if (jwk.d !== undefined || jwk.k !== undefined)
    return `${name} is a private or secret one: whoever reads it can sign tokens, so replace it`;
  const alg = algorithmOf(jwk);
  if (alg === undefined) return `${name} is not for ${ALGORITHMS.join(', ')}`;
  if (!isForSignatures(jwk)) return `${name} is not for signatures`;
  const { kty, crv = '', x = '', y = '', n = '', e = '', kid } = jwk;
  try {
    const key = await importJWK({ kty, ...(kty === 'RSA' ? { n, e } : kty === 'EC' ? { crv, x, y } : { crv, x }) }, alg);
    if (key instanceof Uint8Array || isShort(key)) return `${name} is too short: an RSA key has at least ${SHORTEST_RSA} bits`;
    const identity = [kid ?? '', kty, crv, x, y, n, e].join(' ');
    return { alg, identity, key, ...(kid === undefined ? {} : { kid }) };
  } catch {
    return `${name} is damaged`;
  }
}

/** RFC 7518, section 3.3. */
const SHORTEST_RSA = 2048;

function isShort({ algorithm }: CryptoKey): boolean {
  return 'modulusLength' in algorithm && Number(algorithm.modulusLength) < SHORTEST_RSA;
}

function algorithmOf({ kty, crv, alg }: Jwk): Algorithm | undefined {
  const only =
    kty === 'RSA' ? 'RS256' : kty === 'EC' && crv === 'P-256' ? 'ES256' : kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : undefined;
  return alg === undefined || alg === only ? only : undefined;
}

function isForSignatures({ use, key_ops }: Jwk): boolean {
  return (use === undefined || use === 'sig') && (key_ops === undefined || key_ops.includes('verify'));
}

/** Why no key was chosen for a token. */
export type NoKey = 'unknown_kid' | 'other_type' | 'no_kid';

/** The one key that a token can be signed with. A token without a `kid` is taken where only one key comes into question. */
export function chooseKey({ keys }: KeySet, alg: string | undefined, kid: string | undefined): VerificationKey | NoKey {
  const named = kid === undefined ? keys : keys.filter((one) => one.kid === kid);
  if (named.length === 0) return 'unknown_kid';
  const fitting = named.filter((one) => one.alg === alg);
  if (fitting.length > 1) return 'no_kid';
  return fitting[0] ?? 'other_type';
}
