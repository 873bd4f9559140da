import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Fleet, type FleetMachine } from './fleet.ts';
import { type Boot, CLOUD, Machine, planOf, profileOf, strangers } from './harness.ts';

const boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots.splice(0)) boot.crash();
});

async function start(machine: Machine, ...args: Parameters<Machine['boot']>): Promise<Boot> {
  const boot = await machine.boot(...args);
  boots.push(boot);
  await machine.elapse(1000);
  return boot;
}

async function ask(machine: Machine, { discovery }: Boot): Promise<string[]> {
  const [doubts] = await Promise.all([discovery.intent.ask(), machine.elapse(8000)]);
  return doubts;
}

describe('how sure a node is of what the fleet wants', () => {
  let machine: Machine;
  beforeEach(async () => {
    machine = new Machine();
    machine.own.publish(await planOf(['api']));
  });

  it('a node that leads by what is published has no doubts', async () => {
    machine.own.publish(await profileOf(['captures']));
    const boot = await start(machine);
    expect(boot.discovery.intent.profile()).toMatchObject({ generation: 1, body: { storage: { buckets: [{ name: 'captures' }] } } });
    expect(await ask(machine, boot)).toEqual([]);
  });

  it('one that has not started, has no profile, or stops, does', async () => {
    const { discovery } = await machine.prepare();
    expect(discovery.intent.profile()).toBeUndefined();
    expect(discovery.intent.doubts()).toEqual(['this node is starting']);
    expect(await discovery.intent.former()).toEqual({ buckets: [], classes: [] });
    const boot = await start(machine);
    expect(boot.discovery.intent.profile()).toBeUndefined();
    expect(await ask(machine, boot)).toEqual([expect.stringContaining('has no profile')]);
    void boot.discovery.stop();
    expect(boot.discovery.intent.doubts()).toContain('this node is stopping');
  });

  it('one whose control plane has a newer profile, which it has not applied yet', async () => {
    const first = await profileOf(['captures']);
    machine.own.publish(first);
    const boot = await start(machine);
    machine.own.publish(await profileOf(['captures', 'reports'], { generation: 2, parent: first.meta.hash }));
    const asked = boot.discovery.intent.ask();
    expect(await Promise.all([asked, machine.elapse(100)])).toMatchObject([
      [expect.stringMatching(/newer profile \(generation 2\)|was not taken/)],
      undefined,
    ]);
  });

  it('one that was given a profile that it can’t use', async () => {
    const first = await profileOf(['captures']);
    machine.own.publish(first);
    const boot = await start(machine);
    machine.own.publish(await profileOf(['other'], { generation: 2, parent: first.meta.hash, signer: strangers }));
    boot.discovery.poke();
    await machine.elapse(1000);
    expect(boot.discovery.intent.profile()).toMatchObject({ generation: 1 });
    expect(boot.discovery.intent.doubts()).toEqual([expect.stringContaining('the Environment Profile was not taken')]);
  });

  it('a leader that the cloud has not confirmed', async () => {
    machine.own.publish(await profileOf(['captures']));
    const boot = await start(machine, { cloud_url: CLOUD }, { fetch: async () => Promise.reject(new TypeError('fetch failed')) });
    await machine.elapse(10_000);
    expect(boot.discovery.state()).toMatchObject({ leads: true, provisional: true });
    expect(boot.discovery.intent.doubts()).toEqual([expect.stringContaining('provisional')]);
  });
});

describe('in a fleet', () => {
  let fleet: Fleet;
  beforeEach(() => {
    fleet = new Fleet();
  });
  afterEach(() => fleet.close());

  const profile = (...names: string[]) => ({
    storage: { buckets: names.map((name) => ({ name })) },
    vector: { classes: [{ name: `C${names.length}` }] },
  });
  const intentOf = ({ running }: FleetMachine) => {
    if (running === undefined) throw new Error('it does not run');
    return running.discovery.intent;
  };
  const publish = async (machine: FleetMachine, if_match: number, ...names: string[]) =>
    void (await machine.client.publish('profile', profile(...names), { if_match }));
  const askOf = async (machine: FleetMachine) => (await Promise.all([intentOf(machine).ask(), fleet.elapse(8000)]))[0];

  it('everybody is sure, leader or not, and knows what earlier profiles have named', async () => {
    const machines = await fleet.booted(3);
    const leader = machines.find(({ state }) => state.leads);
    if (leader === undefined) throw new Error('nobody leads');
    await publish(leader, 0, 'first');
    await publish(leader, 1, 'first', 'second');
    await publish(leader, 2, 'third');
    await fleet.elapse(20_000);
    for (const machine of machines) {
      expect(await askOf(machine)).toEqual([]);
      const former = await intentOf(machine).former();
      expect(former.buckets.toSorted()).toEqual(['first', 'second', 'third']);
      expect(former.classes.toSorted()).toEqual(['C1', 'C2']);
    }
  });

  it('a follower that its leader’s news did not reach yet hears of the newer profile when it asks', async () => {
    const machines = await fleet.booted(2);
    const leader = machines.find(({ state }) => state.leads);
    const follower = machines.find(({ state }) => !state.leads);
    if (leader === undefined || follower === undefined) throw new Error('one of each');
    await publish(leader, 0, 'first');
    await fleet.elapse(5000);
    expect(await askOf(follower)).toEqual([]);
    fleet.muted.add(leader.address);
    await publish(leader, 1, 'second');
    const asked = await Promise.all([intentOf(follower).ask(), fleet.elapse(50)]);
    expect(asked[0]).toEqual([expect.stringContaining('newer profile (generation 2)')]);
  });

  it('a new leader that never saw the newest profile hears of it from a node that has applied it', async () => {
    const machines = await fleet.booted(2);
    const leader = machines.find(({ state }) => state.leads);
    const follower = machines.find(({ state }) => !state.leads);
    if (leader === undefined || follower?.running === undefined) throw new Error('one of each');
    await publish(leader, 0, 'first');
    await fleet.elapse(20_000);
    expect(await askOf(leader)).toEqual([]);
    // As on a node, where what it is asked for the fleet is passed on to this leader, and its health is its own.
    const { answer } = follower.running;
    const status = { status: 'applied', action: 'reconcile', generation: 2, attempt: 1, at: '2026-01-01T00:00:00.000Z' };
    const health = { status: 'ok', components: { storage: { ...status, hash: 'a'.repeat(64), duration_ms: 1, incompatible: [] } } };
    const healthOf = async (request: Request) => (new URL(request.url).pathname === '/healthz' ? Response.json(health) : answer(request));
    follower.running = { ...follower.running, answer: healthOf };
    expect(await askOf(leader)).toEqual([expect.stringContaining('has applied a newer profile (generation 2)')]);
  });
});
