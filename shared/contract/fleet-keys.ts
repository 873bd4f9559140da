import { fromBase64Url, toBase64Url } from './base64url.ts';
import { canonicalJson } from './canonical.ts';

/** What a node has of its fleet: it holds the fleet key, or has joined without it. */
export type NodeKeys = FleetKeys | MemberKeys;

/** What either has. */
interface CommonKeys {
  readonly fleet: string;
  /** HMAC-SHA256 over canonical JSON, base64url: adverts and leader proofs. */
  signHint(value: { purpose: string } & Record<string, unknown>): Promise<string>;
  verifyHint(value: { purpose: string } & Record<string, unknown>, signature: string): Promise<boolean>;
  /** The node that a credential belongs to, or undefined when it is not one that can be told here. */
  verifyNodeCredential(credential: string): Promise<string | undefined>;
  /** The token of one service on one node, good for the data API of that node only. The same at each start. */
  serviceToken(node_id: string, service: string): Promise<string>;
  /** Whose a token is, or undefined when it is not one of this fleet. */
  verifyServiceToken(token: string): Promise<ServiceTokenOwner | undefined>;
  /** Tells whether desired documents may be believed. */
  readonly documents: DocumentVerifier;
  /** Public keys of fleet keys that hold no more: what was verified and stored here is read by them, and nothing new is believed. */
  readonly retired_document_keys?: readonly string[];
  /** Until when those of a fleet key are good that this one replaces, milliseconds since the Unix epoch. */
  readonly replaces_until?: number;
}

/**
 * Of a node that has joined without the fleet key (`member-keys.ts`). It verifies what the fleet signs, and signs hints; it
 * signs no document, knows no credential of others and vouches for nobody.
 */
export interface MemberKeys extends CommonKeys {
  readonly node_id: string;
  /** Stands for this node inside its own process, and opens its own Supervisor alone: to others goes what they gave this node. */
  readonly local_credential: string;
  /** True for the key of the node's own directory: who has it decides about this node and nothing else. */
  isLocalKey(presented: string): Promise<boolean>;
}

/**
 * Everything that is derived from a fleet key (HKDF-SHA256, RFC 5869, one label per purpose). Who
 * holds the fleet key can recompute all of it, so no list of credentials is kept anywhere.
 */
export interface FleetKeys extends CommonKeys {
  /** HMAC-SHA256 over canonical JSON, base64url: requests that a node passes on to its leader (`forward.ts`). */
  signForward(value: { purpose: string } & Record<string, unknown>): Promise<string>;
  verifyForward(value: { purpose: string } & Record<string, unknown>, signature: string): Promise<boolean>;
  /** The credential of one node, good for acting as that node only. */
  nodeCredential(node_id: string): Promise<string>;
  /** Compares in time that does not depend on where the two differ. */
  isFleetKey(presented: string): Promise<boolean>;
  /** The key behind `signHint`, 32 bytes as base64url: what a node is given that joins without the fleet key. */
  readonly discovery_key: string;
  /** Signs desired documents. */
  readonly documents: DocumentSigner;
}

/** True for the keys of who holds the fleet key. */
export function isKeyHolder(keys: NodeKeys): keys is FleetKeys {
  return 'isFleetKey' in keys;
}

export interface ServiceTokenOwner {
  readonly node_id: string;
  readonly service: string;
}

export interface DocumentSigner extends DocumentVerifier {
  sign(value: { purpose: string } & Record<string, unknown>): Promise<string>;
}

export interface DocumentVerifier {
  /** Names the key: the first 16 base64url characters of its public half. */
  readonly key_id: string;
  /** The public half, 32 bytes as base64url. */
  readonly public_key: string;
  /** Keys that documents may be signed with beside this one, as while a fleet key is replaced. */
  readonly others?: readonly DocumentVerifier[];
  verify(value: { purpose: string } & Record<string, unknown>, signature: string): Promise<boolean>;
}

/** The shortest fleet key that is accepted, in characters. */
export const MIN_FLEET_KEY_LENGTH = 20;

const encoder = new TextEncoder();
const CREDENTIAL = /^bpn~([^~]+)~([^~]+)~([^~]+)$/;
const MADE_KEY = /^bpk~([^~]+)~[^~]+$/;
const SERVICE_TOKEN_WITHIN = /bps~[^~]+~[^~]+~[^~]+~[^~]/;
const SERVICE_TOKEN = /^bps~([^~]+)~([^~]+)~([^~]+)~([^~]+)$/;

/** Derives the keys of `fleet` from its fleet key. */
export async function deriveFleetKeys(fleet: string, fleetKey: string): Promise<FleetKeys> {
  const root = await crypto.subtle.importKey('raw', encoder.encode(fleetKey), 'HKDF', false, ['deriveBits']);
  const derive = async (label: string) => {
    const info = encoder.encode(`bootplane/v1/${label}`);
    const parameters = { name: 'HKDF', hash: 'SHA-256', salt: encoder.encode(fleet), info };
    return new Uint8Array(await crypto.subtle.deriveBits(parameters, root, 256));
  };
  const discovery_bytes = await derive('discovery');
  const forwards = await hmacKey(await derive('forward'));
  const credentials = await hmacKey(await derive('node-credential'));
  const services = await hmacKey(await derive('service-token'));
  const comparison = await hmacKey(await derive('comparison'));
  const fleetKeyMac = await mac(comparison, fleetKey);
  return {
    fleet,
    ...(await hintsOf(discovery_bytes)),
    signForward: async (value) => toBase64Url(await mac(forwards, canonicalJson(value))),
    verifyForward: (value, signature) => verifySigned(forwards, signature, value),
    nodeCredential: async (node_id) => `bpn~${fleet}~${node_id}~${toBase64Url(await mac(credentials, node_id))}`,
    verifyNodeCredential: (credential) => verifyCredential(fleet, credentials, credential),
    serviceToken: async (node_id, service) =>
      `bps~${fleet}~${node_id}~${service}~${toBase64Url(await mac(services, ownerText({ node_id, service })))}`,
    verifyServiceToken: (token) => verifyServiceToken(fleet, services, token),
    isFleetKey: (presented) => crypto.subtle.verify('HMAC', comparison, fleetKeyMac, encoder.encode(presented)),
    discovery_key: toBase64Url(discovery_bytes),
    documents: await ed25519FromSeed(await derive('document')),
  };
}

/** Signs and verifies hints with a discovery key, which is 32 bytes. */
export async function hintsOf(discovery_key: Uint8Array<ArrayBuffer>): Promise<Pick<NodeKeys, 'signHint' | 'verifyHint'>> {
  const key = await hmacKey(discovery_key);
  return {
    signHint: async (value) => toBase64Url(await mac(key, canonicalJson(value))),
    verifyHint: (value, signature) => verifySigned(key, signature, value),
  };
}

/** The fleet that a node credential or a service token claims to be of; says nothing about whether it is genuine. */
export function fleetOfCredential(credential: string): string | undefined {
  return (CREDENTIAL.exec(credential) ?? SERVICE_TOKEN.exec(credential))?.[1];
}

/** The node and the fleet that a derived credential claims to be of; says nothing about whether it is genuine. */
export function nodeOfCredential(credential: string): { readonly fleet: string; readonly node_id: string } | undefined {
  const [, fleet, node_id] = CREDENTIAL.exec(credential) ?? [];
  return fleet === undefined || node_id === undefined ? undefined : { fleet, node_id };
}

/**
 * A fleet key that says which fleet it is of, so that a Supervisor of many finds it: `random` (32 bytes) behind
 * the name. The whole text is the key.
 */
export function makeFleetKey(fleet: string, random: Uint8Array): string {
  return `bpk~${fleet}~${toBase64Url(random)}`;
}

/** The fleet that a fleet key names; undefined for one that names none. */
export function fleetOfKey(key: string): string | undefined {
  return MADE_KEY.exec(key)?.[1];
}

/** True for what has the form of a service token; says nothing about whether it is genuine. */
export function isServiceToken(credential: string): boolean {
  return SERVICE_TOKEN.test(credential);
}

/** True for a text that has a service token anywhere in it. The form tells it from an id that ends in `bps`. */
export function holdsServiceToken(text: string): boolean {
  return SERVICE_TOKEN_WITHIN.test(text);
}

async function verifyServiceToken(fleet: string, key: CryptoKey, token: string): Promise<ServiceTokenOwner | undefined> {
  const [, claimedFleet, node_id, service, signature] = SERVICE_TOKEN.exec(token) ?? [];
  if (claimedFleet !== fleet || node_id === undefined || service === undefined || signature === undefined) return undefined;
  return (await verifyMac(key, signature, ownerText({ node_id, service }))) ? { node_id, service } : undefined;
}

/** No id holds a newline, so no two owners have one text. */
function ownerText({ node_id, service }: ServiceTokenOwner): string {
  return `${node_id}\n${service}`;
}

async function verifyCredential(fleet: string, key: CryptoKey, credential: string): Promise<string | undefined> {
  const [, claimedFleet, node_id, signature] = CREDENTIAL.exec(credential) ?? [];
  if (claimedFleet !== fleet || node_id === undefined || signature === undefined) return undefined;
  return (await verifyMac(key, signature, node_id)) ? node_id : undefined;
}

function hmacKey(bytes: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
}

async function mac(key: CryptoKey, text: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(text)));
}

/** False also for what has no canonical form. Never rejects. */
async function verifySigned(key: CryptoKey, signature: string, value: Record<string, unknown>): Promise<boolean> {
  const text = canonicalText(value);
  return text !== undefined && verifyMac(key, signature, text);
}

/** Undefined for what has no canonical form, such as text with half a character: nobody can have signed it. */
function canonicalText(value: Record<string, unknown>): string | undefined {
  try {
    return canonicalJson(value);
  } catch {
    return undefined;
  }
}

async function verifyMac(key: CryptoKey, signature: string, text: string): Promise<boolean> {
  const bytes = fromBase64Url(signature);
  return bytes !== undefined && crypto.subtle.verify('HMAC', key, bytes, encoder.encode(text));
}

/** The fixed PKCS #8 header of an Ed25519 private key; the 32 byte seed follows (RFC 8410, section 7). */
const PKCS8_ED25519 = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]);

async function ed25519FromSeed(seed: Uint8Array): Promise<DocumentSigner> {
  const pkcs8 = new Uint8Array([...PKCS8_ED25519, ...seed]);
  const privateKey = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign']);
  const exported = await crypto.subtle.exportKey('jwk', privateKey);
  const x = 'x' in exported ? exported.x : undefined;
  if (x === undefined) throw new TypeError('this runtime exports no public half of an Ed25519 key');
  return {
    ...(await documentVerifier(x)),
    sign: async (value) =>
      toBase64Url(new Uint8Array(await crypto.subtle.sign('Ed25519', privateKey, encoder.encode(canonicalJson(value))))),
  };
}

/** Length of an Ed25519 signature (RFC 8032). */
const ED25519_BYTES = 64;

/** Verifies with a public key: the 32 bytes of it as base64url. */
export async function documentVerifier(publicKey: string): Promise<DocumentVerifier> {
  const key = await crypto.subtle.importKey('jwk', { kty: 'OKP', crv: 'Ed25519', x: publicKey }, 'Ed25519', true, ['verify']);
  return {
    key_id: publicKey.slice(0, 16),
    public_key: publicKey,
    verify: async (value, signature) => {
      const bytes = fromBase64Url(signature);
      // Some runtimes throw for a signature of the wrong length where others say false.
      const text = canonicalText(value);
      if (bytes?.length !== ED25519_BYTES || text === undefined) return false;
      return crypto.subtle.verify('Ed25519', key, bytes, encoder.encode(text));
    },
  };
}
