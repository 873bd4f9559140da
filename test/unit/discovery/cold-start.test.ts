import { afterEach, describe, expect, it } from 'vitest';
import { type Boot, CLOUD, keys, Machine, planOf, profileOf, strangers } from './harness.ts';
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

async function boot(machine: Machine, ...given: Parameters<Machine['boot']>): Promise<Boot> {
  const booted = await machine.boot(...given);
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

  it('tells a Supervisor that would give their places away what it has started meanwhile, and asks again', async () => {
    const machine = await switchedOff({ lead: false });
    const { clock, cloud } = machine;
    // It leaves a service where it was told that it runs, and is slow at first.
    let [told, plans]: [unknown[], number] = [[], 0];
    cloud.before = async ({ path, body }) => {
      if (path === '/v1/nodes/register' || path === '/v1/nodes/heartbeat') told = body.services_running as unknown[];
      cloud.names = told.length > 0 ? ['api', 'web'] : ['api'];
      if (path !== '/v1/nodes/plan' || plans++ > 0) return undefined;
      const { names } = cloud;
      await clock.sleep(1_500);
      cloud.names = names;
      return undefined;
    };
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(5_000);
    expect(plans).toBe(2);
    expect(machine.trace.filter((line) => line.startsWith('apply'))).toEqual(['apply 3: api, web']);
    expect(discovery.state()).toMatchObject({ source: 'cloud' });
  });

  describe('that comes back with another plan while what is cached starts', () => {
    /** The plan that names `api` alone, until it is told what runs; `web` is up only when the plan has been fetched. */
    async function surprised(then: readonly string[], web: object = {}) {
      const machine = await switchedOff({ lead: false });
      const { clock, cloud } = machine;
      cloud.publish(await planOf(['api', { name: 'web', ...web }], { generation: 4 }));
      let [told, isUp]: [{ name: string }[], boolean] = [[], false];
      cloud.before = async ({ path, body }) => {
        if (path === '/v1/nodes/register' || path === '/v1/nodes/heartbeat') told = body.services_running as { name: string }[];
        cloud.names = told.length > 0 ? then : ['api'];
        // The answer comes when what is cached is being started.
        if (path === '/v1/nodes/plan') await clock.sleep(1_200);
        if (path.startsWith('/v1/cluster/plan?')) isUp = true;
        return undefined;
      };
      const booted = await boot(machine, { cloud_url: CLOUD, lead: false });
      const { reports } = booted.services;
      booted.services.reports = () => (isUp ? reports() : []);
      return { machine, ...booted, told: () => told.map(({ name }) => name) };
    }
    const applies = ({ trace }: Machine) => trace.filter((line) => line.startsWith('apply'));

    it('goes on with what came up meanwhile, tells it, and asks again at once', async () => {
      const { machine, discovery, told } = await surprised(['api', 'web']);
      await machine.elapse(4_500);
      expect(applies(machine)).toEqual(['apply 3: api, web', 'apply 4: api, web']);
      expect(told()).toEqual(['api', 'web']);
      expect(machine.cloud.calls.filter(({ path }) => path === '/v1/nodes/plan')).toHaveLength(2);
      expect(discovery.state()).toMatchObject({ source: 'cloud', generations: { plan: 4 } });
    });

    it('stops it where whoever leads takes it away though they were told', async () => {
      const { machine } = await surprised(['api']);
      await machine.elapse(4_500);
      expect(applies(machine)).toEqual(['apply 3: api, web', 'apply 4: api, web', 'apply 4: api']);
    });

    it('starts nothing anew that the plan does not allow for its role', async () => {
      const { machine } = await surprised(['api'], { version: '2', placement: { roles: ['proxy'] } });
      await machine.elapse(4_500);
      expect(applies(machine)).toEqual(['apply 3: api, web', 'apply 4: api']);
    });

    it('goes on with it after a crash, too, when nobody has answered since', async () => {
      const { machine, crash } = await surprised(['api', 'web']);
      const { cloud } = machine;
      for (let passed = 0; applies(machine).length < 2 && passed < 4_500; passed += 10) await machine.elapse(10);
      expect(applies(machine)).toEqual(['apply 3: api, web', 'apply 4: api, web']);
      cloud.reachable = false;
      crash();
      await machine.elapse(100);
      machine.trace.length = 0;
      const { services } = await boot(machine, { cloud_url: CLOUD, lead: false });
      services.running = ['api', 'web'];
      await machine.elapse(3_000);
      expect(applies(machine)).toEqual(['apply 4: api, web']);
    });
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

describe('a boot with another fleet key than before, and no Supervisor in reach', () => {
  /** The keys of now: `strangers` are those that came in the place of `keys`. */
  const replaced = { ...strangers, retired_document_keys: [keys.documents.public_key] };

  it('applies what is cached where the key of before is known: a new key stops nothing', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: false }, { fleetKeys: replaced });
    await machine.elapse(2_000);
    expect(machine.trace).toEqual(['adopt', 'apply 3: api, web', 'environment 3: captures']);
    expect(discovery.state().waiting_for.join()).not.toContain('another fleet key');
    // What comes signed anew takes its place.
    machine.cloud.reachable = true;
    machine.cloud.publish(await planOf(['api'], { generation: 4, signer: strangers }));
    machine.cloud.publish(await profileOf(['captures'], { generation: 4, signer: strangers }));
    await machine.elapse(60_000);
    expect(machine.trace).toContain('apply 4: api');
    expect([...machine.files.texts.keys()].join()).not.toContain('other-key');
  });

  it('believes nothing new that is signed with the key of before', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.publish(await planOf(['planted'], { generation: 4 }));
    await boot(machine, { cloud_url: CLOUD, lead: false }, { fleetKeys: replaced });
    await machine.elapse(30_000);
    expect(machine.trace.join()).not.toContain('planted');
    expect(
      machine.own.events
        .concat(machine.cloud.events)
        .map(({ message }) => message)
        .join(),
    ).toContain('another fleet key');
  });

  it('leaves in its place what it can not verify, says why, and what to do; nothing is stopped', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.reachable = false;
    const wrong = await boot(machine, { cloud_url: CLOUD, lead: false }, { fleetKeys: strangers });
    await machine.elapse(10_000);
    expect(machine.trace).toEqual(['adopt']);
    const told = wrong.discovery.state().waiting_for.join('\n');
    expect(told).toMatch(/generation 3 in plan\.json is not used: it is signed with another fleet key\. .*--same-fleet/);
    expect(told).toContain('profile.json');
    expect(machine.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
    wrong.crash();
    await machine.elapse(100);
    await boot(machine, { cloud_url: CLOUD, lead: false });
    await machine.elapse(2_000);
    expect(machine.trace).toContain('apply 3: api, web');
  });

  it('sets it aside under a name that says so when another takes its place', async () => {
    const machine = await switchedOff({ lead: false });
    machine.cloud.publish(await planOf(['other'], { generation: 1, signer: strangers }));
    machine.cloud.publish(await profileOf(['other'], { generation: 1, signer: strangers }));
    const { discovery } = await boot(machine, { cloud_url: CLOUD, lead: false }, { fleetKeys: strangers });
    await machine.elapse(30_000);
    expect([...machine.files.texts.keys()].filter((name) => name.includes('other-key')).sort()).toEqual([
      'plan.json.other-key-1',
      'profile.json.other-key-1',
    ]);
    expect(discovery.state().generations).toEqual({ plan: 1, profile: 1 });
    expect(discovery.state().waiting_for.join()).not.toContain('is not used');
  });
});
