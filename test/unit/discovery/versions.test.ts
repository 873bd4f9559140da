import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../../shared/client.ts';
import { CLOUD, Fleet, type FleetMachine } from './fleet.ts';
import { FLEET_KEY } from './harness.ts';

const plan = (...names: string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) });

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => fleet.close());

const cloudClient = () => createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });
type Store = Pick<FleetMachine, 'client'>;
const cloud: Store = {
  get client() {
    return cloudClient();
  },
};
const history = async ({ client }: Store) => (await client.history('plan')).body.versions;
const head = async (store: Store) => (await history(store)).find(({ current }) => current);
const publish = async (store: Store, ...names: string[]) => {
  const if_match = (await head(store))?.generation ?? 0;
  return (await store.client.publish('plan', plan(...names), { if_match })).body;
};
/** The generations that a node applied, in order. */
const applied = ({ trace }: FleetMachine) => trace.flatMap((line) => /^apply (\d+):/.exec(line)?.[1] ?? []).map(Number);
const isRising = (generations: readonly number[]) => generations.every((one, index) => index === 0 || one >= (generations[index - 1] ?? 0));
const summary = async (store: Store) =>
  (await history(store)).map(({ generation, hash, current, conflict, resolved }) => ({ generation, hash, current, conflict, resolved }));

/** Whoever leads among these. */
const leaderOf = (machines: readonly FleetMachine[]) => {
  const leader = machines.find(({ state }) => state.leads);
  if (leader === undefined) throw new Error(`nobody leads: ${fleet.standing()}`);
  return leader;
};

describe('what a leader has', () => {
  it('is in the Supervisor of each follower soon after, with its whole history', async () => {
    const machines = await fleet.booted(3);
    const leader = leaderOf(machines);
    for (let n = 1; n <= 20; n += 1) await publish(leader, `service-${n}`);
    await fleet.elapse(10_000);
    const expected = await summary(leader);
    expect(expected).toHaveLength(20);
    for (const machine of machines) expect(await summary(machine)).toEqual(expected);
  });

  it('comes to a node that joins later, current version first', async () => {
    const [first] = await fleet.booted(1);
    if (first === undefined) throw new Error('no machine');
    for (let n = 1; n <= 20; n += 1) await publish(first, `service-${n}`);
    const late = fleet.machine('late');
    await late.boot();
    await fleet.elapse(20_000);
    expect(await summary(late)).toEqual(await summary(first));
    expect(applied(late)).toEqual([20]);
  });

  it('survives it: the next leader has all of it, and nothing is started anew', async () => {
    const machines = await fleet.booted(3);
    const leader = leaderOf(machines);
    await publish(leader, 'api');
    await publish(leader, 'api', 'web');
    await fleet.elapse(10_000);
    const before = await summary(leader);
    leader.kill();
    await fleet.elapse(30_000);
    const others = machines.filter((one) => one !== leader);
    expect(await summary(leaderOf(others))).toEqual(before);
    for (const one of others) expect(new Set(applied(one)).has(2) && isRising(applied(one))).toBe(true);
  });
});

describe('a leader that is behind', () => {
  it('is given the newer versions by a follower, which goes on with what it runs', async () => {
    const [first, second] = [fleet.machine('a'), fleet.machine('b', { lead: false })];
    const third = fleet.machine('c');
    await first.boot();
    await fleet.elapse(5_000);
    await second.boot();
    await third.boot();
    await fleet.elapse(20_000);
    expect(first.state.leads).toBe(true);
    await publish(first, 'api');
    await fleet.elapse(10_000);
    fleet.cut.add(third.address);
    await fleet.elapse(1_000);
    await publish(first, 'api', 'web');
    await publish(first, 'api', 'web', 'worker');
    await fleet.elapse(10_000);
    const before = await summary(first);
    first.kill();
    fleet.cut.delete(third.address);
    await fleet.elapse(60_000);
    expect(third.state.leads).toBe(true);
    expect(await summary(third)).toEqual(before);
    expect(applied(second).at(-1)).toBe(3);
    expect(isRising(applied(second))).toBe(true);
    expect(applied(third).at(-1)).toBe(3);
  });
});

describe('a plan that both sides of a partition publish', () => {
  async function diverged() {
    const machines = await fleet.booted(3);
    const before = leaderOf(machines);
    await publish(before, 'base');
    await fleet.elapse(10_000);
    const others = machines.filter((one) => one !== before);
    fleet.partition = (from, to) => (from === before.address) !== (to === before.address);
    await fleet.elapse(60_000);
    const after = leaderOf(others);
    await publish(before, 'alone');
    await publish(after, 'together');
    await publish(after, 'together', 'more');
    await fleet.elapse(10_000);
    return { machines, alone: await head(before), together: await head(after) };
  }

  async function healed() {
    const sides = await diverged();
    fleet.partition = undefined;
    await fleet.elapse(120_000);
    return { ...sides, leader: leaderOf(sides.machines) };
  }

  it('has one version above both when it has healed, and what lost is kept as a conflict on every node', async () => {
    const { machines, leader, alone, together } = await healed();
    expect(fleet.leaders()).toHaveLength(1);
    const expected = await summary(leader);
    const current = await head(leader);
    expect(current?.generation).toBeGreaterThanOrEqual(3);
    expect([alone?.hash, together?.hash]).toContain(current?.hash);
    const lost = current?.hash === alone?.hash ? together : alone;
    expect(expected.filter(({ conflict }) => conflict)).toMatchObject([{ generation: lost?.generation, hash: lost?.hash }]);
    for (const machine of machines) {
      expect(await summary(machine)).toEqual(expected);
      expect(applied(machine).at(-1)).toBe(current?.generation);
      expect(isRising(applied(machine))).toBe(true);
      expect((await machine.client.state()).body.conflicts).toEqual({ plan: 1, profile: 0 });
      expect(machine.state.waiting_for).toEqual([]);
    }
  });

  it('goes on so after the leader is lost, and is resolved by publishing', async () => {
    const { machines, leader } = await healed();
    leader.kill();
    await fleet.elapse(60_000);
    const others = machines.filter((one) => one !== leader);
    const next = leaderOf(others);
    expect((await next.client.state()).body.conflicts).toEqual({ plan: 1, profile: 0 });
    await publish(next, 'agreed');
    await fleet.elapse(20_000);
    for (const machine of others) {
      expect((await machine.client.state()).body.conflicts).toEqual({ plan: 0, profile: 0 });
      expect((await summary(machine)).filter(({ resolved }) => resolved)).toHaveLength(1);
    }
    await leader.boot();
    await fleet.elapse(60_000);
    expect(await summary(leader)).toEqual(await summary(leaderOf(machines)));
  });
});

describe('with a cloud', () => {
  it('what the site published while it was away goes up, and the other way round', async () => {
    const machines = await fleet.booted(2, { cloud_url: CLOUD });
    await publish(leaderOf(machines), 'api');
    await publish(leaderOf(machines), 'api', 'web');
    fleet.cloud.reachable = true;
    await fleet.elapse(60_000);
    expect(await summary(cloud)).toEqual(await summary(leaderOf(machines)));
    await publish(cloud, 'from-the-cloud');
    await fleet.elapse(20_000);
    for (const machine of machines) {
      expect((await head(machine))?.generation).toBe(3);
      expect(applied(machine).at(-1)).toBe(3);
    }
  });

  it('the cloud decides where both published: its version is published again above the other, which is a conflict everywhere', async () => {
    const machines = await fleet.booted(2, { cloud_url: CLOUD });
    fleet.cloud.reachable = true;
    await fleet.elapse(60_000);
    await publish(cloud, 'base');
    await fleet.elapse(20_000);
    fleet.cloud.reachable = false;
    await fleet.elapse(60_000);
    await publish(leaderOf(machines), 'site');
    await publish(leaderOf(machines), 'site', 'more');
    await publish(cloud, 'office');
    fleet.cloud.reachable = true;
    await fleet.elapse(120_000);
    expect(await head(cloud)).toMatchObject({ generation: 4, published_by: 'merge' });
    const expected = await summary(cloud);
    expect(expected.filter(({ conflict }) => conflict)).toMatchObject([{ generation: 3 }]);
    for (const machine of machines) {
      expect(await summary(machine)).toEqual(expected);
      expect(machine.running?.services.running).toEqual(['office']);
      expect(isRising(applied(machine))).toBe(true);
    }
  });
});
