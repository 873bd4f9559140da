import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemberFetch } from '../../../runtime-node/member-fetch.ts';
import { createClient } from '../../../shared/client.ts';
import { proveCredential } from '../../../shared/contract/credential-proof.ts';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import type { Member } from '../../../shared/contract/member.ts';
import { ASK_AGAIN_MS } from '../../../shared/discovery/known-nodes.ts';
import { KNOWN_NODES_FILE } from '../../../shared/discovery/known-nodes-file.ts';
import { createMembership } from '../../../shared/discovery/membership.ts';
import type { DiscoveryConfig } from '../../../shared/discovery/types.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { CLOUD, Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { FLEET_KEY, keys } from './harness.ts';

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
  fleet.cloud.reachable = true;
});
afterEach(() => fleet.close());

const cloud = () => createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });
const planOf = (names: readonly string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) });

type Options = Partial<DiscoveryConfig> & { readonly is_old?: boolean };

/** A machine whose node was let in by the cloud. `is_old`: by one of before, which did not prove credentials. */
async function member(name: string, { is_old = false, ...config }: Options = {}): Promise<FleetMachine> {
  const credential = await keys.nodeCredential(name);
  const credential_proof = is_old ? undefined : await proveCredential(keys, credential);
  const given: Member = {
    ...{ node_id: name, fleet: 'default', joined_at: CLOUD, is_cloud: true, credential },
    ...(credential_proof === undefined ? {} : { credential_proof }),
    ...{ discovery_key: keys.discovery_key, document_keys: [keys.documents.public_key], retired_document_keys: [] },
    ...{ local_key: name.repeat(43), asked_at: toTimestamp(0) },
  };
  const deps = { files: memoryStateFiles(), log: recordingLog(), clock: fleet.clock, random: seededRandom(5) };
  const membership = await createMembership(given, { ...deps, fetch: () => Promise.reject(new Error('not asked here')) });
  const wrap = (fetch: Parameters<typeof createMemberFetch>[0]) => createMemberFetch(fetch, membership);
  return fleet.machine(name, { cloud_url: CLOUD, ...config }, { keys: membership.keys, wrap, documents_url: CLOUD });
}

async function site(names: readonly string[], options: Options = {}): Promise<FleetMachine[]> {
  const machines: FleetMachine[] = [];
  for (const name of names) machines.push(await member(name, options));
  for (const machine of machines) await machine.boot();
  await fleet.elapse(2 * TTL_MS);
  return machines;
}

const theLeader = (): FleetMachine => {
  const [leader, ...more] = fleet.leaders();
  if (leader === undefined || more.length > 0) throw new Error(`there should be one leader:\n${fleet.standing()}`);
  return leader;
};
const others = (machines: readonly FleetMachine[]) => machines.filter((one) => one !== theLeader());
const applied = (machine: FleetMachine) => machine.trace.filter((line) => line.startsWith('stop') || line.startsWith('apply'));
const expectRunning = (machines: readonly FleetMachine[], names: readonly string[]) => {
  for (const { running, name } of machines) expect(running?.services.running, name).toEqual(names);
};

describe('a site of nodes without the fleet key, with a cloud', () => {
  it('has a leader that the cloud confirms; the others follow it on the LAN, run what the cloud signed, and are seen there', async () => {
    await cloud().publish('plan', planOf(['bell']), { if_match: 0 });
    const machines = await site(['a', 'b', 'c']);
    expect(theLeader().state).toMatchObject({ source: 'self', confirmed: true, provisional: false });
    for (const { state } of others(machines)) expect(state).toMatchObject({ leader_node_id: theLeader().node_id, source: 'mdns' });
    expectRunning(machines, ['bell']);
    await fleet.elapse(2 * TTL_MS);
    const { nodes } = (await cloud().nodes()).body;
    expect(nodes.map(({ node_id, liveness }) => [node_id, liveness])).toEqual(['a', 'b', 'c'].map((name) => [name, 'online']));

    // Published at the cloud, it comes to all by their leader.
    await cloud().publish('plan', planOf(['bell', 'lamp']), { if_match: 1 });
    await fleet.elapse(2 * TTL_MS);
    expectRunning(machines, ['bell', 'lamp']);
  });

  it.each([
    ['that prove themselves', false],
    ['that do not', true],
  ])('asks the cloud once for each of its nodes %s, not at each of their calls, and tells no secret in its log', async (_, is_old) => {
    let asked = 0;
    fleet.onRequest = (_from, to, request) => {
      if (to === CLOUD && new URL(request.url).pathname === '/v1/introspect') asked += 1;
    };
    const machines = await site(['a', 'b', 'c'], { is_old });
    await fleet.elapse(20 * TTL_MS);
    expect(asked).toBe(2);
    const told = machines.flatMap(({ log }) => log.lines.map((line) => JSON.stringify(line))).join('\n');
    for (const { name } of machines) expect(told).not.toContain(await keys.nodeCredential(name));
  });

  it('goes on provisionally while the cloud is cut off, restarts nothing, and is confirmed again', async () => {
    await cloud().publish('plan', planOf(['bell']), { if_match: 0 });
    const machines = await site(['a', 'b', 'c']);
    const leader = theLeader();
    const before = machines.map(applied);
    fleet.cloud.reachable = false;
    await fleet.elapse(4 * TTL_MS);
    expect(theLeader()).toBe(leader);
    expect(leader.state).toMatchObject({ provisional: true, confirmed: false });
    for (const { state } of others(machines)) expect(state).toMatchObject({ leader_node_id: leader.node_id, source: 'mdns' });
    // Longer than what it was told of its nodes counts without being asked again.
    await fleet.elapse(1.25 * ASK_AGAIN_MS);
    for (const { state } of others(machines)) expect(state).toMatchObject({ leader_node_id: leader.node_id, source: 'mdns' });
    const warned = leader.logged('warn').filter((message) => message.includes("the cloud can't be asked"));
    expect(warned.length).toBeLessThanOrEqual(2);
    fleet.cloud.reachable = true;
    await fleet.elapse(4 * TTL_MS);
    expect(theLeader().state).toMatchObject({ confirmed: true, provisional: false });
    expect(machines.map(applied)).toEqual(before);
  });

  it.each([
    ['that prove themselves', false],
    ['that do not', true],
  ])('a leader that starts again while the cloud is away still knows its nodes %s', async (_, is_old) => {
    await cloud().publish('plan', planOf(['bell']), { if_match: 0 });
    const machines = await site(['a', 'b'], { is_old });
    const leader = theLeader();
    const [other] = others(machines);
    if (other === undefined) throw new Error(fleet.standing());
    expect(leader.files.texts.get(KNOWN_NODES_FILE)).toContain(other.node_id);
    expect(leader.files.texts.get(KNOWN_NODES_FILE)).not.toContain(await keys.nodeCredential(other.name));
    fleet.cloud.reachable = false;
    other.kill();
    leader.kill();
    await leader.boot();
    await fleet.until(() => leader.state.leads, 120_000, 500);
    await other.boot();
    await fleet.until(() => other.state.source === 'mdns' && other.state.leader_node_id === leader.node_id, 120_000, 500);
    await fleet.elapse(2 * TTL_MS);
    const own = createClient({ url: leader.url, credential: leader.name.repeat(43), fetch: leader.running?.answer ?? fetch });
    const { nodes } = (await own.nodes()).body;
    expect(nodes.find(({ node_id }) => node_id === other.node_id)).toMatchObject({ liveness: 'online' });
    expectRunning(machines, ['bell']);
  });

  it('whose leader dies while the cloud is away is led by another, which knows its nodes by what they prove', async () => {
    const counted = { services: [{ name: 'lamp', version: '1', command: ['sleep', '1'], placement: { count: 1 } }] };
    await cloud().publish('plan', counted, { if_match: 0 });
    const machines = await site(['a', 'b', 'c']);
    fleet.cloud.reachable = false;
    await fleet.elapse(TTL_MS);
    // Where the service was, the power fails: it has to move, and there is nobody to ask.
    const held = () => machines.filter(({ running }) => running?.services.running.includes('lamp'));
    const [holder] = held();
    expect(held()).toHaveLength(1);
    holder?.kill();
    if (holder !== undefined && fleet.leaders().length > 0) theLeader().kill();
    await fleet.until(() => fleet.leaders().length === 1 && held().length === 1, 300_000, 500);
    expect(theLeader().state).toMatchObject({ provisional: true });
    const own = createClient({
      url: theLeader().url,
      credential: theLeader().name.repeat(43),
      fetch: theLeader().running?.answer ?? fetch,
    });
    const online = (await own.nodes()).body.nodes.filter(({ liveness }) => liveness === 'online').map(({ node_id }) => node_id);
    expect(online.sort()).toEqual(machines.filter(({ running }) => running !== undefined).map(({ name }) => name));
  });

  it('whose leader dies while the cloud is away is led by another; a node that this one does not know keeps what it runs', async () => {
    await cloud().publish('plan', planOf(['bell']), { if_match: 0 });
    const machines = await site(['a', 'b', 'c'], { is_old: true });
    const before = machines.map(applied);
    const first = theLeader();
    const [second, third] = others(machines);
    if (second === undefined || third === undefined) throw new Error(fleet.standing());
    fleet.cloud.reachable = false;
    await fleet.elapse(TTL_MS);
    first.kill();
    await fleet.until(() => fleet.leaders().length === 1, 120_000, 500);
    await fleet.elapse(8 * TTL_MS);
    const now = theLeader();
    expect(now.state).toMatchObject({ provisional: true });
    expectRunning([second, third], ['bell']);
    // Nobody makes the log grow by what can't be helped.
    for (const { log } of [second, third]) expect(log.lines.filter(({ level }) => level === 'warn').length).toBeLessThan(60);

    fleet.cloud.reachable = true;
    await fleet.until(() => now.running !== undefined && fleet.leaders().length === 1 && theLeader().state.confirmed, 300_000, 500);
    await first.boot();
    await fleet.elapse(6 * TTL_MS);
    expect(theLeader().state).toMatchObject({ confirmed: true });
    for (const { state } of others(machines)) expect(state).toMatchObject({ leader_node_id: theLeader().node_id });
    expectRunning(machines, ['bell']);
    for (const [index, machine] of machines.entries()) if (machine !== first) expect(applied(machine)).toEqual(before[index]);
  });

  it('leads nothing where it is told not to', async () => {
    const m = await member('m', { lead: false });
    await m.boot();
    await fleet.elapse(4 * TTL_MS);
    expect(m.state).toMatchObject({ leads: false, source: 'cloud' });
    fleet.cloud.reachable = false;
    await fleet.elapse(20 * TTL_MS);
    expect(m.state.leads).toBe(false);
  });
});

describe('a site of both kinds, with a cloud', () => {
  it.each([
    ['the one without the key first', ['m', 'k']],
    ['the one with the key first', ['k', 'm']],
  ])('has one leader whoever came first: %s', async (_, order) => {
    await cloud().publish('plan', planOf(['bell']), { if_match: 0 });
    const machines: FleetMachine[] = [];
    for (const name of order) {
      const machine = name === 'm' ? await member('m') : fleet.machine('k', { cloud_url: CLOUD }, { documents_url: CLOUD });
      machines.push(machine);
      await machine.boot();
      await fleet.elapse(2 * TTL_MS);
    }
    expect(theLeader().name).toBe(order[0]);
    expect(theLeader().state).toMatchObject({ confirmed: true });
    for (const { state } of others(machines)) expect(state).toMatchObject({ leader_node_id: order[0] });
    expectRunning(machines, ['bell']);
    fleet.cloud.reachable = false;
    await fleet.elapse(3 * TTL_MS);
    expect(theLeader().name).toBe(order[0]);
    expectRunning(machines, ['bell']);
    fleet.cloud.reachable = true;
    await fleet.elapse(3 * TTL_MS);
    expect(theLeader().state).toMatchObject({ confirmed: true });
  });

  it('that starts while the cloud is away is led by one that holds the key, whatever its name; and so it is after its leader has died', async () => {
    fleet.cloud.reachable = false;
    const first = await member('a');
    const rest = [await member('b'), ...['y', 'z'].map((name) => fleet.machine(name, { cloud_url: CLOUD }, { documents_url: CLOUD }))];
    const machines = [first, ...rest];
    for (const machine of machines) await machine.boot();
    await fleet.until(() => fleet.leaders().length === 1, 120_000, 100);
    await fleet.elapse(3 * TTL_MS);
    expect(['y', 'z']).toContain(theLeader().name);
    const gone = theLeader();
    gone.kill();
    await fleet.until(() => fleet.leaders().length === 1, 120_000, 100);
    await fleet.elapse(TTL_MS);
    expect(['y', 'z'].filter((name) => name !== gone.name)).toEqual([theLeader().name]);
    theLeader().kill();
    await fleet.until(() => fleet.leaders().length === 1, 120_000, 100);
    await fleet.elapse(TTL_MS);
    expect(['a', 'b']).toContain(theLeader().name);
    expect(theLeader().state).toMatchObject({ provisional: true });
  });
});
