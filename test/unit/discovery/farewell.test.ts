import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Fleet, type FleetMachine } from './fleet.ts';
import { keys, Machine, planOf } from './harness.ts';

const plan = (...names: string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) });

describe('a node that leaves for good', () => {
  let fleet: Fleet;
  beforeEach(() => {
    fleet = new Fleet();
  });
  afterEach(() => fleet.close());
  const settled = async (count: number) => {
    const machines = await fleet.booted(count);
    const [leader] = fleet.leaders();
    if (leader === undefined) throw new Error(fleet.standing());
    await leader.client.publish('plan', plan('api'), { if_match: 0 });
    await fleet.until(() => machines.every(({ trace }) => trace.includes('apply 1: api')), 2000);
    return { leader, others: machines.filter((machine) => machine !== leader) };
  };
  const livenessAt = async (at: FleetMachine, { node_id }: FleetMachine) => (await at.client.node(node_id)).body.liveness;

  it('is not expected any more by its leader, stops its services, and says nothing after that', async () => {
    const { leader, others } = await settled(3);
    const [gone] = others;
    if (gone === undefined) throw new Error('there is no follower');
    const left = gone.stop('leave');
    await fleet.elapse(500);
    expect(await livenessAt(leader, gone)).toBe('left');
    await fleet.elapse(8000);
    await left;
    expect(gone.trace.at(-1)).toBe('stop');
    expect(await livenessAt(leader, gone)).toBe('left');
    expect(leader.state.leads).toBe(true);
  });

  it('hands over first when it leads', async () => {
    const { leader, others } = await settled(3);
    const left = leader.stop('leave');
    expect(await fleet.until(() => others.some(({ state }) => state.leads), 1000)).toBeLessThanOrEqual(200);
    await fleet.elapse(8000);
    await left;
    expect(leader.trace.at(-1)).toBe('stop');
    for (const { trace } of others) expect(trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('comes back by booting', async () => {
    const { leader, others } = await settled(2);
    const [gone] = others;
    const left = gone?.stop('leave');
    await fleet.elapse(8000);
    await left;
    await gone?.boot();
    await fleet.elapse(8000);
    if (gone !== undefined) expect(await livenessAt(leader, gone)).toBe('online');
  });

  it('leaves also when its leader does not answer', async () => {
    const { leader, others } = await settled(2);
    const [gone] = others;
    fleet.cut.add(leader.address);
    const left = gone?.stop('leave');
    await fleet.elapse(12_000);
    await left;
    expect(gone?.trace.at(-1)).toBe('stop');
    expect(gone?.logged('warn').filter((message) => message.includes('was not told that this node leaves'))).toHaveLength(1);
  });
});

describe('a leader that stops', () => {
  const booted = async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const boot = await machine.boot();
    await machine.elapse(1_000);
    return { machine, boot };
  };

  it('renews and claims nothing more, however long its services take', async () => {
    const { machine, boot } = await booted();
    let finish = () => {};
    boot.services.stop = () => new Promise<void>((resolve) => (finish = resolve));
    const stopped = boot.discovery.stop();
    await machine.elapse(12_000);
    expect(machine.own.made('/v1/leader/release')).toHaveLength(1);
    expect(machine.own.calls.findLastIndex(({ path }) => path.startsWith('/v1/leader/claim'))).toBeLessThan(
      machine.own.calls.findIndex(({ path }) => path.startsWith('/v1/leader/release')),
    );
    expect(boot.discovery.state()).toMatchObject({ phase: 'stopping', leads: false });
    finish();
    await machine.elapse(8_000);
    await stopped;
  });

  it('still sends the reports of what it has stopped', async () => {
    const { machine, boot } = await booted();
    machine.own.events.length = 0;
    const { stop } = boot.services;
    boot.services.stop = async () => {
      await boot.services.apply({ body: [], generation: 7, hash: 'f'.repeat(64) });
      await stop();
    };
    const stopped = boot.discovery.stop();
    await machine.elapse(8_000);
    await stopped;
    expect(machine.own.events).toMatchObject([{ component: 'services', generation: 7 }]);
  });

  it('is not kept by a release that hangs', async () => {
    const { machine, boot } = await booted();
    machine.own.before = ({ path }) => (path.startsWith('/v1/leader/release') ? new Promise(() => undefined) : undefined);
    const stopped = boot.discovery.stop();
    await machine.elapse(3_000);
    expect(machine.trace).toContain('stop');
    await machine.elapse(8_000);
    await stopped;
    expect(machine.logged('the lease was not released')).toHaveLength(1);
  });

  it('is not made a leader again by a claim that was under way', async () => {
    const machine = new Machine();
    let answer = () => {};
    machine.own.before = async ({ path }) => {
      if (path.startsWith('/v1/leader/claim')) await new Promise<void>((resolve) => (answer = resolve));
      return undefined as never;
    };
    const boot = await machine.boot();
    await machine.elapse(2_000);
    const stopped = boot.discovery.stop();
    machine.own.before = undefined;
    answer();
    await machine.elapse(8_000);
    await stopped;
    expect(boot.discovery.state()).toMatchObject({ phase: 'stopped', leads: false });
    expect(machine.own.made('/v1/leader/claim')).toHaveLength(1);
  });
});

describe('a node that stops', () => {
  it('advertises nothing after its goodbye', async () => {
    const fleet = new Fleet();
    const signHint: typeof keys.signHint = (value) => fleet.clock.sleep(100).then(() => keys.signHint(value));
    const machine = fleet.machine('a', {}, { keys: { ...keys, signHint } });
    await machine.boot();
    await fleet.elapse(50);
    const stopped = machine.stop();
    await fleet.elapse(10_000);
    await stopped;
    expect(fleet.lan.sent.advert).toBe(0);
    await fleet.close();
  });
});
