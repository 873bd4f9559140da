import { PROOF_HEADER } from '../contract/credential-proof.ts';
import { FLEET_HEADER } from '../contract/fleet.ts';
import { fleetOfCredential, fleetOfKey, holdsServiceToken, isKeyHolder, isServiceToken, type NodeKeys } from '../contract/fleet-keys.ts';
import { type ForwardCredential, parseForwardCredential } from '../contract/forward.ts';
import { Id } from '../contract/ids.ts';
import { isJwt, LONGEST_JWT } from '../contract/jwt.ts';
import { type IssuedKeyName, parseIssuedKey } from '../contract/key.ts';
import type { Caller, FleetCaller, Identity, Keyring, Scope } from './identity/caller.ts';
import type { CallerMemory } from './identity/caller-memory.ts';
import { ProblemError } from './problem.ts';

export type {
  AdminIdentity,
  Caller,
  FleetCaller,
  Identity,
  IssuedBy,
  JoinCaller,
  Keyring,
  Scope,
  ServiceCaller,
} from './identity/caller.ts';

/** What a route asks for. `open`: nothing. `any`: any credential that reads. `admin`: the one that makes fleets. */
export type RouteScope = 'open' | 'any' | 'admin' | Scope;

export type Authenticate = (request: Request) => Identity | undefined | Promise<Identity | undefined>;

/** Tells for whom another node passes a request on. Throws a problem when that does not hold. */
export type VerifyForwarded = (request: Request, credential: ForwardCredential) => Promise<Caller>;

/** Takes JWTs. */
export interface TokenVerifier {
  /** Who holds a token. Throws or rejects with the problem `unauthenticated` for one that is not good, now and in this request. */
  verify(token: string, request: Request): Identity | Promise<Identity>;
}

/** Takes issued keys. */
export interface KeyVerifier {
  /** Whose a key is; undefined for one that nobody issued. `keys` are of the fleet that it names. */
  verify(key: string, name: IssuedKeyName, keys: NodeKeys): Promise<Caller | EndedKey | undefined>;
}

/** Tells whose the credentials of nodes are that this Supervisor can't check itself: it has not the fleet key. */
export interface NodeFinder {
  /** `proof`: what came beside it (`credential-proof.ts`). Undefined for one that is not a good one of a node of this fleet; `away`: why it can't be told now, in words. */
  nodeOf(
    credential: string,
    proof?: string,
  ): Promise<{ readonly node_id: string; readonly expires_at?: number } | { readonly away: string } | undefined>;
}

/** A key that was good once. */
export interface EndedKey {
  /** Which one it is and since when it is not good, in words. */
  readonly ended: string;
}

export interface AuthenticatorParts {
  /** Shared by all that verify the same credentials in one process, so that what is revoked is forgotten everywhere. */
  readonly memory: CallerMemory;
  /** Absent: calls that other nodes pass on are not taken. */
  readonly forwarded?: VerifyForwarded | undefined;
  /** Absent: JWTs are not taken. Remembers them itself. */
  readonly tokens?: TokenVerifier | undefined;
  /** Absent: issued keys are not taken. */
  readonly issued?: KeyVerifier | undefined;
  /** Absent: of other nodes only those credentials are taken that follow from the keys in the keyring. */
  readonly finder?: NodeFinder | undefined;
}

const LONGEST = 1024;
const BEARER = 'bearer ';
/** How the credential of a request starts that a node passes on for a caller. */
const FORWARD = 'bpf~';
/** Derived credentials and issued keys, of which those of nodes can be asked about. */
const MAYBE_NODES = /^bp[ni]~/;
/** The other forms of credentials say themselves which fleet they are of. */
const NAMES_FLEET = /^bp[a-z]~/;

/**
 * Tells who calls: undefined without a credential. Throws the problem `unauthenticated` for one that
 * is not of a fleet in the keyring, and `unknown_fleet` to an admin who names one that is not there.
 */
export function createAuthenticator(fleets: Keyring, parts: AuthenticatorParts): Authenticate {
  const { memory, forwarded, tokens } = parts;
  return (request) => {
    const credential = readCredential(request.headers);
    if (credential === undefined) return undefined;
    // Such a call never leaves the node, so it must not act for anybody else there.
    if (isOfService(request) && !isServiceToken(credential)) {
      throw unauthenticated('the token of a service goes alone, as "Authorization: Bearer <token>"');
    }
    if (credential.startsWith(FORWARD)) return verifyForwarded(forwarded, request, credential);
    const fleet = NAMES_FLEET.test(credential) ? null : request.headers.get(FLEET_HEADER);
    const identity =
      tokens !== undefined && isJwt(credential)
        ? tokens.verify(credential, request)
        : memory.recall(fleet === null ? credential : `${fleet}\n${credential}`, () =>
            verify(fleets, { ...parts, proof: request.headers.get(PROOF_HEADER) ?? undefined }, credential, fleet),
          );
    if (fleet === null) return identity;
    return identity instanceof Promise ? identity.then((one) => inFleet(fleets, one, fleet)) : inFleet(fleets, identity, fleet);
  };
}

async function verifyForwarded(forwarded: VerifyForwarded | undefined, request: Request, text: string): Promise<Caller> {
  const credential = text.length > LONGEST ? undefined : parseForwardCredential(text);
  if (forwarded === undefined || credential === undefined) throw unauthenticated('this Supervisor takes no such credential');
  return forwarded(request, credential);
}

/** An admin names the fleet to act in at each call; everybody else is of one. Who is bound to one must not act in it by mistake. */
function inFleet(fleets: Keyring, identity: Identity, fleet: string): Identity | Promise<Identity> {
  if ('rests_on' in identity && identity.rests_on === 'admin_of_fleet' && identity.fleet !== fleet) {
    throw new ProblemError('forbidden', `the JWT is of an admin of the fleet ${identity.fleet}, and ${FLEET_HEADER} names another one`);
  }
  return identity.scope === 'admin' ? adminIn(fleets, fleet) : identity;
}

async function adminIn(fleets: Keyring, fleet: string): Promise<FleetCaller> {
  const keys = Id.safeParse(fleet).success ? await fleets.keysOf(fleet) : undefined;
  if (keys === undefined)
    throw new ProblemError('unknown_fleet', `${FLEET_HEADER} names a fleet that is not open here; GET /v1/fleets lists them`);
  return { fleet, keys, scope: 'operator', rests_on: 'admin' };
}

/** True for a request that carries the token of a service, however it is written; says nothing about whether it is genuine. */
export function isOfService({ headers }: Pick<Request, 'headers'>): boolean {
  return ['authorization', 'x-api-key'].some((name) => holdsServiceToken(headers.get(name) ?? ''));
}

/** True for a request that carries what has the form of an issued key; says nothing about whether it is good. */
export function presentsIssuedKey({ headers }: Pick<Request, 'headers'>): boolean {
  return /^bearer bpi~/i.test(headers.get('authorization') ?? '') || headers.get('x-api-key')?.startsWith('bpi~') === true;
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

/** `named`: the fleet in the header of the request, for a key that names none itself. */
async function verify(
  fleets: Keyring,
  { issued, finder, proof }: Pick<AuthenticatorParts, 'issued' | 'finder'> & { readonly proof: string | undefined },
  credential: string,
  named: string | null,
): Promise<Identity> {
  if (credential.length > (isJwt(credential) ? LONGEST_JWT : LONGEST)) throw unauthenticated('the credential is too long to be one');
  const claimed = fleetOfCredential(credential);
  if (claimed === undefined && (await fleets.isAdmin?.(credential)) === true) return { scope: 'admin' };
  const name = parseIssuedKey(credential);
  const fleet = claimed ?? name?.fleet ?? fleetOfKey(credential) ?? named ?? fleets.default_fleet;
  const keys = Id.safeParse(fleet).success ? await fleets.keysOf(fleet) : undefined;
  if (keys === undefined) throw notOfThisFleet();
  const caller =
    (name === undefined ? await callerOf(keys, credential, claimed !== undefined) : await issued?.verify(credential, name, keys)) ??
    (await find(finder, keys, credential, proof));
  if (caller === undefined) throw unknownOf(credential, keys, finder !== undefined);
  if ('ended' in caller) throw unauthenticated(caller.ended);
  return caller;
}

/** What is no node's is never shown to anybody. Throws `unavailable` while nobody can tell: that says nothing about the credential. */
async function find(
  finder: NodeFinder | undefined,
  keys: NodeKeys,
  credential: string,
  proof: string | undefined,
): Promise<FleetCaller | undefined> {
  if (finder === undefined || isKeyHolder(keys) || !(MAYBE_NODES.test(credential) || isJwt(credential))) return undefined;
  const found = await finder.nodeOf(credential, proof);
  if (found === undefined) return undefined;
  if (!('away' in found)) return { ...found, fleet: keys.fleet, keys, scope: 'node' };
  const detail = `this node leads without the fleet key, and whose the credential is can't be asked at the cloud now: ${found.away}`;
  throw new ProblemError('unavailable', detail, {}, { 'retry-after': '5' });
}

/** A JWT comes here only where there is nothing to check it with. */
function unknownOf(credential: string, keys: NodeKeys, mayFind: boolean): ProblemError {
  if (!isJwt(credential)) return isKeyHolder(keys) ? notOfThisFleet() : notKnownToMember();
  if (isKeyHolder(keys) || !mayFind)
    return unauthenticated('this Supervisor takes no JWT: the keys of an issuer are not set there (BOOTPLANE_JWKS_URL)');
  return unauthenticated(
    'the cloud has not told this node of a node of this fleet with this JWT, and the keys of the issuer are not set here (BOOTPLANE_JWKS_URL): the cloud says what is wrong with it; what it came to know a moment ago is good here within about a minute',
  );
}

/** The same for a fleet that is not there as for a wrong key of one that is. */
export function notOfThisFleet(): ProblemError {
  return unauthenticated('the credential is not one of this fleet');
}

/** The credential may be good: only who holds the fleet key can tell. */
function notKnownToMember(): ProblemError {
  return unauthenticated(
    'this node has joined without the fleet key and can not tell whose the credential is: ask the leader of its site or the cloud, or use the key of its own directory',
  );
}

async function callerOf(keys: NodeKeys, credential: string, isDerived: boolean): Promise<Caller | undefined> {
  const { fleet } = keys;
  if (!isDerived) return ownerOf(keys, credential);
  if (isServiceToken(credential)) {
    const owner = await keys.verifyServiceToken(credential);
    return owner === undefined ? undefined : { fleet, keys, scope: 'service', ...owner };
  }
  const node_id = await keys.verifyNodeCredential(credential);
  return node_id === undefined ? undefined : { fleet, keys, scope: 'node', node_id, rests_on: 'fleet_key' };
}

/** Who has the key of a member's own directory is that node's owner, and nobody's else. */
async function ownerOf(keys: NodeKeys, credential: string): Promise<Caller | undefined> {
  const { fleet } = keys;
  if (isKeyHolder(keys)) {
    return (await keys.isFleetKey(credential)) ? { fleet, keys, scope: 'operator', rests_on: 'fleet_key' } : undefined;
  }
  return (await keys.isLocalKey(credential)) ? { fleet, keys, scope: 'operator', node_id: keys.node_id } : undefined;
}

export function unauthenticated(detail: string): ProblemError {
  return new ProblemError('unauthenticated', detail, {}, { 'www-authenticate': 'Bearer' });
}

type FleetScope = Exclude<RouteScope, 'open' | 'admin'>;

const ALLOWED: Record<FleetScope, readonly Scope[]> = {
  any: ['node', 'viewer', 'operator'],
  node: ['node', 'operator'],
  viewer: ['viewer', 'operator'],
  operator: ['operator'],
  service: ['service', 'operator'],
  join: ['join', 'node', 'operator'],
};

/** Throws `unauthenticated` without a caller and `forbidden` when its scope is not enough. */
export function requireScope(identity: Identity | undefined, needed: FleetScope): Caller {
  if (identity === undefined && needed === 'service') {
    throw unauthenticated('send the token that the node set as BOOTPLANE_TOKEN, as "Authorization: Bearer <token>"');
  }
  if (identity === undefined) {
    throw unauthenticated('send the fleet key or a node credential as "Authorization: Bearer <credential>" or as "X-API-Key"');
  }
  if (identity.scope === 'admin') throw new ProblemError('bad_request', `name the fleet that this is about in the header ${FLEET_HEADER}`);
  if (!ALLOWED[needed].includes(identity.scope)) {
    throw new ProblemError('forbidden', `this call needs the scope ${needed}; the credential has the scope ${identity.scope}`);
  }
  return identity;
}

/** Throws `unauthenticated` without a caller and `forbidden` for everybody but an admin. */
export function requireAdmin(identity: Identity | undefined): void {
  if (identity === undefined) throw unauthenticated('send the admin key as "Authorization: Bearer <key>" or as "X-API-Key"');
  if (!isAdmin(identity))
    throw new ProblemError('forbidden', `this call needs the scope admin; the credential has the scope ${identity.scope}`);
}

/** True for an admin, who may have named a fleet. */
export function isAdmin(identity: Identity): boolean {
  return identity.scope === 'admin' || ('rests_on' in identity && identity.rests_on === 'admin');
}

/** True for the fleet key itself, and for an admin: not for other operators, who come and go. */
export function holdsFleetKey(caller: Caller): boolean {
  return caller.scope === 'operator' && caller.rests_on !== undefined;
}

/** The credential's own name, for people: the fleet key is one for all. */
export function nameOfCaller(caller: Caller): string {
  if (isAdmin(caller)) return 'admin';
  const { issued } = 'issued' in caller ? caller : {};
  if (issued !== undefined) return issued.label === undefined ? `key ${issued.key_id}` : `key ${issued.key_id} (${issued.label})`;
  if ('subject' in caller && caller.subject !== undefined && caller.node_id === undefined) return `jwt ${caller.subject}`;
  return caller.node_id ?? 'fleet-key';
}

/** Throws `forbidden` when a node's credential is used to speak for another node. */
export function requireSelf(caller: Caller, node_id: string): void {
  if (caller.scope !== 'operator' && caller.node_id !== node_id) {
    throw new ProblemError('forbidden', `the credential of node ${caller.node_id ?? '(none)'} can't act for node ${node_id}`);
  }
}
