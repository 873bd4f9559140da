import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { toBase64Url } from '../shared/contract/base64url.ts';
import { Id, toTimestamp } from '../shared/contract/ids.ts';
import type { JoinAnswer } from '../shared/contract/join.ts';
import { isPrivateWire } from '../shared/contract/loopback.ts';
import { type Member, retiredKeys } from '../shared/contract/member.ts';
import { memberKeys } from '../shared/contract/member-keys.ts';
import { boundedFetch } from '../shared/discovery/bounded-fetch.ts';
import { identify } from '../shared/discovery/identify.ts';
import { readJsonFile } from '../shared/discovery/json-file.ts';
import { MEMBER_FILE, readMember, writeMember } from '../shared/discovery/member-file.ts';
import { createIdentityClient } from '../shared/identity-client.ts';
import type { Log } from '../shared/ports/log.ts';
import { createNodeClock } from './adapters/clock.ts';
import { lockDataDir } from './adapters/data-dir-lock.ts';
import { createNodeRandom } from './adapters/random.ts';
import { createStateFiles } from './adapters/state-files.ts';
import { watchedFile } from './adapters/watched-file.ts';
import { ConfigError, type Settings } from './config.ts';
import { FLEET_KEY_FILE, FleetKeyError } from './fleet-key.ts';
import { createNodeFetch } from './node-fetch.ts';
import { trustAlso } from './tls.ts';

export interface MemberJoinRequest {
  readonly settings: Settings;
  /** An issued key (`bpi~…`): a join key, or the node's own. Absent: the JWT in `token_file`. */
  readonly key?: string;
}

export type JoinedMember = Pick<Member, 'node_id' | 'fleet' | 'site' | 'joined_at'>;

const ANSWER_WITHIN_MS = 15_000;

/**
 * Makes a data directory that of a node without the fleet key: asks the cloud or a leader what such a node needs, and keeps that. Rejects
 * with `FleetKeyError` when the directory does not allow it, with `ConfigError` when the address does not, with `ApiError` or `UnreachableError` as the call does.
 */
export async function joinAsMember({ settings, key }: MemberJoinRequest): Promise<JoinedMember> {
  const { data_dir, tls_ca, token_file } = settings;
  const target = whomToAsk(settings);
  const clock = createNodeClock();
  const lock = lockDataDir(data_dir, clock);
  try {
    if (existsSync(join(data_dir, FLEET_KEY_FILE))) {
      throw new FleetKeyError(
        `${data_dir} holds ${FLEET_KEY_FILE}, so this node could do all that the fleet can: nothing was changed; give the node a directory of its own with --data-dir`,
      );
    }
    const files = createStateFiles({ folder: data_dir, clock });
    const random = createNodeRandom(clock);
    // Of a file that is spoilt nothing is left: that is why somebody joins again.
    const before = await readMember({ files, log: quiet }).catch(() => undefined);
    // Kept before anything is asked, so that who tries again is the same node. Its boots are not counted here.
    const kept = await readJsonFile({ files, log: quiet }, 'node.json', z.object({ node_id: Id }));
    const named = settings.node_id ?? before?.node_id ?? kept?.node_id;
    const node_id = named ?? (await identify({ files, clock, random, log: quiet })).node_id;
    if (tls_ca !== undefined) trustAlso(tls_ca);
    const credential = key ?? (token_file === undefined ? '' : (await watchedFile(token_file).read()).trim());
    const fetch = boundedFetch({
      fetch: createNodeFetch(),
      clock,
      timeout_ms: () => ANSWER_WITHIN_MS,
      signal: new AbortController().signal,
    });
    const site = settings.site === 'default' ? {} : { site: settings.site };
    const answer = await createIdentityClient({ url: target.url, credential, fetch }).join({ node_id, ...site });
    refuseOther(settings, node_id, answer, before);
    const local_key = before?.local_key ?? toBase64Url(random.bytes(32));
    const member = toMember(answer, { ...target, key, before, local_key, asked_at: toTimestamp(clock.now()) });
    // What is no key is refused here and not at the next start.
    await memberKeys(member, () => clock.now());
    await writeMember({ files, log: quiet }, member);
    return member;
  } finally {
    lock.release();
  }
}

interface Target {
  readonly url: string;
  readonly is_cloud: boolean;
}

/** Throws `ConfigError` where nobody is named who may be shown a credential. */
function whomToAsk({ cloud_url, peers }: Settings): Target {
  if (cloud_url !== undefined) return { url: cloud_url, is_cloud: true };
  const url = peers.find(isPrivateWire);
  if (url !== undefined) return { url, is_cloud: false };
  throw new ConfigError('bad_value', [
    `joining without the fleet key asks the cloud (--cloud-url URL) or the leader of a site (--peers URL) over https: ${peers.length === 0 ? 'neither is named' : `${peers.join(', ')} is plain http, where others could read the answer`}`,
  ]);
}

function refuseOther({ fleet, site }: Settings, node_id: string, answer: JoinAnswer, before: Member | undefined): void {
  const refuse = (why: string) => {
    throw new FleetKeyError(`${why}: nothing was changed`);
  };
  if (answer.node_id !== node_id) refuse(`it answered for node ${answer.node_id}, and this one is ${node_id}`);
  if (fleet !== 'default' && fleet !== answer.fleet) refuse(`the credential is of fleet ${answer.fleet}, and --fleet says ${fleet}`);
  if (answer.site !== undefined && site !== 'default' && site !== answer.site) {
    refuse(`the key is for nodes of site ${answer.site}, and --site says ${site}`);
  }
  if (before !== undefined && before.fleet !== answer.fleet) {
    refuse(
      `${MEMBER_FILE} is of fleet ${before.fleet}, and the credential of ${answer.fleet}; give this node a directory of its own with --data-dir`,
    );
  }
}

interface Kept {
  readonly url: string;
  readonly is_cloud: boolean;
  readonly key: string | undefined;
  readonly before: Member | undefined;
  readonly local_key: string;
  readonly asked_at: string;
}

/** A join key is not kept: it has done what it is for. The node's own key is, for it is all that this node has to show. */
function toMember(answer: JoinAnswer, { url, is_cloud, key, before, local_key, asked_at }: Kept): Member {
  const { replaces_until: _, credential, ...given } = answer;
  const shown = credential !== undefined ? { credential } : key !== undefined ? { issued_key: key } : {};
  const retired_document_keys = before === undefined ? [] : retiredKeys(before, answer.document_keys);
  return { ...given, ...shown, joined_at: url, is_cloud, retired_document_keys, local_key, asked_at };
}

/** The command says what there is to say. */
const quiet: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };
