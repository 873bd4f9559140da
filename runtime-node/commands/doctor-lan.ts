import { randomUUID } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { deriveFleetKeys, type NodeKeys } from '../../shared/contract/fleet-keys.ts';
import { HttpUrl } from '../../shared/contract/ids.ts';
import type { LeaderProof } from '../../shared/contract/leader.ts';
import { memberKeys } from '../../shared/contract/member-keys.ts';
import type { Settings } from '../config.ts';
import { messageOf } from '../thrown.ts';
import { findFleetKey, findMember, parseJson, readOptional } from './connect.ts';
import { type Finding, ok, warn } from './doctor-finding.ts';
import type { Io } from './io.ts';

/** Where multicast DNS happens (RFC 6762, section 3). */
const MDNS_GROUP = '224.0.0.251';
const ANSWER_WITHIN_MS = 3_000;
/** So many peers are asked: the newest. */
const ASKED = 16;

/** Whether this machine may take part in multicast DNS on each of its interfaces. Nothing is sent. */
export async function checkMulticast({ mdns, interfaces }: Settings): Promise<Finding> {
  if (!mdns) return ok('multicast', 'turned off (--no-mdns)');
  const all = Object.entries(networkInterfaces()).flatMap(([name, list = []]) =>
    list
      .filter(({ family, internal }) => family === 'IPv4' && (interfaces.length > 0 || !internal))
      .map(({ address }) => ({ name, address })),
  );
  const missing = interfaces.filter((wanted) => !all.some(({ name, address }) => name === wanted || address === wanted));
  if (missing.length > 0)
    return warn(
      'multicast',
      `there is no interface ${missing.join(', ')} with an IPv4 address now`,
      `This machine has ${listed(all)}. It is used as soon as it comes.`,
    );
  const used = interfaces.length === 0 ? all : all.filter(({ name, address }) => interfaces.includes(name) || interfaces.includes(address));
  if (used.length === 0)
    return warn('multicast', 'this machine has no network but itself', 'Nodes on other machines are found when it has one.');
  const refused = (await Promise.all(used.map(async (one) => ({ one, why: await joinGroup(one.address) })))).filter(
    ({ why }) => why !== undefined,
  );
  if (refused.length === 0) return ok('multicast', `${MDNS_GROUP} can be joined on ${listed(used)}`);
  const detail = refused.map(({ one, why }) => `${one.name}: ${why}`).join('; ');
  return warn('multicast', `${MDNS_GROUP} can't be joined: ${detail}`, 'Where multicast is blocked, name other nodes with --peers.');
}

function listed(all: readonly { name: string; address: string }[]): string {
  return all.length === 0 ? 'none' : all.map(({ name, address }) => `${name} (${address})`).join(', ');
}

/** Undefined when it can be joined; else why not. */
function joinGroup(address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    const end = (why?: string) => {
      socket.close();
      resolve(why);
    };
    socket.once('error', (error) => end(error.message));
    socket.bind(0, () => {
      try {
        socket.addMembership(MDNS_GROUP, address);
        end();
      } catch (error) {
        end(messageOf(error));
      }
    });
  });
}

const PeersFile = z.object({ peers: z.array(z.object({ url: HttpUrl })) });
/** What a node answers to a challenge, whether somebody leads or not. The proof covers every field. */
const Answered = z.object({
  proof: z.string(),
  proved_by: z.string(),
  proved_by_instance: z.string(),
  epoch_seen: z.number(),
  eligible: z.boolean(),
  node_id: z.string().optional(),
  leader_url: z.string().optional(),
  epoch: z.number().optional(),
  provisional: z.boolean().optional(),
  confirmed: z.boolean().optional(),
  nodes_heard: z.number().optional(),
});

/** The nodes that are configured or remembered answer, and prove that they know the fleet. No credential is sent. */
export async function checkPeers(io: Io, settings: Settings): Promise<Finding> {
  const urls = await peersOf(settings);
  if (urls.length === 0) return ok('peers', 'none is set or remembered');
  const keys = await hintKeys(settings).catch(() => undefined);
  if (keys === undefined) return warn('peers', 'without the fleet key nobody can prove anything', 'See the check of the fleet key.');
  const asked = await Promise.all(
    urls.map(async (url) => ({ url, why: await challenge(io, { fleet: keys.fleet, site: settings.site }, keys, url) })),
  );
  const bad = asked.filter(({ why }) => why !== undefined);
  if (bad.length === 0) return ok('peers', `${asked.length} of ${asked.length} answer and prove that they are of this fleet`);
  const detail = `${asked.length - bad.length} of ${asked.length} answer and prove themselves; ${bad.map(({ url, why }) => `${url}: ${why}`).join('; ')}`;
  return warn(
    'peers',
    detail,
    'A node goes on without them. Are they up, of this fleet (key, --fleet) and of this site, and does a firewall let them through?',
  );
}

/** Of a node that has joined without the fleet key, what proofs are made with is all that it has. */
async function hintKeys(settings: Settings): Promise<Pick<NodeKeys, 'fleet' | 'verifyHint'>> {
  const member = await findMember(settings.data_dir);
  return member === undefined ? deriveFleetKeys(settings.fleet, await findFleetKey(settings)) : memberKeys(member, () => 0);
}

async function peersOf({ data_dir, peers }: Settings): Promise<string[]> {
  const text = await readOptional(join(data_dir, 'peers.json')).catch(() => undefined);
  const kept = PeersFile.safeParse(text === undefined ? undefined : parseJson(text));
  const remembered = kept.success ? kept.data.peers.map(({ url }) => new URL(url).origin) : [];
  return [...new Set([...peers, ...remembered])].slice(0, ASKED);
}

/** Undefined when the one at the URL has proved itself; else why not. */
async function challenge(
  io: Io,
  { fleet, site }: Pick<Settings, 'fleet' | 'site'>,
  keys: Pick<NodeKeys, 'verifyHint'>,
  origin: string,
): Promise<string | undefined> {
  const question = { challenge: randomUUID(), fleet, site, origin };
  try {
    const url = new URL(`/v1/leader?${new URLSearchParams(question)}`, origin);
    const response = await fetch(url, { signal: AbortSignal.any([io.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]), redirect: 'manual' });
    const { success, data } = Answered.safeParse(await response.json());
    if (!success) return `it answers ${response.status} without a proof`;
    const leader = response.ok ? data : undefined;
    const proof: LeaderProof = {
      purpose: 'leader-proof',
      ...question,
      node_id: data.proved_by,
      instance_id: data.proved_by_instance,
      epoch_seen: data.epoch_seen,
      eligible: data.eligible,
      leader_node_id: leader?.node_id ?? null,
      leader_url: leader?.leader_url ?? null,
      epoch: leader?.epoch ?? null,
      provisional: leader?.provisional ?? null,
      confirmed: leader?.confirmed ?? null,
      nodes_heard: leader?.nodes_heard ?? null,
    };
    return (await keys.verifyHint(proof, data.proof)) ? undefined : 'its proof is not of this fleet';
  } catch (error) {
    return error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error);
  }
}
