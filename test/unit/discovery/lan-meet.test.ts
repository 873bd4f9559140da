import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLOUD, Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { oneLeader } from './one-leader.ts';

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => fleet.close());

const plan = { services: [{ name: 'api', version: '1', command: ['sleep', '1'] }] };

const expectOneLeader = (machines: readonly FleetMachine[]) => oneLeader(fleet, machines);

/** Cuts the network between these and all others, until it is healed. */
function split(some: readonly FleetMachine[]): void {
  const side = new Set(some.map(({ address }) => address));
  fleet.partition = (from, to) => from !== CLOUD && to !== CLOUD && side.has(from) !== side.has(to);
}

const heal = () => {
  fleet.partition = undefined;
};

/** Notes each epoch that a machine follows or leads by, as time goes on: it must never go down. */
async function elapseUpwards(ms: number, machines: readonly FleetMachine[]): Promise<void> {
  const highest = new Map<FleetMachine, number>();
  for (let passed = 0; passed < ms; passed += 100) {
    await fleet.elapse(100);
    for (const machine of machines) {
      const { epoch } = machine.state;
      expect(epoch, `${machine.name}: ${fleet.standing()}`).toBeGreaterThanOrEqual(highest.get(machine) ?? 0);
      highest.set(machine, epoch);
    }
  }
}

describe('leaders that meet after a split', () => {
  it('the one that has heard more nodes wins, though its epoch is lower, and takes an epoch above both', async () => {
    const machines = await fleet.booted(5);
    const [a, b, c, d, e] = machines as [FleetMachine, FleetMachine, FleetMachine, FleetMachine, FleetMachine];
    await a.client.publish('plan', plan, { if_match: 0 });
    await fleet.elapse(6000);
    split([d, e]);
    await fleet.elapse(2 * TTL_MS);
    expect(a.state).toMatchObject({ leads: true, epoch: 1 });
    const [other] = [d, e].filter(({ state }) => state.leads) as [FleetMachine];
    expect(other.state.epoch).toBe(2);
    heal();
    await elapseUpwards(5 * TTL_MS, machines);
    const leader = expectOneLeader(machines);
    expect(leader).toBe(a);
    expect(leader.state.epoch).toBe(3);
    for (const { trace } of [a, b, c, d, e]) expect(trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('the higher epoch wins where both have heard as many', async () => {
    const machines = await fleet.booted(2);
    const [a, b] = machines as [FleetMachine, FleetMachine];
    split([b]);
    await fleet.elapse(3 * TTL_MS);
    expect([a.state.epoch, b.state.epoch, b.state.leads]).toEqual([1, 2, true]);
    heal();
    await elapseUpwards(5 * TTL_MS, machines);
    expect(expectOneLeader(machines)).toBe(b);
    expect(b.state.epoch).toBe(2);
  });

  it('the smaller node_id wins where all else is alike, at an epoch above both', async () => {
    const machines = [fleet.machine('a'), fleet.machine('b')];
    const [a] = machines as [FleetMachine];
    split([a]);
    for (const machine of machines) await machine.boot();
    await fleet.elapse(2 * TTL_MS);
    expect(machines.map(({ state }) => [state.leads, state.epoch])).toEqual([
      [true, 1],
      [true, 1],
    ]);
    heal();
    await elapseUpwards(5 * TTL_MS, machines);
    expect(expectOneLeader(machines)).toBe(a);
    expect(a.state.epoch).toBe(2);
  });

  it('one hears of the other by its challenge where there is no multicast', async () => {
    const a = fleet.machine('a', {}, { multicast: false });
    const b = fleet.machine('b', { peers: [a.url] }, { multicast: false });
    split([a]);
    for (const machine of [a, b]) await machine.boot();
    await fleet.elapse(2 * TTL_MS);
    heal();
    await elapseUpwards(5 * TTL_MS, [a, b]);
    expect(expectOneLeader([a, b])).toBe(a);
  });

  it('those elected in the same moment meet at once, also where there is no multicast', async () => {
    const peers = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((address) => `http://${address}:7420`);
    const machines = ['a', 'b', 'c'].map((name) => fleet.machine(name, { peers }, { multicast: false }));
    fleet.partition = () => fleet.leaders().length < machines.length;
    for (const machine of machines) await machine.boot();
    await fleet.until(() => fleet.leaders().length === machines.length, TTL_MS);
    fleet.partition = undefined;
    await fleet.until(() => fleet.leaders().length === 1, 3000);
    await fleet.elapse(3000);
    const leader = expectOneLeader(machines);
    expect(machines.filter((one) => one !== leader).map(({ state }) => state.source)).toEqual(['peer', 'peer']);
  });

  it('one that came back and reached nobody for some seconds meets the other soon, also where there is no multicast', async () => {
    const peers = ['192.0.2.1', '192.0.2.2'].map((address) => `http://${address}:7420`);
    const machines = ['a', 'b'].map((name) => fleet.machine(name, { peers }, { multicast: false }));
    for (const machine of machines) await machine.boot();
    await fleet.until(() => fleet.leaders().length === 1, TTL_MS);
    const back = machines.find((machine) => !machine.state.leads)!;
    back.kill();
    fleet.partition = () => true;
    await back.boot();
    await fleet.until(() => fleet.leaders().length === 2, TTL_MS);
    await fleet.elapse(4000);
    fleet.partition = undefined;
    await fleet.until(() => fleet.leaders().length === 1, 6000);
    await fleet.elapse(3000);
    expectOneLeader(machines);
  });

  /** Whom the next leader tells that it leads, in the moment in which it does, after this many TTLs in which nothing happened. */
  async function toldBySuccessor(machines: readonly FleetMachine[], calm_ttls: number): Promise<readonly string[]> {
    await fleet.elapse(calm_ttls * TTL_MS);
    expectOneLeader(machines).kill();
    // The others answer with adverts of the new epoch, and each is looked at.
    fleet.lan.path = () => [];
    const told: string[] = [];
    fleet.onRequest = (from, to, { url }) => {
      const [leader] = fleet.leaders();
      if (leader?.address === from && new URL(url).searchParams.has('advert')) told.push(to);
    };
    await fleet.until(() => fleet.leaders().length === 1, TTL_MS);
    await fleet.elapse(500);
    const [leader] = fleet.leaders();
    const others = machines.filter((one) => one !== leader && one.running !== undefined).map(({ address }) => address);
    return told.filter((address) => others.includes(address));
  }

  it('a leader tells no node that multicast reaches, however long nothing has changed', async () => {
    expect(await toldBySuccessor(await fleet.booted(3), 60)).toEqual([]);
  });

  it('a leader tells those that multicast does not reach any more', async () => {
    const machines = await fleet.booted(3);
    fleet.lan.path = () => [];
    expect(await toldBySuccessor(machines, 24)).toHaveLength(1);
  });

  it('a leader that has lost its disk goes above what its nodes have seen', async () => {
    const first = await fleet.booted(2);
    const [a, b] = first as [FleetMachine, FleetMachine];
    const shy = fleet.machine('c', { lead: false });
    await shy.boot();
    for (let round = 0; round < 3; round += 1) {
      const [leader, other] = a.state.leads ? [a, b] : [b, a];
      leader.kill();
      await fleet.elapse(TTL_MS);
      await leader.boot();
      await fleet.elapse(TTL_MS);
      expectOneLeader([leader, other, shy]);
    }
    const { epoch } = shy.state;
    expect(epoch).toBeGreaterThan(2);
    for (const machine of [a, b]) machine.kill();
    const fresh = fleet.machine('d');
    await fresh.boot();
    await fleet.elapse(5 * TTL_MS);
    expect(expectOneLeader([fresh, shy])).toBe(fresh);
    expect(fresh.state.epoch).toBe(epoch + 1);
  });
});

describe('with a cloud', () => {
  it('the one that it grants leads by its own Supervisor at the same epoch, and the others follow that', async () => {
    fleet.cloud.reachable = true;
    const machines = await fleet.booted(3, { cloud_url: CLOUD });
    const leader = expectOneLeader(machines);
    expect(leader.state).toMatchObject({ source: 'self', provisional: false, confirmed: true, epoch: 1, control_plane_url: leader.url });
    const lease = (await leader.client.leader({ site: 'default' })).body;
    expect(lease).toMatchObject({ node_id: leader.node_id, epoch: 1, confirmed: true, provisional: false });
    for (const machine of machines) if (machine !== leader) expect(['mdns', 'peer']).toContain(machine.state.source);
    await fleet.elapse(4 * TTL_MS);
    expect(expectOneLeader(machines).state).toMatchObject({ confirmed: true, epoch: 1 });
  });

  it('a leader is provisional while that is away, and confirmed when it is back', async () => {
    const machines = await fleet.booted(2, { cloud_url: CLOUD });
    const leader = expectOneLeader(machines);
    expect(leader.state).toMatchObject({ source: 'self', provisional: true, confirmed: false, epoch: 1 });
    fleet.cloud.reachable = true;
    await elapseUpwards(3 * TTL_MS, machines);
    expect(expectOneLeader(machines)).toBe(leader);
    expect(leader.state).toMatchObject({ source: 'self', provisional: false, confirmed: true, epoch: 2 });
  });

  it('the confirmed leader wins over one that has heard more and has a higher epoch', async () => {
    fleet.cloud.reachable = true;
    const confirmed = fleet.machine('z', { cloud_url: CLOUD });
    const others = [fleet.machine('a'), fleet.machine('b'), fleet.machine('c')];
    split([confirmed]);
    for (const machine of [confirmed, ...others]) await machine.boot();
    await fleet.elapse(2 * TTL_MS);
    others.find(({ state }) => state.leads)?.kill();
    const left = others.filter(({ running }) => running !== undefined);
    await fleet.elapse(TTL_MS);
    expect(expectOneLeader(left).state.epoch).toBe(2);
    heal();
    await elapseUpwards(5 * TTL_MS, [confirmed, ...left]);
    expect(expectOneLeader([confirmed, ...left])).toBe(confirmed);
    expect(confirmed.state).toMatchObject({ confirmed: true, epoch: 3 });
  });

  it('a provisional leader asks the cloud each TTL, however many nodes come and go', async () => {
    const [a, b] = [fleet.machine('a', { cloud_url: CLOUD }), fleet.machine('b', { lead: false })];
    await a.boot();
    await fleet.elapse(10_000);
    expect(a.state).toMatchObject({ leads: true, confirmed: false });
    fleet.cloud.reachable = true;
    for (let passed_ms = 0; passed_ms < 2 * TTL_MS; passed_ms += 6000) {
      await b.boot();
      await fleet.elapse(3000);
      b.kill();
      await fleet.elapse(3000);
    }
    expect(a.state).toMatchObject({ leads: true, confirmed: true });
  });

  it('a node that cannot reach the leader that it names follows the cloud itself', async () => {
    fleet.cloud.reachable = true;
    const [a, b] = [fleet.machine('a', { cloud_url: CLOUD }), fleet.machine('b', { cloud_url: CLOUD })];
    split([a]);
    await a.boot();
    await fleet.elapse(3000);
    await b.boot();
    await fleet.elapse(5000);
    expect(b.state).toMatchObject({ source: 'cloud', leads: false, leader_node_id: 'a', epoch: 1 });
    heal();
    await fleet.elapse(5 * TTL_MS);
    expect(expectOneLeader([a, b])).toBe(a);
    expect(['mdns', 'peer']).toContain(b.state.source);
  });
});

describe('a copied disk', () => {
  it('is told on both ends, disturbs nobody, and the one that leads goes on', async () => {
    const [a, b] = (await fleet.booted(2)) as [FleetMachine, FleetMachine];
    await a.client.publish('plan', plan, { if_match: 0 });
    await fleet.elapse(6000);
    const copy = fleet.machine('copy');
    copy.node_id = a.node_id;
    for (const [name, text] of a.files.texts) copy.files.texts.set(name, text);
    await copy.boot();
    await fleet.elapse(4 * TTL_MS);
    expect(a.state).toMatchObject({ leads: true, epoch: 1 });
    expect(b.state).toMatchObject({ leader_node_id: 'a', leader_url: a.url, epoch: 1 });
    expect(copy.state.leads).toBe(false);
    expect(copy.logged('error')).toEqual([expect.stringContaining(`another machine, at ${a.url}, runs as this node (a)`)]);
    expect(a.logged('error')).toEqual([expect.stringContaining(`another machine, at ${copy.url}, runs as this node (a)`)]);
    for (const { trace } of [a, b, copy]) expect(trace.filter((line) => line.startsWith('apply'))).toEqual(['apply 1: api']);
    expect(copy.state.waiting_for.join()).toContain('to mend it');
    expect([a, b, copy].map(({ discovery }) => discovery.untold())).toEqual([undefined, undefined, 'copy']);

    copy.kill();
    await fleet.elapse(12 * TTL_MS);
    expect(a.state.waiting_for.join()).not.toContain('to mend it');
  });

  it('of a node that follows: the boot with the smaller instance_id goes on, the other is silent until that is gone', async () => {
    const [a, b] = (await fleet.booted(2)) as [FleetMachine, FleetMachine];
    const copy = fleet.machine('copy');
    copy.node_id = b.node_id;
    for (const [name, text] of b.files.texts) copy.files.texts.set(name, text);
    await copy.boot();
    await fleet.elapse(6 * TTL_MS);
    const [first, second] = b.state.instance_id < copy.state.instance_id ? [b, copy] : [copy, b];
    expect(first.state).toMatchObject({ leader_node_id: 'a', leader_url: a.url, source: 'mdns' });
    expect(second.state.source).toBe('cache');
    for (const one of [first, second]) expect(one.logged('error').filter((line) => line.startsWith('another machine, at'))).toHaveLength(1);
    first.kill();
    await fleet.elapse(6 * TTL_MS);
    expect(second.state).toMatchObject({ leader_node_id: 'a', leader_url: a.url, source: 'mdns' });
    expect(second.state.waiting_for).toEqual([]);
  });

  it('is told once on each end, also when the other does not answer for a while', async () => {
    const [a] = (await fleet.booted(2)) as [FleetMachine, FleetMachine];
    const copy = fleet.machine('copy');
    copy.node_id = a.node_id;
    for (const [name, text] of a.files.texts) copy.files.texts.set(name, text);
    await copy.boot();
    await fleet.elapse(4 * TTL_MS);
    fleet.cut.add(copy.address);
    await fleet.elapse(10 * TTL_MS);
    expect(a.state.waiting_for.join()).not.toContain('to mend it');
    fleet.cut.delete(copy.address);
    await fleet.elapse(10 * TTL_MS);
    expect(a.state.waiting_for.join()).toContain('to mend it');
    for (const one of [a, copy]) expect(one.logged('error').filter((line) => line.startsWith('another machine, at'))).toHaveLength(1);
  });
});
