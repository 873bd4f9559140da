import { createHash } from 'node:crypto';

/** Fixed for good: another one would give every object another UUID. */
const NAMESPACE = Buffer.from('b6b7f0a36c5d5c1e8e0f2f4f0d9a6a11', 'hex');
const CANONICAL = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The UUID under which Weaviate keeps the object `id`. A UUID in small letters is itself, so that objects which others
 * stored are reached by theirs; any other text becomes a UUIDv5 (RFC 9562, section 5.5).
 */
export function uuidOf(id: string): string {
  if (CANONICAL.test(id)) return id;
  const hash = createHash('sha1').update(NAMESPACE).update(id, 'utf8').digest().subarray(0, 16);
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
