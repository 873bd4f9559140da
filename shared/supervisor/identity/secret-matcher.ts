import type { Random } from '../../ports/random.ts';

const encoder = new TextEncoder();

/**
 * Compares texts with a secret in time that does not depend on where the two differ: both are hashed under a key that
 * nobody knows.
 */
export async function secretMatcher(secret: string, random: Pick<Random, 'bytes'>): Promise<(presented: string) => Promise<boolean>> {
  const key = await crypto.subtle.importKey('raw', random.bytes(32), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
  const mac = await crypto.subtle.sign('HMAC', key, encoder.encode(secret));
  return (presented) => crypto.subtle.verify('HMAC', key, mac, encoder.encode(presented));
}
