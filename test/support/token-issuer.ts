import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { ALGORITHMS, type Algorithm } from '../../shared/supervisor/tokens/key-set.ts';

export const ISSUER = 'https://id.example.com/';
export const AUDIENCE = 'bootplane';

export interface MadeKey {
  readonly kid: string;
  readonly alg: Algorithm;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  /** Public, as it stands in a JWKS. */
  readonly jwk: Record<string, unknown>;
}

export async function makeKey(kid: string, alg: Algorithm): Promise<MadeKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** One key for each algorithm, its kid the algorithm in lower case. */
export async function makeKeys(): Promise<Record<Algorithm, MadeKey>> {
  const made = await Promise.all(ALGORITHMS.map(async (alg) => [alg, await makeKey(alg.toLowerCase(), alg)] as const));
  return Object.fromEntries(made) as Record<Algorithm, MadeKey>;
}

export function jwksOf(...keys: readonly MadeKey[]): string {
  return JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
}

/** What a good token says at `now`, milliseconds; undefined leaves a claim out. */
export function claimsAt(now: number, more: Record<string, unknown> = {}): JWTPayload {
  const seconds = Math.floor(now / 1000);
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: 'a', fleet: 'default', scope: 'node', iat: seconds, exp: seconds + 600, ...more };
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

export function sign({ privateKey, kid, alg }: MadeKey, claims: JWTPayload, header: Record<string, unknown> = {}): Promise<string> {
  const protectedHeader = Object.fromEntries(Object.entries({ alg, kid, ...header }).filter(([, value]) => value !== undefined));
  return new SignJWT(claims).setProtectedHeader({ alg, ...protectedHeader }).sign(privateKey);
}

export function encode(value: unknown): string {
  return encodeBytes(new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)));
}

export function encodeBytes(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** A token that no library would make. */
export async function forge(
  header: unknown,
  claims: unknown,
  signature: (text: string) => Promise<Uint8Array> = async () => new Uint8Array(),
): Promise<string> {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${encodeBytes(await signature(text))}`;
}

/** HMAC-SHA256 under any bytes, as one who takes a public key for a secret would make it. */
export function hmacWith(secret: Uint8Array): (text: string) => Promise<Uint8Array> {
  return async (text) => {
    const key = await crypto.subtle.importKey('raw', new Uint8Array(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return new Uint8Array(await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(text)));
  };
}
