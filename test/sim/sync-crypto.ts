import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto';

/**
 * Web Crypto without threads: the same results from Node's synchronous functions, so that nothing in
 * a simulated world leaves the event loop and each seed replays. What was computed once is kept: five nodes sign and verify the same
 * documents again and again. `sync-crypto.test.ts` compares it with the real one.
 */
export function installSyncCrypto(): void {
  for (const [name, method] of Object.entries(createSyncSubtle())) {
    Object.defineProperty(crypto.subtle, name, { value: method, configurable: true, writable: true });
  }
}

type Bytes = ArrayBuffer | ArrayBufferView;
type SyncKey =
  | { readonly kind: 'raw'; readonly id: string; readonly bytes: Buffer; readonly key: KeyObject }
  | { readonly kind: 'ed25519'; readonly id: string; readonly key: KeyObject };

/** Results that are kept; when it is full it is emptied. */
const KEPT = 2_000;

export function createSyncSubtle() {
  const remember = createMemory();
  const digestOf = (bytes: Buffer) => remember(`digest ${bytes.toString('latin1')}`, () => hash('sha256', bytes, 'buffer'));
  const macOf = ({ id, key }: SyncKey, bytes: Buffer) =>
    remember(`mac ${id} ${bytes.toString('latin1')}`, () => createHmac('sha256', key).update(bytes).digest());
  return {
    digest: async (_name: string, data: Bytes) => toArrayBuffer(digestOf(toBuffer(data))),
    importKey: async (format: string, data: Bytes | JsonWebKey, algorithm: unknown) => importKey(format, data, algorithm),
    exportKey: async (_format: string, key: SyncKey) => (key.kind === 'raw' ? toArrayBuffer(key.bytes) : key.key.export({ format: 'jwk' })),
    deriveBits: async ({ salt, info }: { salt: Bytes; info: Bytes }, key: SyncKey, bits: number) =>
      hkdfSync('sha256', rawOf(key), toBuffer(salt), toBuffer(info), bits / 8),
    sign: async (_algorithm: unknown, key: SyncKey, data: Bytes) => {
      const bytes = toBuffer(data);
      if (key.kind === 'raw') return toArrayBuffer(macOf(key, bytes));
      return remember(`sign ${key.id} ${bytes.toString('latin1')}`, () => toArrayBuffer(sign(null, bytes, key.key)));
    },
    verify: async (_algorithm: unknown, key: SyncKey, signature: Bytes, data: Bytes) => {
      const [mark, bytes] = [toBuffer(signature), toBuffer(data)];
      if (key.kind === 'raw') {
        const own = macOf(key, bytes);
        return own.length === mark.length && timingSafeEqual(own, mark);
      }
      return remember(`verify ${key.id} ${mark.toString('latin1')} ${bytes.toString('latin1')}`, () => verify(null, bytes, key.key, mark));
    },
  };
}

function importKey(format: string, data: Bytes | JsonWebKey, algorithm: unknown): SyncKey {
  if (format === 'raw') {
    const bytes = Buffer.from(toBuffer(data as Bytes));
    return { kind: 'raw', id: bytes.toString('hex'), bytes, key: createSecretKey(bytes) };
  }
  if (algorithm !== 'Ed25519') throw new TypeError(`the simulated Web Crypto has no ${format} of ${JSON.stringify(algorithm)}`);
  if (format === 'pkcs8') {
    const bytes = toBuffer(data as Bytes);
    return { kind: 'ed25519', id: digestId(bytes), key: createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' }) };
  }
  const { x = '' } = data as JsonWebKey;
  return { kind: 'ed25519', id: `public ${x}`, key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
}

function digestId(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function rawOf(key: SyncKey): Buffer {
  if (key.kind !== 'raw') throw new TypeError('bits are derived from raw keys only');
  return key.bytes;
}

function toBuffer(data: Bytes): Buffer {
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}

function toArrayBuffer(bytes: Buffer): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

function createMemory() {
  const kept = new Map<string, unknown>();
  return <T>(name: string, compute: () => T): T => {
    // A name holds everything that the result depends on, its type too.
    if (kept.has(name)) return kept.get(name) as T;
    if (kept.size >= KEPT) kept.clear();
    const result = compute();
    kept.set(name, result);
    return result;
  };
}
