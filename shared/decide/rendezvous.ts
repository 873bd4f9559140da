const encoder = new TextEncoder();

/**
 * MurmurHash3 x86_32 of a text's UTF-8 bytes, as an unsigned 32-bit number.
 * Algorithm: Austin Appleby, public domain, https://github.com/aappleby/smhasher (MurmurHash3.cpp).
 * Good for spreading; no protection against someone who chooses the names.
 */
export function murmur3(text: string, seed = 0): number {
  const bytes = encoder.encode(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tail = bytes.length & ~3;
  let hash = seed;
  for (let offset = 0; offset < tail; offset += 4) {
    hash ^= scramble(view.getUint32(offset, true));
    hash = (Math.imul(rotate(hash, 13), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let offset = bytes.length - 1; offset >= tail; offset -= 1) rest = (rest << 8) | view.getUint8(offset);
  return finish(hash ^ scramble(rest) ^ bytes.length);
}

/**
 * Orders ids by their score for a key, best first (rendezvous or highest-random-weight hashing:
 * Thaler and Ravishankar, 1998). Removing an id leaves the order of the others as it was, so only the
 * keys that it was best for go elsewhere. The order of the input does not matter.
 */
export function rankByRendezvous(key: string, ids: readonly string[]): string[] {
  return rankHashed(key, ids.map(hashed)).map(({ id }) => id);
}

/** An id with its hash, for who ranks the same ids for many keys. */
export interface Hashed {
  readonly id: string;
  readonly hash: number;
}

export function hashed(id: string): Hashed {
  return { id, hash: murmur3(id) };
}

/** As `rankByRendezvous`, for ids that were hashed before. The score mixes the hashes of key and id once more. */
export function rankHashed<T extends Hashed>(key: string, ids: readonly T[]): T[] {
  const seed = murmur3(key);
  return ids
    .map((one) => ({ one, score: finish(one.hash ^ seed) }))
    .sort((a, b) => b.score - a.score || compareText(a.one.id, b.one.id))
    .map(({ one }) => one);
}

/** Orders texts by code unit, the same on every machine whatever its language. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function scramble(block: number): number {
  return Math.imul(rotate(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function finish(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
