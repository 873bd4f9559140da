import type { Fetch } from '../shared/client.ts';
import { isDataPath } from '../shared/contract/data.ts';
import type { DesiredGenerations } from '../shared/contract/document.ts';
import { isKeyHolder, type NodeKeys } from '../shared/contract/fleet-keys.ts';
import { FORWARDED_HEADER } from '../shared/contract/forward.ts';
import type { Identity as NodeIdentity } from '../shared/discovery/identify.ts';
import type { Clock } from '../shared/ports/clock.ts';
import { type Authenticate, type FleetCaller, isOfService, presentsIssuedKey, type Identity as Who } from '../shared/supervisor/auth.ts';
import { presentedKey } from '../shared/supervisor/identity/presented-key.ts';
import { problemResponse, toProblem } from '../shared/supervisor/problem.ts';
import type { Decider } from './followed.ts';
import {
  type AnyCall,
  type Call,
  isArtifactRead,
  isEmergencyPublish,
  isFleetPublish,
  isOfNode,
  isPublish,
  readCall,
  toRequest,
} from './forward-call.ts';
import { type CloudAnswer, passToCloud } from './forward-cloud.ts';
import { LOOK_FIRST, refusal } from './forward-errors.ts';
import { type BringIssued, createBringIssued } from './forward-issued.ts';
import { publishedBefore } from './forward-publish.ts';
import { createSend } from './forward-send.ts';
import { createForwarding, type Forwarding } from './forwarding.ts';
import { createGateway, type Gateway } from './gateway.ts';
import { answerKeyless, asThisNode, isOfThisNode, isVouched, passUnvouched, signsNothing } from './member-door.ts';
import { createStaleReads, type StaleReads } from './stale-reads.ts';

/** About this node itself, whoever leads. */
const OWN_PATHS = new Set([
  ...['/v1/openapi.json', '/v1/news', '/v1/reconcile/diff', '/v1/reconcile/prune'],
  ...['/v1/backlog/conflicts', '/v1/backlog/conflicts/resolve', '/v1/backlog/move'],
  // The answer of the one holds keys, the question of the other a credential: only who is asked sees whether others can read it on its way.
  '/v1/nodes/join',
  '/v1/introspect',
]);
/** A read that the leader has not answered after this long, milliseconds, is answered from what is kept. */
const STALE_AFTER_MS = 1000;

export interface FrontDoorParts {
  /** The node's own Supervisor. */
  readonly own: Fetch;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly keys: NodeKeys;
  readonly identity: Pick<NodeIdentity, 'node_id' | 'instance_id'>;
  readonly site: string;
  /** True for a node that can be a proxy. */
  readonly isGateway: boolean;
  /** The cloud that alone publishes documents. */
  readonly cloud_url?: string;
  /** Tells who calls, by the fleet's keys that this node holds. */
  readonly authenticate: Authenticate;
  /** True where JWTs are among what it tells callers by. */
  readonly checksJwts?: boolean;
  /** Who decides now. */
  decider(): Decider;
  /** The cloud has published through this node; `desired`: what is current there now. */
  published(desired: DesiredGenerations): void;
}

export interface Inside extends FrontDoorParts {
  readonly forwarding: Forwarding;
  readonly stale: StaleReads;
  readonly gateway: Gateway | undefined;
  readonly bringIssued: BringIssued;
  cloud(request: Request, url: string): Promise<CloudAnswer>;
}

/**
 * Who answers what comes in over HTTP: the node's own Supervisor where this node leads or is asked about itself,
 * else the one that decides. Never rejects.
 */
export function createFrontDoor(parts: FrontDoorParts): Fetch {
  const inside = furnish(parts);
  return async (request) => {
    try {
      return await answer(inside, request);
    } catch (error) {
      return problemResponse(toProblem(error));
    }
  };
}

function furnish(parts: FrontDoorParts): Inside {
  const { own, fetch, clock, decider } = parts;
  const cloud = (request: Request, url: string, within_ms?: number) => passToCloud(fetch, clock, request, url, within_ms);
  const toCloud = async (call: AnyCall, url: string, within_ms?: number) => (await cloud(toRequest(call, url), url, within_ms)).response;
  const cloud_url = parts.cloud_url === undefined ? {} : { cloud_url: parts.cloud_url };
  const forwarding = createForwarding({ decider, send: createSend(parts), own, toCloud, clock, ...cloud_url });
  const { keys } = parts;
  const gateway = parts.isGateway && isKeyHolder(keys) ? createGateway({ ...parts, keys, forwarding }) : undefined;
  const stale = createStaleReads({ own, clock, ...(gateway === undefined ? {} : { cache: gateway.cache }) });
  const bringIssued = createBringIssued((call) => insist(forwarding, call));
  return { ...parts, forwarding, gateway, stale, bringIssued, cloud };
}

async function answer(inside: Inside, given: Request): Promise<Response> {
  const { own, decider, keys } = inside;
  const asked = new URL(given.url);
  // The token of a service is of use on its own node only, which says so: nobody else is shown it.
  const now = decider();
  const isHere = isOwn(asked) || isOfService(given);
  if (isHere && presentsIssuedKey(given)) return answerHolder(inside, given, now);
  if (isHere) return own(given);
  const request = isKeyHolder(keys) ? given : await asThisNode(keys, given);
  const named = { method: request.method, pathname: asked.pathname, search: asked.search };
  const leadsKeyless = !isKeyHolder(keys) && now.kind === 'own';
  if (leadsKeyless && isEmergencyPublish(named)) return signsNothing(inside.identity);
  if (request.headers.has(FORWARDED_HEADER)) return answerForwarded(inside, request, named, now);
  if (inside.cloud_url !== undefined && isFleetPublish(named)) return publishAtCloud(inside, request, inside.cloud_url);
  if (leadsKeyless && !isOfThisNode(keys, request) && !KEYS.test(named.pathname)) return answerKeyless(inside, request, named);
  if (inside.cloud_url !== undefined && isOfKeys(request, named)) return (await inside.cloud(request, inside.cloud_url)).response;
  if (!isKeyHolder(keys) && now.kind !== 'cloud' && !isOfThisNode(keys, request)) {
    // A node may be known by what it proves; and what is here need not come from far.
    const here = isArtifactRead(named) ? await own(request) : undefined;
    return here !== undefined && isGiven(here) ? here : passUnvouched(inside, request, { now, named });
  }
  const holder = now.kind === 'leader' || now.kind === 'nobody' ? await presentedKey(request, inside.keys.fleet) : undefined;
  // The leader alone knows it. What this node could answer itself is not for who is not known here.
  if (holder !== undefined) return inside.bringIssued(request, holder);
  if (now.kind !== 'own' && isArtifactRead(named)) {
    const here = await own(request);
    if (here.status !== 404) return here;
  }
  if (now.kind === 'cloud') return (await inside.cloud(request, now.url)).response;
  const caller = now.kind === 'own' ? undefined : await knownCaller(inside, request);
  // Without a caller the node's own Supervisor says what is wrong with the credential.
  return caller === undefined ? own(request) : bringToLeader(inside, await readCall(request, caller));
}

/** An artifact, a part of it, or that the caller has it already. */
function isGiven({ ok, status }: Response): boolean {
  return ok || status === 304 || status === 416;
}

/** Issued keys are rows of the cloud, or of the leader that issued them: of what a node answers itself it has to know them itself. */
async function answerHolder({ own, cloud_url, keys }: Inside, request: Request, now: Decider): Promise<Response> {
  const response = await own(request);
  if (response.status !== 401 || (cloud_url === undefined && now.kind === 'own')) return response;
  const where = cloud_url === undefined ? 'the node that issued them' : `the cloud (${cloud_url})`;
  const what = `issued keys are known to ${where} alone, and this call is answered by the node itself (as health, metrics, diff, prune and backlog are)`;
  const instead = isKeyHolder(keys) ? 'the fleet key' : "the key of this node's own directory";
  return refusal('unauthenticated', `${what}: use ${instead} here, or ask there`, 401, { 'www-authenticate': 'Bearer' });
}

const KEYS = /^\/v1\/(?:keys|fleets)(?:\/|$)/;

/** With a cloud, keys are issued there, and it alone knows whose they are. */
function isOfKeys(request: Request, { pathname }: Named): boolean {
  return KEYS.test(pathname) || presentsIssuedKey(request);
}

/** The rest of `/v1` is about the fleet. With a challenge the question is who this node is. */
function isOwn({ pathname, searchParams }: URL): boolean {
  if (!pathname.startsWith('/v1/') || OWN_PATHS.has(pathname) || isDataPath(pathname)) return true;
  return pathname === '/v1/leader' && searchParams.has('challenge');
}

async function knownCaller({ authenticate }: Inside, request: Request): Promise<FleetCaller | undefined> {
  try {
    const caller = await authenticate(request);
    return caller === undefined || !isPassedOn(caller) ? undefined : caller;
  } catch {
    return undefined;
  }
}

/** What others are is said by the Supervisor that is asked itself. */
function isPassedOn(who: Who): who is FleetCaller {
  return who.scope === 'node' || who.scope === 'viewer' || who.scope === 'operator';
}

type Named = Pick<Call, 'method' | 'pathname' | 'search'>;

/** One hop: what another node has passed on is answered here or by nobody. */
function answerForwarded(
  { own, identity, cloud_url, keys }: Inside,
  request: Request,
  named: Named,
  now: Decider,
): Response | Promise<Response> {
  if (now.kind !== 'own') return refusal('misdirected', `node ${identity.node_id} does not lead`, 421);
  if (cloud_url === undefined) return own(request);
  const elsewhere = (why: string) => refusal('misdirected', why, 421, { location: cloud_url });
  if (isFleetPublish(named)) return elsewhere(`the cloud decides about the documents: publish at ${cloud_url}`);
  if (isKeyHolder(keys) || !isVouched(request)) return own(request);
  return elsewhere(
    `node ${identity.node_id} leads without the fleet key and can not tell for whom a call is passed on: ask at ${cloud_url}`,
  );
}

/** With a cloud, whoever leads, it alone publishes. Its leader is told to look there at once. */
async function publishAtCloud({ cloud, published }: Inside, request: Request, url: string): Promise<Response> {
  const { response, unreached } = await cloud(request, url);
  const { pathname, searchParams } = new URL(request.url);
  if (unreached !== undefined) {
    const advice = searchParams.get('dry_run') === 'true' ? DRY_RUN_ADVICE : publishAdvice(unreached.isNotSent);
    return refusal(
      'unavailable',
      `the cloud decides about the documents, and can't be reached from this node: ${unreached.why}. ${advice}`,
    );
  }
  const generation = /^"(\d{1,15})-/.exec(response.headers.get('etag') ?? '')?.[1];
  const kind = pathname === '/v1/cluster/plan' ? 'plan' : 'profile';
  if (response.ok && generation !== undefined) published({ [kind]: Number(generation) });
  return response;
}

/** Nobody wanted to publish yet. */
const DRY_RUN_ADVICE =
  'What publishing would change is compared there. `bootplane diff FILE` tells what a file would do on this node, without the cloud';

function publishAdvice(isUndone: boolean): string {
  const done = isUndone ? 'Nothing was published' : `It may have been published or not: ${LOOK_FIRST}`;
  return `${done}. What can't wait is published for this site alone with --break-glass (?break_glass=true)`;
}

async function bringToLeader(inside: Inside, call: Call): Promise<Response> {
  const { forwarding, stale, gateway } = inside;
  const batched = gateway?.heartbeat(call);
  if (batched !== undefined) return batched;
  if (stale.covers(call)) {
    const quick = await forwarding.pass(call, { hold_ms: 0, within_ms: STALE_AFTER_MS });
    if (quick !== undefined && quick.status !== 503 && quick.status !== 421) return stale.heard(call, quick);
    const kept = await stale.find(call);
    if (kept !== undefined) return kept;
  }
  return stale.heard(call, await insist(forwarding, call));
}

async function insist(forwarding: Forwarding, call: AnyCall): Promise<Response> {
  const response = await forwarding.insist(call);
  if (response.status === 412 && isPublish(call)) return (await publishedBefore(forwarding, call)) ?? response;
  const elsewhere = response.status === 421 && !isOfNode(call) ? response.headers.get('location') : null;
  if (elsewhere === null) return response;
  // No credential of a caller goes to an address that only another node has told of.
  const why = isPublish(call)
    ? 'the cloud decides about the documents'
    : 'the leader has no fleet key, so the cloud says what a caller may';
  return refusal('unavailable', `${why}, and this node has no BOOTPLANE_CLOUD_URL: ${isPublish(call) ? 'publish' : 'ask'} at ${elsewhere}`);
}
