import type { Fetch } from '../shared/client.ts';
import type { MemberKeys } from '../shared/contract/fleet-keys.ts';
import { carriesJwt } from '../shared/contract/jwt.ts';
import { isLoopback } from '../shared/contract/loopback.ts';
import { Health } from '../shared/contract/status.ts';
import type { Identity } from '../shared/discovery/identify.ts';
import { type Authenticate, presentsIssuedKey } from '../shared/supervisor/auth.ts';
import { presentedCredential } from '../shared/supervisor/identity/presented-key.ts';
import { ProblemError, problemResponse } from '../shared/supervisor/problem.ts';
import type { Decider } from './followed.ts';
import { type Call, isEmergencyPublish, isOfNode } from './forward-call.ts';
import type { CloudAnswer } from './forward-cloud.ts';
import { refusal } from './forward-errors.ts';

/** The owner of this node speaks to the fleet as this node: more is not for a node to give. */
export async function asThisNode({ isLocalKey, local_credential }: MemberKeys, request: Request): Promise<Request> {
  const presented = presentedCredential(request.headers);
  if (presented === undefined || (presented !== local_credential && !(await isLocalKey(presented)))) return request;
  const headers = new Headers(request.headers);
  headers.delete('x-api-key');
  headers.set('authorization', `Bearer ${local_credential}`);
  const { url, method, signal } = request;
  const body = request.body === null ? {} : { body: request.body, duplex: 'half' as const };
  // What the listener gives is no Request that another one could be made of.
  return new Request(url, { method, headers, signal, redirect: 'manual', ...body });
}

export function isOfThisNode({ local_credential }: MemberKeys, request: Request): boolean {
  return presentedCredential(request.headers) === local_credential;
}

/** True for a call that a node passes on with a signature of its own, which takes the fleet key to verify. */
export function isVouched(request: Request): boolean {
  return presentedCredential(request.headers)?.startsWith('bpf~') === true;
}

export interface UnvouchedParts {
  readonly identity: Pick<Identity, 'node_id'>;
  readonly cloud_url?: string;
  cloud(request: Request, url: string): Promise<CloudAnswer>;
}

export interface Asked {
  readonly now: Decider;
  readonly named: Pick<Call, 'method' | 'pathname' | 'search'>;
}

/**
 * A call of somebody else at a node without the fleet key, which can't tell who that is. With the caller's own credential it goes to the cloud of
 * this node's settings, or to a leader on this machine, and to nobody else: any node of the fleet can prove itself as a leader,
 * also one that is in wrong hands.
 */
export async function passUnvouched(parts: UnvouchedParts, request: Request, { now, named }: Asked): Promise<Response> {
  const { identity, cloud, cloud_url } = parts;
  const who = `node ${identity.node_id} has joined without the fleet key and can not tell whose this credential is`;
  const away = cloud_url !== undefined && isForCloud(request, named) ? await cloud(request, cloud_url) : undefined;
  if (away !== undefined && away.unreached === undefined) return away.response;
  const why = away?.unreached === undefined ? '' : `; the cloud can't be reached: ${away.unreached.why}`;
  if (now.kind !== 'leader') return refusal('no_leader', `${who}${why}; it knows no leader to ask now: try again in a moment`);
  const { origin } = new URL(now.url);
  // What had a body is sent no second time: it went with the first.
  if (isLoopback(origin) && !(away !== undefined && request.body !== null)) return (await cloud(request, now.url)).response;
  return refusal('misdirected', `${who}${why}, and shows it to nobody else: ask the leader at ${origin}`, 421, { location: origin });
}

/** Nodes find their own way to who decides about them; and what a leader alone does is not asked of the cloud. */
function isForCloud(request: Request, named: Asked['named']): boolean {
  return !isOfDerived(request) && !isOfNode(named) && !isEmergencyPublish(named);
}

function isOfDerived(request: Request): boolean {
  return presentedCredential(request.headers)?.startsWith('bpn~') === true;
}

export interface KeylessParts extends UnvouchedParts {
  readonly own: Fetch;
  readonly authenticate: Authenticate;
  /** This node has the keys of the issuer of JWTs: whose one is, and what is wrong with it, it says itself. */
  readonly checksJwts?: boolean;
}

/**
 * A call of somebody else at a leader without the fleet key: of a node that it can tell it answers itself, of whoever else may be
 * somebody to the cloud the cloud does.
 */
export async function answerKeyless(parts: KeylessParts, request: Request, named: Asked['named']): Promise<Response> {
  const { own, cloud, cloud_url, identity, authenticate, checksJwts = false } = parts;
  const isAnonymous = presentedCredential(request.headers) === undefined;
  const isJwt = carriesJwt(request.headers);
  // With a derived credential nobody is more than a node: what is wrong with it the own Supervisor says.
  if (cloud_url === undefined || isAnonymous || isOfDerived(request) || (isJwt && checksJwts)) return own(request);
  const who = await whose(authenticate, request);
  if (who === 'told') return own(request);
  // A node that spoke at the cloud meanwhile would be taken from this leader (0025): it tries again.
  if (who !== 'nobody' && isOfNode(named)) return problemResponse(who);
  const mayBeOfNode = isOfNode(named) && (isJwt || presentsIssuedKey(request));
  const asked = mayBeOfNode ? await cloud(whoIs(request), cloud_url) : undefined;
  if (asked !== undefined && asked.unreached === undefined) {
    if (!asked.response.ok) return asked.response;
    if ((await scopeIn(asked.response)) === 'node') return own(request);
  }
  const { response, unreached } = asked?.unreached === undefined ? await cloud(request, cloud_url) : asked;
  if (unreached === undefined) return response;
  const why = `node ${identity.node_id} leads without the fleet key and can not tell whose this credential is`;
  const instead = 'The key of its own directory is good here, for what a node may see';
  return refusal('unavailable', `${why}; the cloud, which can, can't be reached: ${unreached.why}. ${instead}`);
}

/**
 * Has the cloud say what it takes the same credential for, or what is wrong with it, before it gets the call itself: this leader may have
 * been told so a minute ago that it is no node's, and the cloud may have come to know it since.
 */
function whoIs({ url, headers, signal }: Request): Request {
  return new Request(new URL('/healthz', url), { headers, signal });
}

async function scopeIn(health: Response): Promise<Health['scope']> {
  return Health.safeParse(await health.json().catch(() => undefined)).data?.scope;
}

/** A problem: it may be a node's, and can't be told now. */
async function whose(authenticate: Authenticate, request: Request): Promise<'told' | 'nobody' | ProblemError> {
  try {
    return (await authenticate(request)) === undefined ? 'nobody' : 'told';
  } catch (error) {
    return error instanceof ProblemError && error.problem.code === 'unavailable' ? error : 'nobody';
  }
}

/** Nobody on this node can make what an emergency version needs. */
export function signsNothing({ node_id }: Pick<Identity, 'node_id'>): Response {
  const why = `node ${node_id} leads without the fleet key, and an emergency version has to be signed`;
  const advice = `publish at the cloud; or, where a node of this site holds the fleet key, stop ${node_id} or start it with --no-lead, so that the other one leads`;
  return refusal('forbidden', `${why}: ${advice}`, 403);
}
