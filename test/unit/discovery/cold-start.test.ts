import { afterEach, describe, expect, it } from 'vitest';
import { type Boot, CLOUD, Machine, planOf, profileOf } from './harness.ts';
import { fail } from './scripted-supervisor.ts';

let boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots) boot.crash();
  boots = [];
});

/** A machine that followed the cloud (plan 3, profile 3) and then lost its power. */
async function switchedOff(config: { lead: boolean }): Promise<Machine> {
  const machine = new Machine();
  machine.cloud.publish(await planOf(['api', 'web'], { generation: 3 }));
  machine.cloud.publish(await profileOf(['captures'], { generation: 3 }));
  if (!config.lead) machine.cloud.leader = { node_id: 'other', url: 'http://192.0.2.9:7420', epoch: 4, until: 1e9 };
  const boot = await machine.boot({ cloud_url: CLOUD, ...config });
  await machine.elapse(2_000);
  boot.crash();
  await machine.elapse(100);
  expect(machine.trace).toContain('apply 3: api, web');
  machine.trace.length = 0;
  machine.cloud.calls.length = 0;
  return machine;
}

async function boot(machine: Machine, config: Parameters<Machine['boot']>[0]): Promise<Boot> {
  const booted = await machine.boot(config);
  boots.push(booted);
  return booted;
}

describe('a boot with no Supervisor in reach', () => {
  it('applies what is cached, with the clock at 1970, and says where it comes from', async () => {
    const machine = await switchedOff({ lead: false });
    machine.clock.jump(0);
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(2_000);
    expect(machine.trace).toEqual(['adopt', 'apply 3: api, web', 'environment 3: captures']);
    expect(discovery.state()).toMatchObject({ phase: 'running', role: 'worker', source: 'cache', generations: { plan: 3, profile: 3 } });
    expect(discovery.state().waiting_for.join()).toContain('no control plane was found');
    expect(machine.cluster()).toMatchObject({ source: 'cache', plan_generation: 3 });
    expect(machine.logged('no control plane was found')).toHaveLength(1);
  });

  it('goes on searching, and follows the cloud again without touching what runs', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(120_000);
    machine.cloud.reachable = true;
    await machine.elapse(20_000);
    expect(discovery.state()).toMatchObject({ source: 'cloud', waiting_for: [] });
    expect(machine.trace.filter((line) => !line.startsWith('environment'))).toEqual(['adopt', 'apply 3: api, web']);
  });

  it('does not wait for a cloud that swallows every packet', async () => {
    const machine = await switchedOff({ lead: true });
    machine.cloud.before = () => new Promise(() => undefined);
    await boot(machine, { cloud_url: CLOUD, lead: true });
    await machine.elapse(1_250);
    expect(machine.trace).toEqual(['adopt', 'apply 3: api, web', 'environment 3: captures']);
  });

  it('keeps what the cloud published when it elects itself and its own Supervisor holds only a seed', async () => {
    const machine = await switchedOff({ lead: true });
    machine.own.publish(await planOf(['seed'], { generation: 0 }));
    machine.own.publish(await profileOf(['seed'], { generation: 0 }));
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: true });
    await machine.elapse(30_000);
    expect(discovery.state()).toMatchObject({ source: 'self', provisional: true, role: 'leader', generations: { plan: 3, profile: 3 } });
    expect(machine.trace).toEqual(['adopt', 'apply 3: api, web', 'environment 3: captures']);
    expect(machine.own.documents).toMatchObject({ plan: { meta: { generation: 3 } }, profile: { meta: { generation: 3 } } });
  });

  it('applies what is cached also when the Supervisor that answers fails', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.before = ({ path }) => (path.startsWith('/v1/nodes') ? fail('internal') : undefined);
    await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(2_000);
    expect(machine.trace).toContain('apply 3: api, web');
  });

  it('sends no service to a node whose cache is of another fleet or was changed by hand', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.reachable = false;
    const text = machine.files.texts.get('plan.json') ?? '';
    machine.files.texts.set('plan.json', text.replaceAll('"sleep"', '"evil"'));
    await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(5_000);
    expect(machine.trace).toEqual(['adopt', 'environment 3: captures']);
    expect(machine.logged("plan.json can't be used: its hash does not match")).toHaveLength(1);
    expect([...machine.files.texts.keys()].some((name) => name.startsWith('plan.json.'))).toBe(true);
  });

  it('starts with a cache that is no JSON at all', async () => {
    const machine = await switchedOff({ lead: false });
    for (const name of ['plan.json', 'profile.json', 'epoch.json', 'discovery-trace.json']) machine.files.texts.set(name, '\u0000\u0000');
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(3_000);
    expect(discovery.state()).toMatchObject({ phase: 'running', generations: { plan: 3, profile: 3 } });
    expect(machine.trace).toContain('apply 3: api, web');
  });

  it('starts on a full disk', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.reachable = false;
    machine.files.write = () => Promise.reject(new Error('no space left on device'));
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(3_000);
    expect(machine.trace).toContain('apply 3: api, web');
    expect(discovery.state().phase).toBe('running');
  });
});
