import { ApiError, createClient, type Fetch, UnreachableError } from '../client.ts';
import { toBase64Url } from '../contract/base64url.ts';
import type { Leader, LeaderProof } from '../contract/leader.ts';
import { isPrivateWire } from '../contract/loopback.ts';
import type { Problem } from '../contract/problem.ts';
import type { ProvedLeader } from '../decide/leadership.ts';
import { boundedFetch } from './bounded-fetch.ts';
import { messageOf } from './json-file.ts';
import type { KnownLeader } from './located.ts';
import type { DiscoveryDeps } from './types.ts';

/** Why a cloud control URL must not be trusted with a credential, or undefined when its origin proves itself (`docs/TECHNICAL/BOOTSTRAP_APIS.md`, Proof). */
export function whyUnproved(cloud_url: string): string | undefined {
  if (!URL.canParse(cloud_url)) return `${cloud_url} is not a URL; set BOOTPLANE_CLOUD_URL to one that starts with https://`;
  if (isPrivateWire(cloud_url)) return undefined;
  return 'plain http proves nothing outside this machine, so no credential is sent there: set https in BOOTPLANE_CLOUD_URL';
}

/** True for a cloud control URL that is set and proves itself. */
export function isProvedCloud(cloud_url: string | undefined): cloud_url is string {
  return cloud_url !== undefined && whyUnproved(cloud_url) === undefined;
}

/** A leader of the site, proved by itself at the origin that was dialled. */
export interface LeaderFound extends ProvedLeader {
  readonly url: string;
  /** Leads without the confirmation of the cloud that it has configured. */
  readonly provisional: boolean;
}

/** A node of the fleet that answered a fresh challenge. */
export interface Proved {
  /** The origin that was dialled. */
  readonly url: string;
  readonly node_id: string;
  readonly instance_id: string;
  /** The highest epoch that it has ever seen. */
  readonly epoch_seen: number;
  /** May lead. */
  readonly eligible: boolean;
  /** Present when it leads itself. */
  readonly leads?: LeaderFound;
  /** Whom it follows, as it says: a hint, only the one named can prove it. */
  readonly follows?: KnownLeader;
}

/** `isSilent`: nothing came, not even a refusal, so it may be there and busy. */
export type Challenged =
  | { readonly proved: Proved }
  | { readonly outcome: 'rejected' | 'no_answer'; readonly detail: string; readonly isSilent?: boolean };

export interface ChallengeOptions {
  readonly deps: Pick<DiscoveryDeps, 'config' | 'fleetKeys' | 'fetch' | 'clock' | 'random'>;
  readonly signal: AbortSignal;
  /** For the whole answer, milliseconds. */
  readonly timeout_ms: number;
  /** This node's own signed advert as JSON, so that the one who is asked learns of it. */
  readonly advert?: string;
}

const CHALLENGE_BYTES = 24;
/** An answer is about 1 KB; a stranger may send anything. */
const MAX_ANSWER_BYTES = 64 * 1024;

const PLAIN = 'it speaks plain http, over which this node has no credential that it may send: give it a certificate (BOOTPLANE_TLS_CERT)';

/** Asks whoever answers at `url` to prove that it is a node of the fleet. No credential is sent. Never rejects. */
export async function challengeNode({ deps, signal, timeout_ms, advert }: ChallengeOptions, url: string): Promise<Challenged> {
  const { config, clock, random } = deps;
  const { origin } = new URL(url);
  if (config.https_only === true && whyUnproved(origin) !== undefined) return { outcome: 'rejected', detail: PLAIN };
  const fetch = boundedFetch({ fetch: limited(deps.fetch), clock, timeout_ms: () => timeout_ms, signal });
  const challenge = toBase64Url(random.bytes(CHALLENGE_BYTES));
  const asked = { fleet: config.fleet, site: config.site, challenge, origin };
  try {
    const answer = await ask(createClient({ url: origin, fetch }), { ...asked, ...(advert === undefined ? {} : { advert }) });
    return await verify(deps, asked, answer);
  } catch (error) {
    return explain(error);
  }
}

interface Asked {
  readonly fleet: string;
  readonly site: string;
  readonly challenge: string;
  readonly origin: string;
}

type Given = { readonly leader: Leader } | { readonly problem: Problem };

async function ask(client: ReturnType<typeof createClient>, query: Asked & { readonly advert?: string }): Promise<Given> {
  try {
    return { leader: (await client.leader(query)).body };
  } catch (error) {
    if (error instanceof ApiError && error.problem.code === 'no_leader') return { problem: error.problem };
    throw error;
  }
}

/** What was signed is put together here from what was asked and what was answered, never taken from the answer. */
async function verify({ fleetKeys }: Pick<DiscoveryDeps, 'fleetKeys'>, asked: Asked, given: Given): Promise<Challenged> {
  const leader = 'leader' in given ? given.leader : undefined;
  const { proof, proved_by, proved_by_instance, epoch_seen, eligible } = 'leader' in given ? given.leader : given.problem;
  if (proof === undefined || proved_by === undefined || proved_by_instance === undefined || epoch_seen === undefined) {
    return { outcome: 'rejected', detail: 'it answered without a proof that it knows the fleet' };
  }
  const signed: LeaderProof = {
    purpose: 'leader-proof',
    ...asked,
    node_id: proved_by,
    instance_id: proved_by_instance,
    epoch_seen,
    eligible: eligible ?? false,
    leader_node_id: leader?.node_id ?? null,
    leader_url: leader?.leader_url ?? null,
    epoch: leader?.epoch ?? null,
    provisional: leader?.provisional ?? null,
    confirmed: leader?.confirmed ?? null,
    nodes_heard: leader?.nodes_heard ?? null,
  };
  if (!(await fleetKeys.verifyHint(signed, proof))) {
    return { outcome: 'rejected', detail: `its proof is not right for ${asked.origin}: forged, or passed on from another place` };
  }
  const known = { url: asked.origin, node_id: proved_by, instance_id: proved_by_instance, epoch_seen, eligible: eligible ?? false };
  return { proved: { ...known, ...standingOf(asked.origin, proved_by, given) } };
}

function standingOf(url: string, proved_by: string, given: Given): Pick<Proved, 'leads' | 'follows'> {
  if (!('leader' in given)) return given.problem.leader === undefined ? {} : { follows: given.problem.leader };
  const { node_id, leader_url, epoch, confirmed, provisional, nodes_heard } = given.leader;
  if (node_id !== proved_by) return { follows: { node_id, leader_url, epoch } };
  return { leads: { url, node_id, epoch, confirmed, provisional, nodes_heard } };
}

function explain(error: unknown): Challenged {
  if (error instanceof ApiError) {
    const { status, code, detail } = error.problem;
    return { outcome: 'rejected', detail: `it answered ${status} ${code}: ${detail}` };
  }
  const kind = error instanceof UnreachableError ? error.kind : undefined;
  if (kind === 'not_understood') return { outcome: 'rejected', detail: messageOf(error) };
  return { outcome: 'no_answer', detail: messageOf(error), isSilent: kind === 'no_answer' };
}

/** Gives up on an answer that is far longer than any of this API's. */
function limited(fetch: Fetch): Fetch {
  return async (request) => {
    const response = await fetch(request);
    // HTTP reads no more than was announced, and a stream of our own costs more than all the rest of a short answer.
    if (response.body === null || Number(response.headers.get('content-length') ?? Number.NaN) <= MAX_ANSWER_BYTES) return response;
    let bytes = 0;
    const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        if (bytes > MAX_ANSWER_BYTES) controller.error(new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
        else controller.enqueue(chunk);
      },
    });
    const { status, statusText, headers } = response;
    return new Response(response.body.pipeThrough(counted), { status, statusText, headers });
  };
}
