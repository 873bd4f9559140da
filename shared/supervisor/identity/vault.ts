import { fromBase64Url, toBase64Url } from '../../contract/base64url.ts';
import type { Random } from '../../ports/random.ts';

/** Layout: version (1 byte), which secret (4 bytes), nonce (12 bytes), ciphertext with its tag. */
const VERSION = 1;
const ID_BYTES = 4;
const NONCE_BYTES = 12;
const HEAD_BYTES = 1 + ID_BYTES + NONCE_BYTES;

const encoder = new TextEncoder();

/** What is sealed can't be opened; `message` says what to do. */
export class VaultError extends Error {
  override readonly name = 'VaultError';
}

export interface Opened {
  readonly text: string;
  /** Sealed under the secret of before: to be sealed again. */
  readonly stale: boolean;
}

/** Keeps texts that only who knows the secret can read. */
export interface Vault {
  /** base64url. `fleet` is covered too: what is sealed for one fleet opens for no other. */
  seal(fleet: string, text: string): Promise<string>;
  /** Rejects with `VaultError`. */
  open(fleet: string, sealed: string): Promise<Opened>;
}

export interface VaultParts {
  readonly secret: string;
  /** The secret that `secret` replaces. */
  readonly previous?: string | undefined;
  readonly random: Pick<Random, 'bytes'>;
}

/** AES-256-GCM under a key that is derived from a secret (HKDF-SHA256, RFC 5869), with a nonce of 96 random bits. */
export async function createVault({ secret, previous, random }: VaultParts): Promise<Vault> {
  const current = await deriveKey(secret);
  const keys = previous === undefined ? [current] : [current, await deriveKey(previous)];
  return {
    async seal(fleet, text) {
      const nonce = random.bytes(NONCE_BYTES);
      const sealed = await crypto.subtle.encrypt(parametersOf(fleet, nonce), current.key, encoder.encode(text));
      return toBase64Url(new Uint8Array([VERSION, ...current.id, ...nonce, ...new Uint8Array(sealed)]));
    },
    async open(fleet, sealed) {
      const bytes = fromBase64Url(sealed);
      if (bytes === undefined || bytes.length <= HEAD_BYTES || bytes[0] !== VERSION) {
        throw new VaultError(`the key of fleet ${fleet} is kept in a form that this version of bootplane does not know`);
      }
      const id = bytes.subarray(1, 1 + ID_BYTES).toString();
      const key = keys.find((one) => one.id.toString() === id);
      if (key === undefined) {
        throw new VaultError(
          `the key of fleet ${fleet} was sealed under another BOOTPLANE_SECRET: set BOOTPLANE_SECRET_PREVIOUS to the secret of before`,
        );
      }
      return { text: await decrypt(key.key, fleet, bytes), stale: key !== current };
    },
  };
}

async function decrypt(key: CryptoKey, fleet: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const nonce = bytes.subarray(1 + ID_BYTES, HEAD_BYTES);
  try {
    return new TextDecoder().decode(await crypto.subtle.decrypt(parametersOf(fleet, nonce), key, bytes.subarray(HEAD_BYTES)));
  } catch {
    throw new VaultError(`the key of fleet ${fleet} does not open: its row was changed by something else`);
  }
}

interface SecretKey {
  readonly id: Uint8Array;
  readonly key: CryptoKey;
}

async function deriveKey(secret: string): Promise<SecretKey> {
  const root = await crypto.subtle.importKey('raw', encoder.encode(secret), 'HKDF', false, ['deriveBits', 'deriveKey']);
  const parameters = (label: string) => ({
    name: 'HKDF',
    hash: 'SHA-256',
    salt: encoder.encode('bootplane'),
    info: encoder.encode(`bootplane/v1/${label}`),
  });
  const id = new Uint8Array(await crypto.subtle.deriveBits(parameters('vault-id'), root, ID_BYTES * 8));
  const aes = { name: 'AES-GCM', length: 256 };
  return { id, key: await crypto.subtle.deriveKey(parameters('vault'), root, aes, false, ['encrypt', 'decrypt']) };
}

function parametersOf(fleet: string, iv: Uint8Array<ArrayBuffer>) {
  return { name: 'AES-GCM', iv, additionalData: encoder.encode(`fleet-key\n${fleet}`) };
}
