import { ApiError, type Fetch } from '../client.ts';
import { toTimestamp } from '../contract/ids.ts';
import type { JoinAnswer } from '../contract/join.ts';
import { isPrivateWire } from '../contract/loopback.ts';
import { type Member, renewed } from '../contract/member.ts';
import { type FollowingKeys, memberKeys } from '../contract/member-keys.ts';
import { backoffMs } from '../decide/backoff.ts';
import { jittered } from '../decide/jitter.ts';
import { createIdentityClient } from '../identity-client.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { boundedFetch } from './bounded-fetch.ts';
import { type FileDeps, messageOf } from './json-file.ts';
import { JOIN_AGAIN, writeMember } from './member-file.ts';
import type { OwnToken } from './own-token.ts';

const DAY_MS = 86_400_000;
/** What came to nothing is tried again sooner, milliseconds: the way there may be open in a minute. */
const RETRY = { base_ms: 120_000, cap_ms: 3_600_000 };
const ANSWER_WITHIN_MS = 15_000;

export interface MembershipDeps extends FileDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Undecorated: the credential is set here. */
  readonly fetch: Fetch;
  /** The configured cloud, which is asked too. */
  readonly cloud_url?: string | undefined;
  /** The JWT of this node, where it has one. */
  readonly token?: OwnToken | undefined;
  /** The JWT goes over plain http too, where others can read and use it. */
  readonly insecure_http?: boolean;
}

/** What a node has of its fleet that has joined without the fleet key, kept up to date. */
export interface Membership {
  /** Follow a rotation of the fleet key by themselves. */
  readonly keys: FollowingKeys;
  readonly member: Member;
  readonly token?: OwnToken | undefined;
  /** True for a node that has nothing to show on a plain wire: a JWT and an issued key are not sent there. */
  readonly https_only: boolean;
  /** What this node shows to whom is at `url`. Rejects for a plain wire where it has nothing for one. */
  credentialFor(url: string): Promise<string>;
  /** What goes beside one of those, so that a leader without the fleet key can tell it too; undefined for one that has nothing. */
  proofOf(credential: string): string | undefined;
  /** Asks again what let this node in: at once, and then once a day. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Rejects for a member that holds what is no key. */
export async function createMembership(given: Member, deps: MembershipDeps): Promise<Membership> {
  const { clock, random, log, token, insecure_http = false } = deps;
  let member = given;
  const keys = await memberKeys(member, () => clock.now());
  let told: string | undefined;
  const credentialFor = async (url: string): Promise<string> => {
    const { credential, issued_key, previous } = member;
    if (token !== undefined && (insecure_http || isPrivateWire(url))) return token.current();
    if (issued_key !== undefined && isPrivateWire(url)) return issued_key;
    if (keys.hasOldKey(new URL(url).origin) && previous?.credential !== undefined) return previous.credential;
    if (credential !== undefined) return credential;
    const { origin } = new URL(url);
    if (isPrivateWire(url)) throw new Error('this node has joined with a JWT and has none now: set BOOTPLANE_TOKEN_FILE');
    throw new Error(`${origin} is plain http, where others can read what this node would have to show`);
  };
  const take = async (answer: JoinAnswer, from: string) => {
    if (answer.node_id !== member.node_id || answer.fleet !== member.fleet) {
      throw new Error(`it answered for node ${answer.node_id} of fleet ${answer.fleet}`);
    }
    const now = clock.now();
    const next = renewed(member, answer, now, toTimestamp(now));
    const isReplaced = next.discovery_key !== member.discovery_key;
    await keys.follow(next);
    member = next;
    if (isReplaced) log.info(`the fleet key was replaced: this node has what follows from the new one, from ${from}`);
    await writeMember(deps, next);
  };
  const ask = async (url: string, signal: AbortSignal) => {
    const fetch = boundedFetch({ fetch: deps.fetch, clock, timeout_ms: () => ANSWER_WITHIN_MS, signal });
    const client = createIdentityClient({ url, credential: await credentialFor(url), fetch });
    const { node_id, site } = member;
    await take(await client.join({ node_id, ...(site === undefined ? {} : { site }) }), url);
  };
  /** True when somebody has answered. */
  const renew = async (signal: AbortSignal): Promise<boolean> => {
    const failed: string[] = [];
    // Whoever was found on the LAN is not asked: any member can prove itself there, and would name keys of its own. The cloud
    // comes first, since a fleet key is replaced there before any leader has the new one.
    for (const url of new Set([...(deps.cloud_url === undefined ? [] : [deps.cloud_url]), member.joined_at])) {
      try {
        await ask(url, signal);
        told = undefined;
        return true;
      } catch (error) {
        failed.push(`${url}: ${explain(error)}`);
      }
    }
    const why = failed.join('; ');
    if (!signal.aborted && why !== told) {
      log.warn(`what this node has of its fleet is not renewed, and stays as it is: ${why}`);
      told = why;
    }
    return false;
  };
  return {
    keys,
    get member() {
      return member;
    },
    token,
    https_only: given.credential === undefined && !(insecure_http && token !== undefined),
    credentialFor,
    proofOf: (credential) => [member, member.previous].find((one) => one?.credential === credential)?.credential_proof,
    async run(signal) {
      for (let failures = 0; !signal.aborted; ) {
        failures = (await renew(signal)) ? 0 : failures + 1;
        const retry_ms = RETRY.base_ms / 2 + backoffMs(RETRY, failures - 1, random.next());
        await clock.sleep(failures === 0 ? jittered(DAY_MS, random.next()) : retry_ms, signal);
      }
    },
  };
}

function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return messageOf(error);
  const { status, code, detail } = error.problem;
  const advice = code === 'unauthenticated' ? `; was the fleet key replaced? Then ${JOIN_AGAIN}` : '';
  return `it answered ${status} ${code}: ${detail}${advice}`;
}
