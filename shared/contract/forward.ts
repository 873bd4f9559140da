import { fromBase64Url, toBase64Url } from './base64url.ts';
import type { FleetKeys } from './fleet-keys.ts';
import { SUBJECT } from './jwt.ts';

/** On every request that a node passes on: it goes one hop and no further. */
export const FORWARDED_HEADER = 'Bootplane-Forwarded';
/** What the header says where the caller's own credential goes along. */
export const PASSED_ON = '1';

/** The scopes that a caller can have on its way through another node which knows whose the credential is. */
export const FORWARDED_SCOPES = ['node', 'viewer', 'operator'] as const;
const SHA256_HEX = /^[0-9a-f]{64}$/;
/**
 * What `WWW-Authenticate` says where the request was passed on as it should, and the issued key of its caller is not
 * good (RFC 6750, section 3.1). Any other 401 is about the node that passes it on.
 */
export const KEY_REFUSED = 'Bearer error="invalid_token"';

/**
 * What a node says of a caller. The credential of that caller stays with the node; this stands in for it, for
 * one request, at one leader, in one epoch.
 */
export type ForwardedCaller = (KnownCaller | KeyHolder) & Passage;

/** Whom the node has authenticated itself. */
export interface KnownCaller {
  readonly scope: (typeof FORWARDED_SCOPES)[number];
  /** The node that the caller's credential is of, if it is a node's. */
  readonly caller_node_id?: string;
  /** Whose JWT it was, as its issuer names the holder, if the caller came with one. */
  readonly subject?: string;
}

/** Who holds an issued key, which the leader alone knows: it says what the key allows, or that it is not good. */
export interface KeyHolder {
  readonly scope: 'issued';
  readonly key_id: string;
  /** Of the whole key, hex: all that the leader keeps of it. */
  readonly key_sha256: string;
}

interface Passage {
  /** Origin of the leader as it was dialled. */
  readonly to: string;
  /** The epoch at which that one leads, as the node believes. */
  readonly epoch: number;
  /** As `forwardNonce` makes it: `<instance_id of the node that passes it on>.<counter>`, never used twice. */
  readonly nonce: string;
  /** Of the bytes of the body, also of none. Absent only where the path itself names the hash of the body. */
  readonly body_sha256?: string;
  /**
   * Present where a subject is named, which it signs (`signSubject`). It is signed beside the rest, since leaders of before
   * know no such field and check the rest as they always did. That there is one stands in the nonce, which they check
   * too: nobody on the way can take it away.
   */
  readonly subject_mac?: string;
}

/** The parts of a request that the signature covers beside the caller. */
export interface ForwardedRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly if_match: string | null;
}

/** Ends the sender in the nonce of a request that names a subject. */
const WITH_SUBJECT = '-s';
const NAMES_SUBJECT = /-s\.\d+$/;

/** A nonce that was not used before, where `counter` was not. Says whether the claims name a subject. */
export function forwardNonce(instance_id: string, counter: number, caller: KnownCaller | KeyHolder): string {
  return `${instance_id}${subjectOf(caller) === undefined ? '' : WITH_SUBJECT}.${counter}`;
}

function subjectOf(caller: KnownCaller | KeyHolder): string | undefined {
  return caller.scope === 'issued' ? undefined : caller.subject;
}

export interface ForwardCredential {
  readonly fleet: string;
  /** The node that passes the request on. */
  readonly node_id: string;
  readonly mac: string;
}

const CREDENTIAL = /^bpf~([^~]+)~([^~]+)~([^~]+)$/;

/** Undefined for a credential of another kind; says nothing about whether it is genuine. */
export function parseForwardCredential(credential: string): ForwardCredential | undefined {
  const [, fleet, node_id, mac] = CREDENTIAL.exec(credential) ?? [];
  return fleet === undefined || node_id === undefined || mac === undefined ? undefined : { fleet, node_id, mac };
}

/**
 * As `scope=operator, to=http://192.0.2.7:7420, epoch=7, nonce=0190….12, body_sha256=…`, or for an issued key
 * `scope=issued, key_id=…, key_sha256=…, to=…`.
 */
export function formatForwarded(caller: ForwardedCaller): string {
  const { to, epoch, nonce, body_sha256, subject_mac } = caller;
  const text = subjectOf(caller);
  const subject = text === undefined ? undefined : toBase64Url(new TextEncoder().encode(text));
  const fields = { ...whoOf(caller), subject, subject_mac, to, epoch, nonce, body_sha256 };
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

/** Undefined for a text that does not say all of it. */
export function parseForwarded(text: string): ForwardedCaller | undefined {
  const fields = new Map(text.split(', ').map((field) => [field.slice(0, field.indexOf('=')), field.slice(field.indexOf('=') + 1)]));
  const who = parseWho(fields);
  const [to, epoch, nonce] = [fields.get('to'), fields.get('epoch') ?? '', fields.get('nonce')];
  if (who === undefined || to === undefined || nonce === undefined || !/^\d{1,15}$/.test(epoch)) return undefined;
  const [body_sha256, subject_mac] = [fields.get('body_sha256'), fields.get('subject_mac')];
  const signed = subject_mac === undefined ? {} : { subject_mac };
  return { ...who, to, epoch: Number(epoch), nonce, ...(body_sha256 === undefined ? {} : { body_sha256 }), ...signed };
}

function parseWho(fields: ReadonlyMap<string, string>): KnownCaller | KeyHolder | undefined {
  const [key_id, key_sha256] = [fields.get('key_id'), fields.get('key_sha256') ?? ''];
  if (fields.get('scope') === 'issued') {
    return key_id === undefined || !SHA256_HEX.test(key_sha256) ? undefined : { scope: 'issued', key_id, key_sha256 };
  }
  const scope = FORWARDED_SCOPES.find((one) => one === fields.get('scope'));
  const caller_node_id = fields.get('caller_node_id');
  const subject = parseSubject(fields.get('subject'));
  if (scope === undefined || subject === false) return undefined;
  return { scope, ...(caller_node_id === undefined ? {} : { caller_node_id }), ...(subject === undefined ? {} : { subject }) };
}

/** False for what no subject can be. */
function parseSubject(text: string | undefined): string | undefined | false {
  if (text === undefined) return undefined;
  const bytes = fromBase64Url(text);
  const subject = bytes === undefined ? '' : new TextDecoder().decode(bytes);
  return SUBJECT.test(subject) && subject;
}

type Keys = Pick<FleetKeys, 'fleet' | 'signForward' | 'verifyForward'>;

/** The credential with which `node_id` passes one request on. */
export async function signForward(keys: Keys, node_id: string, caller: ForwardedCaller, request: ForwardedRequest): Promise<string> {
  return `bpf~${keys.fleet}~${node_id}~${await keys.signForward(covered(keys.fleet, node_id, caller, request))}`;
}

/** The claims with what signs the subject in them, if they name one. */
export async function signSubject(keys: Keys, node_id: string, caller: ForwardedCaller): Promise<ForwardedCaller> {
  const claims = coveredSubject(keys.fleet, node_id, caller);
  return claims === undefined ? caller : { ...caller, subject_mac: await keys.signForward(claims) };
}

/** True when a node that knows the fleet has signed exactly this. Says nothing about whether it was used before. */
export async function verifyForward(
  keys: Keys,
  { node_id, mac }: ForwardCredential,
  caller: ForwardedCaller,
  request: ForwardedRequest,
): Promise<boolean> {
  const claims = coveredSubject(keys.fleet, node_id, caller);
  if (NAMES_SUBJECT.test(caller.nonce) !== (claims !== undefined)) return false;
  if (claims !== undefined && !(await keys.verifyForward(claims, caller.subject_mac ?? ''))) return false;
  return keys.verifyForward(covered(keys.fleet, node_id, caller, request), mac);
}

/** By its nonce it is of one request only. */
function coveredSubject(fleet: string, node_id: string, caller: ForwardedCaller) {
  const { to, epoch, nonce } = caller;
  const subject = subjectOf(caller);
  return subject === undefined ? undefined : { purpose: 'forward-subject', fleet, node_id, to, epoch, nonce, subject };
}

/** Field by field: what is not named here is not covered. */
function covered(fleet: string, node_id: string, caller: ForwardedCaller, { method, path, if_match }: ForwardedRequest) {
  const { to, epoch, nonce, body_sha256 = null } = caller;
  return {
    purpose: 'forward',
    fleet,
    node_id,
    method,
    path,
    if_match,
    caller_node_id: null,
    ...whoOf(caller),
    to,
    epoch,
    nonce,
    body_sha256,
  };
}

/** The fields of one kind are not those of the other: no signature for the one holds for the other. */
function whoOf(caller: KnownCaller | KeyHolder) {
  if (caller.scope === 'issued') return { scope: caller.scope, key_id: caller.key_id, key_sha256: caller.key_sha256 };
  const { scope, caller_node_id } = caller;
  return { scope, ...(caller_node_id === undefined ? {} : { caller_node_id }) };
}
