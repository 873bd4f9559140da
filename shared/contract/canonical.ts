import canonicalize from 'canonicalize';

const encoder = new TextEncoder();

/** The RFC 8785 form of a JSON value. Throws on what has none: NaN, cycles, halves of surrogate pairs. */
export function canonicalJson(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('not a JSON value');
  return text;
}

/** Lower-case hex of the SHA-256 of a text (UTF-8) or of bytes. */
export async function sha256Hex(data: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof data === 'string' ? encoder.encode(data) : data;
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}

/** The hash of a desired document: SHA-256 of its canonical form, lower-case hex. Rejects when it has no such form. */
export async function documentHash(body: unknown): Promise<string> {
  return sha256Hex(canonicalJson(body));
}

/**
 * Names one apply (specification, section 6): SHA-256 of node id, component, generation and desired
 * hash, each followed by a newline.
 */
export function idempotencyKey(node_id: string, component: string, generation: number, hash: string): Promise<string> {
  return sha256Hex(`${node_id}\n${component}\n${generation}\n${hash}\n`);
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
