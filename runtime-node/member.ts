import { join } from 'node:path';
import type { Member } from '../shared/contract/member.ts';
import { PROXY_CAPABILITY } from '../shared/decide/roles.ts';
import { MEMBER_FILE, readMember } from '../shared/discovery/member-file.ts';
import { createMembership, type Membership } from '../shared/discovery/membership.ts';
import { createOwnToken } from '../shared/discovery/own-token.ts';
import { isProvedCloud } from '../shared/discovery/prove.ts';
import type { Log } from '../shared/ports/log.ts';
import { watchedFile } from './adapters/watched-file.ts';
import type { Machine } from './compose.ts';
import type { Config } from './config.ts';
import { FLEET_KEY_FILE, FleetKeyError, readFleetKey } from './fleet-key.ts';
import { createNodeFetch } from './node-fetch.ts';

/** What a node without the fleet key runs with, and its settings as far as they hold for one. */
export interface OpenMember {
  readonly membership: Membership;
  readonly config: Config;
}

/**
 * Undefined where this data directory has not joined without the fleet key. Rejects with `FleetKeyError` where the settings or
 * other files say something else, and with `MemberFileError` where the file can't be used.
 */
export async function openMember(config: Config, { files, clock, random, log }: Machine): Promise<OpenMember | undefined> {
  const member = await readMember({ files, log });
  if (member === undefined) return undefined;
  await refuseFleetKey(config);
  const settings = asMember(config, member, log);
  const { cloud_url, token_file, insecure_http } = settings;
  const token = token_file === undefined ? undefined : createOwnToken(watchedFile(token_file), { clock, log });
  const deps = { files, clock, random, log, fetch: createNodeFetch(), cloud_url, token, insecure_http };
  return { membership: await createMembership(member, deps), config: settings };
}

/** A node has one or the other: which of them is meant only a person knows. */
async function refuseFleetKey({ data_dir, api_key }: Config): Promise<void> {
  const path = join(data_dir, MEMBER_FILE);
  if (api_key !== undefined) {
    throw new FleetKeyError(
      `${path} says that this node has joined without the fleet key, and BOOTPLANE_API_KEY is set: unset it, or give a node that holds the key a directory of its own with --data-dir`,
    );
  }
  if ((await readFleetKey(join(data_dir, FLEET_KEY_FILE))) === undefined) return;
  throw new FleetKeyError(
    `${data_dir} holds ${MEMBER_FILE} of a node without the fleet key, and ${FLEET_KEY_FILE}: remove the one that is not meant, and the copy of ${MEMBER_FILE} with it`,
  );
}

/** The names are those under which it was let in. Throws `FleetKeyError` for settings that say something else. */
function asMember(config: Config, member: Member, log: Log): Config {
  refuseOther('--fleet', config.fleet, member.fleet);
  if (member.site !== undefined) refuseOther('--site', config.site, member.site);
  if (config.node_id !== undefined && config.node_id !== member.node_id) {
    throw new FleetKeyError(
      `this node has joined as ${member.node_id}, and is set to be ${config.node_id}: what it was given is good for the first alone`,
    );
  }
  const { cloud_url = member.is_cloud ? member.joined_at : undefined, capabilities, seeds } = config;
  // Who let it in is asked first, beside those that are set.
  const peers = member.is_cloud ? config.peers : [...new Set([...config.peers, member.joined_at])];
  const isProxy = capabilities.includes(PROXY_CAPABILITY);
  // Else nobody could tell it whose the credentials of other nodes are.
  const mayLead = config.lead && isProvedCloud(cloud_url);
  log.info(
    `this node has joined without the fleet key: it verifies what the fleet signs and acts as itself alone, so it is no proxy and vouches for nobody; ${mayLead ? `it may lead its site, since ${cloud_url} tells it whose a credential is and signs the documents` : 'it never leads: another node of its site has to'}`,
  );
  if (isProxy)
    log.warn(`the capability ${PROXY_CAPABILITY} is left out: a proxy checks the credentials of others, which takes the fleet key`);
  if (Object.keys(seeds).length > 0) {
    log.warn(
      'the plan and the profile to start with are not laid down: this node signs no documents; publish them at the cloud, or at a leader that holds the fleet key',
    );
  }
  return {
    ...config,
    fleet: member.fleet,
    site: member.site ?? config.site,
    node_id: member.node_id,
    lead: mayLead,
    capabilities: capabilities.filter((one) => one !== PROXY_CAPABILITY),
    peers,
    seeds: {},
    ...(cloud_url === undefined ? {} : { cloud_url }),
  };
}

/** The name of a setting that nobody has set is `default`. */
function refuseOther(flag: string, set: string, joined: string): void {
  if (set === joined || set === 'default') return;
  throw new FleetKeyError(
    `this node has joined as one of ${joined}, and ${flag} says ${set}: leave the flag out, or join with a key of ${set}`,
  );
}
