import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deriveFleetKeys, type FleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { overlappingKeys } from '../../../shared/contract/fleet-keys-overlap.ts';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import type { Member } from '../../../shared/contract/member.ts';
import { MEMBER_FILE, MemberFileError, readMember, writeMember } from '../../../shared/discovery/member-file.ts';
import { createMembership, type Membership, type MembershipDeps } from '../../../shared/discovery/membership.ts';
import { drain } from '../../support/drain.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { keys as old } from './harness.ts';

const DAY_MS = 86_400_000;
const CLOUD = 'https://cloud.example';
const fresh = await deriveFleetKeys('default', 'the fleet key that comes after it');

let clock: SimulatedClock;
let files: ReturnType<typeof memoryStateFiles>;
let log: ReturnType<typeof recordingLog>;
let asked: { url: string; credential: string | null }[];
/** What the cloud holds; undefined while it is away. */
let holder: FleetKeys | undefined;
const over = new AbortController();
beforeEach(() => {
  clock = new SimulatedClock();
  files = memoryStateFiles();
  log = recordingLog();
  asked = [];
  holder = old;
});
afterEach(() => drain());

async function member(more: Partial<Member> = {}): Promise<Member> {
  return {
    ...{ node_id: 'm', fleet: 'default', joined_at: CLOUD, is_cloud: true, credential: await old.nodeCredential('m') },
    ...{ discovery_key: old.discovery_key, document_keys: [old.documents.public_key], retired_document_keys: [] },
    ...{ local_key: 'A'.repeat(43), asked_at: toTimestamp(0), ...more },
  };
}

async function open(given: Member, more: Partial<MembershipDeps> = {}): Promise<Membership> {
  await writeMember({ files, log }, given);
  return createMembership(given, {
    ...{ files, log, clock, random: seededRandom(3) },
    fetch: async (request) => {
      asked.push({ url: new URL(request.url).origin, credential: request.headers.get('authorization') });
      if (holder === undefined) throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
      const { documents, replaces_until, discovery_key } = holder;
      return Response.json({
        ...{ node_id: 'm', fleet: 'default', credential: await holder.nodeCredential('m'), discovery_key },
        document_keys: [documents, ...(documents.others ?? [])].map(({ public_key }) => public_key),
        ...(replaces_until === undefined ? {} : { replaces_until: toTimestamp(replaces_until) }),
      });
    },
    ...more,
  });
}

/** Lets time pass while it runs. */
async function live(membership: Membership, ms: number): Promise<void> {
  const end = new AbortController();
  const running = membership.run(AbortSignal.any([end.signal, over.signal]));
  await clock.advance(1);
  for (let left = ms; left > 0; left -= DAY_MS / 4) await clock.advance(Math.min(left, DAY_MS / 4));
  end.abort();
  await running;
}

const warnings = () => log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);

describe('the file of a member', () => {
  it('is read as it was written; of a spoilt one the copy is used and kept anew, and of two spoilt ones nothing', async () => {
    const given = await member();
    expect(await readMember({ files, log })).toBeUndefined();
    await writeMember({ files, log }, given);
    expect(await readMember({ files, log })).toEqual(given);
    const text = files.texts.get(MEMBER_FILE) ?? '';
    // One letter of a key: only the hash tells.
    files.texts.set(MEMBER_FILE, text.replace(old.discovery_key, `${old.discovery_key.slice(0, -1)}A`));
    expect(await readMember({ files, log })).toEqual(given);
    expect(files.texts.get(MEMBER_FILE)).toBe(text);
    expect(files.texts.has(`${MEMBER_FILE}.unusable-1`)).toBe(true);
    for (const name of [MEMBER_FILE, 'member.copy.json']) files.texts.set(name, text.slice(0, 100));
    await expect(readMember({ files, log })).rejects.toThrow(MemberFileError);
    await expect(readMember({ files, log })).rejects.toThrow(/bootplane join/);
  });
});

describe('a member', () => {
  it('asks again at its start and once a day, with its own credential, whom its person named and nobody else', async () => {
    const given = await member();
    await live(await open(given), 3.5 * DAY_MS);
    expect(asked.length).toBeGreaterThanOrEqual(4);
    expect(asked.length).toBeLessThanOrEqual(5);
    expect(new Set(asked.map(({ url }) => url))).toEqual(new Set([CLOUD]));
    expect(new Set(asked.map(({ credential }) => credential))).toEqual(new Set([`Bearer ${given.credential}`]));
    expect((await readMember({ files, log }))?.asked_at).not.toBe(given.asked_at);
    expect(warnings()).toEqual([]);
  });

  it('keeps what it has while nobody answers, says so once, and tries again sooner than in a day', async () => {
    holder = undefined;
    const given = await member();
    const membership = await open(given);
    const before = new Map(files.texts);
    await live(membership, DAY_MS);
    expect(asked.length).toBeGreaterThan(10);
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]).toContain('stays as it is');
    expect(files.texts).toEqual(before);
  });

  it('follows a rotation: both keys while they overlap, the new one alone after', async () => {
    const membership = await open(await member());
    const until = clock.now() + 7 * DAY_MS;
    holder = overlappingKeys(fresh, old, until);
    await live(membership, 60_000);
    const { keys } = membership;
    const proof = { purpose: 'leader-proof', origin: 'http://192.0.2.9:7420' };
    const hint = { purpose: 'advert' };
    expect(await keys.verifyHint(hint, await keys.signHint(hint))).toBe(true);
    expect(await fresh.verifyHint(hint, await keys.signHint(hint))).toBe(true);
    expect(keys.documents.key_id).toBe(fresh.documents.key_id);
    expect(keys.documents.others?.map(({ key_id }) => key_id)).toEqual([old.documents.key_id]);
    // A leader that has the old key yet is shown what it knows.
    expect(await keys.verifyHint(proof, await old.signHint(proof))).toBe(true);
    expect(await membership.credentialFor(proof.origin)).toBe(await old.nodeCredential('m'));
    expect(await membership.credentialFor(CLOUD)).toBe(await fresh.nodeCredential('m'));
    expect(await keys.verifyHint(proof, await fresh.signHint(proof))).toBe(true);
    expect(await membership.credentialFor(proof.origin)).toBe(await fresh.nodeCredential('m'));
    // It is on the disk for the next start.
    expect((await readMember({ files, log }))?.previous?.until).toBe(toTimestamp(until));
    await clock.advance(8 * DAY_MS);
    expect(await keys.verifyHint(proof, await old.signHint(proof))).toBe(false);
    holder = fresh;
    await live(membership, 60_000);
    const kept = await readMember({ files, log });
    expect(kept?.previous).toBeUndefined();
    expect(kept).toMatchObject({ document_keys: [fresh.documents.public_key], retired_document_keys: [old.documents.public_key] });
    expect(keys.documents.others).toBeUndefined();
  });

  it('takes no answer for another node, and none that is no answer', async () => {
    const given = await member();
    const membership = await open(given, {
      fetch: async () =>
        Response.json({ node_id: 'x', fleet: 'default', discovery_key: fresh.discovery_key, document_keys: [fresh.documents.public_key] }),
    });
    await live(membership, 60_000);
    expect(warnings()).toEqual([expect.stringContaining('it answered for node x')]);
    expect(membership.keys.documents.key_id).toBe(old.documents.key_id);
    expect(await readMember({ files, log })).toEqual(given);
  });

  it('has no way to sign, to derive or to vouch, and takes its own credential for its own alone', async () => {
    const { keys } = await open(await member());
    expect(Object.keys(keys)).not.toEqual(expect.arrayContaining(['signForward']));
    for (const name of ['signForward', 'verifyForward', 'nodeCredential', 'isFleetKey', 'discovery_key']) expect(name in keys).toBe(false);
    expect('sign' in keys.documents).toBe(false);
    expect(await keys.verifyNodeCredential(keys.local_credential)).toBe('m');
    expect(await keys.verifyNodeCredential(await old.nodeCredential('m'))).toBeUndefined();
    expect(await keys.verifyServiceToken(await keys.serviceToken('m', 'bell'))).toEqual({ node_id: 'm', service: 'bell' });
    expect(await old.verifyServiceToken(await keys.serviceToken('m', 'bell'))).toBeUndefined();
    expect(await old.verifyNodeCredential(keys.local_credential)).toBeUndefined();
  });

  it('shows an issued key over https or inside its machine alone', async () => {
    const { credential: _, ...rest } = await member();
    const membership = await open({ ...rest, issued_key: 'bpi~default~k~secret' });
    expect(membership.https_only).toBe(true);
    expect(await membership.credentialFor(CLOUD)).toBe('bpi~default~k~secret');
    expect(await membership.credentialFor('http://127.0.0.1:7420')).toBe('bpi~default~k~secret');
    await expect(membership.credentialFor('http://192.0.2.1:7420')).rejects.toThrow('plain http');
  });
});
