import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemberFetch } from '../../../runtime-node/member-fetch.ts';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import type { Member } from '../../../shared/contract/member.ts';
import { createMembership } from '../../../shared/discovery/membership.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { CLOUD, Fleet, type FleetMachine } from './fleet.ts';
import { keys } from './harness.ts';

const stranger = await deriveFleetKeys('default', 'a fleet key that nobody gave this node');

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => fleet.close());

/** A machine `m` whose node has joined without the fleet key. A text is its issued key, in place of a derived credential. */
async function member(has: Partial<Member> | string = {}): Promise<FleetMachine> {
  const more = typeof has === 'string' ? { issued_key: has } : { credential: await keys.nodeCredential('m'), ...has };
  const given: Member = {
    ...{ node_id: 'm', fleet: 'default', joined_at: CLOUD, is_cloud: true },
    ...{ discovery_key: keys.discovery_key, document_keys: [keys.documents.public_key], retired_document_keys: [] },
    ...{ local_key: 'B'.repeat(43), asked_at: toTimestamp(0), ...more },
  };
  const deps = { files: memoryStateFiles(), log: recordingLog(), clock: fleet.clock, random: seededRandom(5) };
  const membership = await createMembership(given, { ...deps, fetch: () => Promise.reject(new Error('not asked here')) });
  const config = { lead: false, ...(membership.https_only ? { https_only: true } : {}) };
  return fleet.machine('m', config, { keys: membership.keys, wrap: (fetch) => createMemberFetch(fetch, membership) });
}

const publish = (machine: FleetMachine, names: readonly string[]) =>
  machine.client.publish('plan', { services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) }, { if_match: 0 });

describe('a node without the fleet key among those that hold it', () => {
  it('is found by multicast, follows their leader, runs what it publishes, and goes on with it when they are gone', async () => {
    const [a, b] = await fleet.booted(2);
    const m = await member();
    await m.boot();
    await fleet.elapse(20_000);
    if (a === undefined || b === undefined) throw new Error('two machines were booted');
    expect(m.discovery.state()).toMatchObject({
      leads: false,
      role: 'worker',
      leader_node_id: fleet.leaders()[0]?.node_id,
      source: 'mdns',
    });
    await publish(a, ['bell']);
    await fleet.elapse(20_000);
    expect(m.running?.services.running).toEqual(['bell']);

    fleet.leaders()[0]?.kill();
    await fleet.until(
      () => fleet.leaders().length === 1 && m.discovery.state().leader_node_id === fleet.leaders()[0]?.node_id,
      120_000,
      500,
    );
    fleet.leaders()[0]?.kill();
    await fleet.elapse(300_000);
    expect(m.discovery.state()).toMatchObject({ leads: false });
    expect(m.running?.services.running).toEqual(['bell']);

    // Alone after a power cut: from its disk, and it still elects nobody.
    m.kill();
    await m.boot();
    await fleet.elapse(60_000);
    expect(m.running?.services.running).toEqual(['bell']);
    expect(m.discovery.state().leads).toBe(false);
    expect(m.discovery.state().trace?.steps.find(({ step }) => step === 'self')?.detail).toContain('joined without the fleet key');
  });

  it('applies no document that is signed with a key it does not trust, and what runs goes on', async () => {
    const [a] = await fleet.booted(1);
    if (a === undefined) throw new Error('a machine was booted');
    // What the leader signs with is not among what this node was given.
    const m = await member({ document_keys: [stranger.documents.public_key] });
    await m.boot();
    await publish(a, ['bell']);
    await fleet.elapse(60_000);
    expect(a.running?.services.running).toEqual(['bell']);
    expect(m.running?.services.running).toEqual([]);
    expect(m.discovery.state().waiting_for.join()).toContain('signed with a key');
    expect(m.discovery.state().leader_node_id).toBe('a');
  });

  it('uses what it has verified and kept itself under a document key of before', async () => {
    const [a] = await fleet.booted(1);
    if (a === undefined) throw new Error('a machine was booted');
    await publish(a, ['bell']);
    const m = await member();
    await m.boot();
    await fleet.elapse(30_000);
    expect(m.running?.services.running).toEqual(['bell']);
    m.kill();
    a.kill();
    const later = await member({ document_keys: [stranger.documents.public_key], retired_document_keys: [keys.documents.public_key] });
    for (const [name, text] of m.files.texts) later.files.texts.set(name, text);
    await later.boot();
    await fleet.elapse(30_000);
    expect(later.running?.services.running).toEqual(['bell']);
  });

  it('with nothing to show on a plain wire follows nobody there, and says what to do', async () => {
    await fleet.booted(1);
    const m = await member('bpi~default~k~secret');
    await m.boot();
    await fleet.elapse(30_000);
    expect(m.discovery.state().leader_node_id).toBeUndefined();
    expect(JSON.stringify(m.discovery.state().trace)).toContain('BOOTPLANE_TLS_CERT');
  });
});
