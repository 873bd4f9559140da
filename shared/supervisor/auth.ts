import { type FleetKeys, fleetOfCredential, holdsServiceToken, isServiceToken } from '../contract/fleet-keys.ts';
import { type ForwardCredential, parseForwardCredential } from '../contract/forward.ts';
import { ProblemError } from './problem.ts';

/**
 * What a credential allows. `node`: acting as its own node. `operator`: everything, for any node of the fleet.
 * `service`: the data API of its own node, and nothing else.
 */
export type Scope = Caller['scope'];

/** What a route asks for. `open`: nothing. `any`: any credential of the fleet. */
export type RouteScope = 'open' | 'any' | Scope;

/** Where the keys of fleets come from. */
export interface Keyring {
  /** The fleet that a fleet key is compared with; node credentials name their own. */
  readonly default_fleet: string;
  keysOf(fleet: string): Promise<FleetKeys | undefined>;
}

export type Caller = FleetCaller | ServiceCaller;

export interface FleetCaller {
  readonly fleet: string;
  readonly keys: FleetKeys;
  readonly scope: 'node' | 'viewer' | 'operator';
  /** Of a node's credential. */
  readonly node_id?: string;
}

export interface ServiceCaller {
  readonly fleet: string;
  readonly keys: FleetKeys;
  readonly scope: 'service';
  /** The node that started the service. */
  readonly node_id: string;
  readonly service: string;
}

export type Authenticate = (request: Request) => Caller | undefined | Promise<Caller>;

/** Tells for whom another node passes a request on. Throws a problem when that does not hold. */
export type VerifyForwarded = (request: Request, credential: ForwardCredential) => Promise<FleetCaller>;

/** Takes JWTs. */
export interface TokenVerifier {
  /** Who holds a token. Throws or rejects with the problem `unauthenticated` for one that is not good, now and in this request. */
  verify(token: string, request: Request): Caller | Promise<Caller>;
}

/** Verified credentials that are remembered: a check costs more than the rest of a heartbeat. */
const REMEMBERED = 65_536;
const LONGEST = 1024;
const BEARER = 'bearer ';
/** How the credential of a request starts that a node passes on for a caller. */
const FORWARD = 'bpf~';
/** A JWS in compact form (RFC 7515, section 7.1): its first part is JSON that begins with `{`. Without a signature its last part is empty. */
const JWT = /^e[yw][\w-]*\.[\w-]+\.[\w-]*$/;

/**
 * Tells who calls: undefined without a credential. Throws the problem `unauthenticated` for one that
 * is not of a fleet in the keyring. Calls that other nodes pass on are taken only with `forwarded`;
 * what that throws is thrown. JWTs are taken only with `tokens`, which remembers them itself, since they expire.
 *
 * Verified credentials are looked up in a map, whose time does not depend on how much of a wrong
 * credential is right; a wrong one is never kept.
 */
export function createAuthenticator(fleets: Keyring, forwarded?: VerifyForwarded, tokens?: TokenVerifier): Authenticate {
  const remembered = new Map<string, Caller>();
  const remember = (credential: string, caller: Caller) => {
    const oldest = remembered.size >= REMEMBERED ? remembered.keys().next().value : undefined;
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(credential, caller);
    return caller;
  };
  return (request) => {
    const credential = readCredential(request.headers);
    if (credential === undefined) return undefined;
    // Such a call never leaves the node, so it must not act for anybody else there.
    if (isOfService(request) && !isServiceToken(credential)) {
      throw unauthenticated('the token of a service goes alone, as "Authorization: Bearer <token>"');
    }
    if (credential.startsWith(FORWARD)) return verifyForwarded(forwarded, request, credential);
    if (tokens !== undefined && JWT.test(credential)) return tokens.verify(credential, request);
    return remembered.get(credential) ?? verify(fleets, credential).then((caller) => remember(credential, caller));
  };
}

async function verifyForwarded(forwarded: VerifyForwarded | undefined, request: Request, text: string): Promise<Caller> {
  const credential = text.length > LONGEST ? undefined : parseForwardCredential(text);
  if (forwarded === undefined || credential === undefined) throw unauthenticated('this Supervisor takes no such credential');
  return forwarded(request, credential);
}

/** True for a request that carries the token of a service, however it is written; says nothing about whether it is genuine. */
export function isOfService({ headers }: Pick<Request, 'headers'>): boolean {
  return ['authorization', 'x-api-key'].some((name) => holdsServiceToken(headers.get(name) ?? ''));
}

function readCredential(headers: Headers): string | undefined {
  const authorization = headers.get('authorization');
  if (authorization === null) return headers.get('x-api-key') ?? undefined;
  const credential = authorization.slice(BEARER.length);
  if (authorization.slice(0, BEARER.length).toLowerCase() !== BEARER || credential === '') {
    throw unauthenticated('the Authorization header must be "Bearer <credential>"');
  }
  return credential;
}

async function verify(fleets: Keyring, credential: string): Promise<Caller> {
  if (credential.length > LONGEST) throw unauthenticated('the credential is too long to be one');
  const claimed = fleetOfCredential(credential);
  const keys = await fleets.keysOf(claimed ?? fleets.default_fleet);
  const caller = keys === undefined ? undefined : await callerOf(keys, credential, claimed !== undefined);
  if (caller === undefined) throw unauthenticated('the credential is not one of this fleet');
  return caller;
}

async function callerOf(keys: FleetKeys, credential: string, isDerived: boolean): Promise<Caller | undefined> {
  const { fleet } = keys;
  if (!isDerived) return (await keys.isFleetKey(credential)) ? { fleet, keys, scope: 'operator' } : undefined;
  if (isServiceToken(credential)) {
    const owner = await keys.verifyServiceToken(credential);
    return owner === undefined ? undefined : { fleet, keys, scope: 'service', ...owner };
  }
  const node_id = await keys.verifyNodeCredential(credential);
  return node_id === undefined ? undefined : { fleet, keys, scope: 'node', node_id };
}

export function unauthenticated(detail: string): ProblemError {
  return new ProblemError('unauthenticated', detail, {}, { 'www-authenticate': 'Bearer' });
}

const ALLOWED: Record<Exclude<RouteScope, 'open'>, readonly Scope[]> = {
  any: ['node', 'viewer', 'operator'],
  node: ['node', 'operator'],
  viewer: ['viewer', 'operator'],
  operator: ['operator'],
  service: ['service', 'operator'],
};

/** Throws `unauthenticated` without a caller and `forbidden` when its scope is not enough. */
export function requireScope(caller: Caller | undefined, needed: Exclude<RouteScope, 'open'>): Caller {
  if (caller === undefined && needed === 'service') {
    throw unauthenticated('send the token that the node set as BOOTPLANE_TOKEN, as "Authorization: Bearer <token>"');
  }
  if (caller === undefined) {
    throw unauthenticated('send the fleet key or a node credential as "Authorization: Bearer <credential>" or as "X-API-Key"');
  }
  if (!ALLOWED[needed].includes(caller.scope)) {
    throw new ProblemError('forbidden', `this call needs the scope ${needed}; the credential has the scope ${caller.scope}`);
  }
  return caller;
}

/** Throws `forbidden` when a node's credential is used to speak for another node. */
export function requireSelf(caller: Caller, node_id: string): void {
  if (caller.scope !== 'operator' && caller.node_id !== node_id) {
    throw new ProblemError('forbidden', `the credential of node ${caller.node_id ?? '(none)'} can't act for node ${node_id}`);
  }
}
