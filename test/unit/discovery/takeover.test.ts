import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Fleet, type FleetMachine, TTL_MS } from './fleet.ts';

const plan = (...names: string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) });

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => fleet.close());

/** A fleet that runs `api` everywhere: its leader, and the others. */
async function running(count: number): Promise<{ leader: FleetMachine; others: FleetMachine[] }> {
  const machines = await fleet.booted(count);
  const [leader, ...more] = fleet.leaders();
  if (leader === undefined || more.length > 0) throw new Error(`there should be one leader: ${fleet.standing()}`);
  await leader.client.publish('plan', plan('api'), { if_match: 0 });
  await fleet.until(() => machines.every(({ trace }) => trace.includes('apply 1: api')), 2000);
  return { leader, others: machines.filter((machine) => machine !== leader) };
}

function expectUntouched(machines: readonly FleetMachine[]): void {
  for (const { trace } of machines) expect(trace).toEqual(['adopt', 'apply 1: api']);
}

/** One leads, at an epoch above that, and all others that run follow it. */
function expectLed(machines: readonly FleetMachine[], above: number): FleetMachine {
  const [leader, ...more] = machines.filter(({ state }) => state.leads);
  expect(more.map(({ name }) => name)).toEqual([]);
  if (leader === undefined) throw new Error(`nobody leads: ${fleet.standing()}`);
  const { epoch } = leader.state;
  expect(epoch).toBeGreaterThan(above);
  for (const machine of machines) expect(machine.state).toMatchObject({ leader_node_id: leader.node_id, epoch, leader_url: leader.url });
  return leader;
}

const isLed = (machines: readonly FleetMachine[]) => () => machines.some(({ state }) => state.leads);

describe('a leader whose process is dead', () => {
  it.each([2, 3, 5])('of %i is followed by another within 300 ms; nothing is stopped or started', async (count) => {
    const { leader, others } = await running(count);
    const { epoch } = leader.state;
    leader.kill();
    expect(await fleet.until(isLed(others), 1000)).toBeLessThanOrEqual(300);
    await fleet.elapse(1000);
    expectLed(others, epoch);
    await fleet.elapse(2 * TTL_MS);
    expectLed(others, epoch);
    expectUntouched(others);
  });

  it('is followed by the next but one when the next is dead too', async () => {
    const { leader, others } = await running(4);
    const { epoch } = leader.state;
    const [next] = await successorsOf(leader, others);
    leader.kill();
    next?.kill();
    const left = others.filter((machine) => machine !== next);
    expect(await fleet.until(isLed(left), 1000)).toBeLessThanOrEqual(500);
    await fleet.elapse(1000);
    expectLed(left, epoch);
    expectUntouched(left);
  });

  it('comes back as a follower, and nothing restarts', async () => {
    const { leader, others } = await running(3);
    const { epoch } = leader.state;
    leader.kill();
    await fleet.elapse(1000);
    await leader.boot();
    await fleet.elapse(2 * TTL_MS);
    const now = expectLed([...others, leader], epoch);
    expect(now).not.toBe(leader);
    expectUntouched(others);
    for (const machine of [...others, leader]) expect(machine.logged('error')).toEqual([]);
  });

  it.each(['kill', 'stop'] as const)('is followed ten times in a row, each time within 300 ms (%s)', async (how) => {
    const machines = await fleet.booted(4);
    for (let round = 0; round < 10; round += 1) {
      const [leader] = fleet.leaders();
      if (leader === undefined) throw new Error(fleet.standing());
      const { epoch } = leader.state;
      const others = machines.filter((machine) => machine !== leader);
      const stopped = how === 'kill' ? leader.kill() : leader.stop();
      expect(await fleet.until(isLed(others), 2000)).toBeLessThanOrEqual(300);
      await fleet.elapse(6000);
      await stopped;
      expectLed(others, epoch);
      await leader.boot();
      await fleet.elapse(5000);
      expectLed(machines, epoch);
    }
  });

  it('that is back before anybody has noticed is one leader still, or again', async () => {
    const { leader, others } = await running(3);
    const { epoch } = leader.state;
    leader.kill();
    await leader.boot();
    await fleet.elapse(2 * TTL_MS);
    expectLed([...others, leader], epoch);
    expectUntouched(others);
  });

  it('is not followed by one that may not lead', async () => {
    const machines = [fleet.machine('a'), fleet.machine('b', { lead: false }), fleet.machine('c', { lead: false }), fleet.machine('d')];
    for (const machine of machines) await machine.boot();
    await fleet.elapse(10_000);
    const [leader] = fleet.leaders();
    leader?.kill();
    const others = machines.filter((machine) => machine !== leader);
    expect(await fleet.until(isLed(others), 1000)).toBeLessThanOrEqual(300);
    await fleet.elapse(2000);
    expect(['a', 'd']).toContain(expectLed(others, 1).name);
  });
});

describe('services with a count', () => {
  const counted = (count: number) => ({
    services: ['one', 'two', 'three'].map((name) => ({ name, version: '1', command: ['sleep', '1'], placement: { count } })),
  });
  const runs = (machine: FleetMachine) => [...(machine.running?.services.running ?? [])];

  it('stay where they run when another takes over, and only what was lost starts elsewhere', async () => {
    const machines = await fleet.booted(4);
    const [leader] = fleet.leaders();
    if (leader === undefined) throw new Error(fleet.standing());
    await leader.client.publish('plan', counted(2), { if_match: 0 });
    await fleet.elapse(2 * TTL_MS);
    const others = machines.filter((machine) => machine !== leader);
    const before = new Map(others.map((machine) => [machine.name, runs(machine)]));
    const lost = runs(leader);
    leader.kill();
    await fleet.elapse(TTL_MS);
    // For a TTL the new leader gives nothing away, as it may not have heard everybody.
    for (const machine of others) expect([machine.name, runs(machine)]).toEqual([machine.name, before.get(machine.name)]);
    await fleet.elapse(6 * TTL_MS);
    for (const machine of others) expect(runs(machine)).toEqual(expect.arrayContaining(before.get(machine.name) ?? []));
    const now = others.flatMap(runs);
    for (const name of ['one', 'two', 'three']) expect([name, now.filter((one) => one === name).length]).toEqual([name, 2]);
    expect(lost.length + [...before.values()].flat().length).toBe(6);
    for (const { trace } of others) expect(trace).not.toContain('stop');
  });

  it('run on another node within five TTLs when the only copy was on a node that is lost', async () => {
    const machines = await fleet.booted(3);
    const [leader] = fleet.leaders();
    const plan = { services: [{ name: 'one', version: '1', command: ['sleep', '1'], placement: { count: 1, roles: ['worker'] } }] };
    await leader?.client.publish('plan', plan, { if_match: 0 });
    await fleet.elapse(2 * TTL_MS);
    const [lost, ...more] = machines.filter((machine) => runs(machine).length > 0);
    expect(more).toEqual([]);
    lost?.kill();
    await fleet.elapse(5 * TTL_MS);
    const copies = machines.flatMap((machine) => runs(machine));
    expect(copies).toEqual(['one']);
  });
});

/** In the order in which they take over, as all of them were told. */
async function successorsOf(leader: FleetMachine, others: readonly FleetMachine[]): Promise<FleetMachine[]> {
  const lists = await Promise.all(others.map(async ({ node_id }) => (await leader.client.plan(node_id)).body.successors));
  for (const list of lists) expect(list).toEqual(lists[0]);
  const order = lists[0]?.map(({ node_id }) => node_id) ?? [];
  return others.toSorted((a, b) => order.indexOf(a.node_id) - order.indexOf(b.node_id));
}

describe('a leader whose machine is cut off', () => {
  it.each([2, 3, 5])('of %i is followed by another within a TTL and a second', async (count) => {
    const { leader, others } = await running(count);
    const { epoch } = leader.state;
    fleet.cut.add(leader.address);
    const took = await fleet.until(isLed(others), TTL_MS + 2000, 50);
    expect(took).toBeGreaterThan((TTL_MS * 2) / 3);
    expect(took).toBeLessThanOrEqual(TTL_MS + 1000);
    await fleet.elapse(2 * TTL_MS);
    expectLed(others, epoch);
    expectUntouched(others);

    fleet.cut.clear();
    await fleet.elapse(4 * TTL_MS);
    expectLed([...others, leader], epoch);
    expectUntouched([...others, leader]);
  });

  it('is not left when only its news stall: its answers count too', async () => {
    const { leader, others } = await running(3);
    const { epoch } = leader.state;
    fleet.muted.add(leader.address);
    await fleet.elapse(4 * TTL_MS);
    expect(leader.state).toMatchObject({ leads: true, epoch });
    for (const { state } of others) expect(state).toMatchObject({ leader_node_id: leader.node_id, epoch });
  });

  it('for less than a TTL is followed still', async () => {
    const { leader, others } = await running(3);
    const { epoch } = leader.state;
    fleet.cut.add(leader.address);
    await fleet.elapse(TTL_MS * 0.8);
    fleet.cut.clear();
    await fleet.elapse(2 * TTL_MS);
    expect(leader.state).toMatchObject({ leads: true, epoch });
    for (const { state } of others) expect(state).toMatchObject({ leader_node_id: leader.node_id, epoch });
    expectUntouched([...others, leader]);
  });
});

describe('a leader that stops in order', () => {
  it.each([2, 3, 5])('of %i hands over within 200 ms, before its services have stopped', async (count) => {
    const { leader, others } = await running(count);
    const { epoch } = leader.state;
    let finish = () => {};
    const stopServices = leader.running?.services.stop;
    if (leader.running !== undefined)
      leader.running.services.stop = () => new Promise<void>((resolve) => (finish = resolve)).then(stopServices);
    const stopped = leader.stop();
    expect(await fleet.until(isLed(others), 1000)).toBeLessThanOrEqual(200);
    expect(leader.trace).not.toContain('stop');
    expect(leader.state.leads).toBe(false);
    finish();
    await fleet.elapse(8000);
    await stopped;
    expect(leader.trace.at(-1)).toBe('stop');
    expectLed(others, epoch);
    expectUntouched(others);
  });
});
