import { afterEach, describe, expect, it } from 'vitest';
import { ClusterFile } from '../../../shared/contract/status.ts';
import { type Boot, Machine, planOf, profileOf } from './harness.ts';

const boots: Boot[] = [];
async function start(machine: Machine, ...args: Parameters<Machine['boot']>): Promise<Boot> {
  const boot = await machine.boot(...args);
  boots.push(boot);
  return boot;
}
afterEach(() => {
  for (const boot of boots.splice(0)) boot.crash();
});

describe('one node that finds nobody', () => {
  it('elects itself, registers with its own Supervisor, applies plan and profile, and is ready', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api', 'web']));
    machine.own.publish(await profileOf(['captures']));
    const { discovery, node_id } = await start(machine);
    await machine.elapse(500);

    expect(machine.trace).toEqual(['adopt', 'apply 1: api, web', 'environment 1: captures']);
    expect(discovery.state()).toMatchObject({
      phase: 'running',
      role: 'leader',
      epoch: 1,
      leads: true,
      source: 'self',
      provisional: false,
      leader_node_id: node_id,
      generations: { plan: 1, profile: 1 },
      waiting_for: [],
    });
    expect(discovery.token()).toEqual({ epoch: 1, node_id });
  });

  it('writes one line per boot step', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    machine.own.publish(await profileOf(['captures']));
    await start(machine);
    await machine.elapse(500);
    const steps = machine.log.lines.filter(({ fields }) => fields.step === true).map(({ message }) => message);
    expect(steps.toSorted()).toEqual(
      ['broker', 'elect', 'identify', 'locate', 'plan', 'ready', 'register', 'services', 'storage', 'vector'].toSorted(),
    );
    expect(steps.slice(0, 4)).toEqual(['identify', 'locate', 'elect', 'register']);
    expect(steps.at(-1)).toBe('ready');
  });

  it('is ready when the first plan was applied, whatever else happens while it is fetched', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    // Each document takes a while, so that the first look is still under way when the first heartbeat is due.
    machine.own.before = async ({ path }) => {
      if (/^\/v1\/(cluster\/plan|bootstrap\/profile)\?/.test(path)) await machine.clock.sleep(4_500);
      return undefined;
    };
    const { discovery } = await start(machine);
    await machine.elapse(6_000);
    expect(machine.own.calls.map(({ path }) => path)).toContain('/v1/nodes/heartbeat');
    expect(discovery.state().phase).toBe('starting');
    await machine.elapse(4_000);
    const steps = machine.log.lines.filter(({ fields }) => fields.step === true);
    expect(steps.slice(-3).map(({ message }) => message)).toEqual(['plan', 'services', 'ready']);
    expect(steps.at(-1)?.fields.result).toContain('1 service');
  });

  it('tells that it stops, and when it has', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const { discovery } = await start(machine);
    await machine.elapse(500);
    const told = machine.log.lines.length;
    const stopped = discovery.stop();
    await machine.elapse(5000);
    await stopped;
    const steps = machine.log.lines.slice(told).filter(({ fields }) => fields.step === true);
    expect(steps.map(({ message }) => message)).toEqual(['stop', 'stopped']);
    expect(steps[1]?.fields.duration_ms).toEqual(expect.any(Number));
  });

  it('writes cluster.json in the form of the contract', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const { node_id } = await start(machine);
    await machine.elapse(500);
    expect(ClusterFile.parse(machine.cluster())).toMatchObject({
      node_id,
      role: 'leader',
      source: 'self',
      epoch: 1,
      plan_generation: 1,
      control_plane_url: 'http://192.0.2.7:7420',
      services: [{ name: 'api', version: '1', state: 'running' }],
    });
  });

  it('heartbeats at thirds of the TTL with role, services and its token, and renews its lease', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const { node_id } = await start(machine);
    await machine.elapse(61_000);
    const heartbeats = machine.own.made('/v1/nodes/heartbeat');
    expect(heartbeats.length).toBeGreaterThanOrEqual(12);
    expect(heartbeats.length).toBeLessThanOrEqual(18);
    expect(heartbeats.at(-1)).toMatchObject({
      token: `1/${node_id}`,
      body: { node_id, role: 'leader', services_running: [{ name: 'api', version: '1', state: 'running' }] },
    });
    const claims = machine.own.made('/v1/leader/claim');
    expect(claims.length).toBeGreaterThanOrEqual(11);
    expect(claims.at(-1)?.body).toMatchObject({ epoch: 1 });
    expect(machine.own.leader?.epoch).toBe(1);
  });

  it('leads on at a new epoch when its lease had lapsed before the renewal came, and nothing restarts', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const { discovery, node_id } = await start(machine);
    await machine.elapse(1_000);
    // As after a jump of the wall clock, by which the store judges.
    if (machine.own.leader) machine.own.leader.until = 0;
    await machine.elapse(9_000);
    expect(discovery.state()).toMatchObject({ leads: true, epoch: 2, source: 'self' });
    expect(discovery.token()).toEqual({ epoch: 2, node_id });
    expect(machine.logged('nobody else had claimed it')).toHaveLength(1);
    expect(machine.own.made('/v1/leader/release')).toEqual([]);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('applies what is published while it runs, and repeats nothing', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    await start(machine);
    await machine.elapse(5_000);
    machine.own.publish(await planOf(['api', 'web'], { generation: 2 }));
    await machine.elapse(6_000);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api', 'apply 2: api, web']);
    await machine.elapse(60_000);
    expect(machine.trace).toHaveLength(3);
  });

  it('looks at once when it is poked', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const { discovery } = await start(machine);
    await machine.elapse(1_000);
    machine.own.publish(await planOf(['web'], { generation: 2 }));
    discovery.poke();
    await machine.elapse(250);
    expect(machine.trace.at(-1)).toBe('apply 2: web');
  });

  it('sends the reports of the reconcilers', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    await start(machine);
    await machine.elapse(1_000);
    expect(machine.own.events).toMatchObject([{ component: 'services', status: 'applied', generation: 1 }]);
  });

  it('is ready with nothing published, and says so', async () => {
    const machine = new Machine();
    const { discovery } = await start(machine);
    await machine.elapse(500);
    expect(discovery.state()).toMatchObject({ phase: 'running', waiting_for: [], generations: {} });
    expect(machine.trace).toEqual(['adopt']);
  });

  it('repeats the environment against drift', async () => {
    const machine = new Machine();
    machine.own.publish(await profileOf(['captures']));
    await start(machine);
    await machine.elapse(125_000);
    const applies = machine.trace.filter((line) => line.startsWith('environment'));
    expect(applies.length).toBeGreaterThanOrEqual(3);
    expect(applies.length).toBeLessThanOrEqual(4);
  });

  it('registers anew within one heartbeat when its address changes', async () => {
    const machine = new Machine();
    let ip = '192.0.2.7';
    await start(machine, { advertise_url: () => `http://${ip}:7420` }, { host: () => ({ host: 'machine', ip }) });
    await machine.elapse(10_000);
    ip = '192.0.2.77';
    await machine.elapse(6_000);
    expect(machine.own.made('/v1/nodes/register').map(({ body }) => body.ip)).toEqual(['192.0.2.7', '192.0.2.77']);
    const told = machine.log.lines.filter(({ message }) => message === 'register').map(({ fields }) => fields.result);
    expect(told).toEqual(['registered with http://192.0.2.7:7420', 'registered with http://192.0.2.77:7420']);
    expect(machine.own.leader?.url).toBe('http://192.0.2.77:7420');
    expect(machine.cluster()).toMatchObject({ leader_url: 'http://192.0.2.77:7420' });
  });

  it('survives services and an environment that break their promise never to reject', async () => {
    const machine = new Machine();
    const broken = { apply: () => Promise.reject(new Error('a fault')), diff: async () => [], status: () => ({}) };
    const { discovery, services } = await start(machine, {}, { environment: broken });
    services.apply = () => Promise.reject(new Error('another fault'));
    machine.own.publish(await planOf(['api']));
    machine.own.publish(await profileOf(['captures']));
    await machine.elapse(70_000);
    expect(machine.own.made('/v1/nodes/heartbeat').length).toBeGreaterThan(10);
    expect(discovery.state()).toMatchObject({ leads: true, source: 'self' });
    expect(new Set(machine.logged('an apply was broken off:'))).toEqual(
      new Set(['an apply was broken off: a fault', 'an apply was broken off: another fault']),
    );
  });

  it('tries services again a minute after an apply that failed', async () => {
    const machine = new Machine();
    const { services } = await start(machine);
    const apply = services.apply;
    let failing = 2;
    services.apply = async (desired) => ({ ...(await apply(desired)), status: failing-- > 0 ? 'failed' : 'applied' });
    machine.own.publish(await planOf(['api']));
    await machine.elapse(300_000);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api', 'apply 1: api', 'apply 1: api']);
  });

  it('keeps its node_id over boots, and names the instance before', async () => {
    const machine = new Machine();
    const first = await start(machine);
    await machine.elapse(500);
    first.crash();
    const second = await start(machine);
    await machine.elapse(500);
    expect(second.node_id).toBe(first.node_id);
    const [before, after] = machine.own.made('/v1/nodes/register');
    expect(after?.body.previous_instance_id).toBe(before?.body.instance_id);
    expect(after?.body.instance_id).not.toBe(before?.body.instance_id);
    expect(machine.own.leader?.epoch).toBe(2);
  });
});

describe('an orderly stop', () => {
  it('releases the lease and says goodbye first, then stops the services, and ends', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const lan = {
      browse: async function* () {},
      advertise: async (advert: unknown) => void machine.trace.push(`advertise ${advert}`),
      onAdvert: () => () => undefined,
      close: async () => undefined,
    };
    const boot = await start(machine, {}, { lan });
    machine.own.before = ({ path }) => void (path.startsWith('/v1/leader/release') && machine.trace.push('release'));
    await machine.elapse(1_000);
    const stopped = boot.discovery.stop();
    await machine.elapse(2_000);
    await Promise.all([stopped, boot.ended]);
    expect(machine.trace.slice(-3).toSorted()).toEqual(['advertise undefined', 'release', 'stop']);
    expect(machine.trace.at(-1)).toBe('stop');
    expect(boot.discovery.state().phase).toBe('stopped');
    expect(machine.clock.sleeping).toBe(0);
  });

  it('ends also when services and Supervisor hang', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const boot = await start(machine);
    await machine.elapse(1_000);
    boot.services.stop = () => new Promise(() => undefined);
    machine.own.before = () => new Promise(() => undefined);
    const stopped = boot.discovery.stop();
    await machine.elapse(60_000);
    await stopped;
    expect(boot.discovery.state().phase).toBe('stopped');
    expect(machine.logged('stopping the services took longer')).toHaveLength(1);
  });

  it('that comes before anything was read stops what an earlier run may have left', async () => {
    const machine = new Machine();
    const { discovery } = await machine.prepare();
    const ended = discovery.run(new AbortController().signal);
    const early = discovery.stop();
    await machine.elapse(1_000);
    await Promise.all([early, ended]);
    expect(machine.trace).toContain('stop');
    expect(machine.own.made('/v1/nodes')).toEqual([]);
    expect(discovery.state().phase).toBe('stopped');
  });

  it('before the start makes the start end at once', async () => {
    const machine = new Machine();
    const { discovery } = await machine.prepare();
    await discovery.stop();
    await discovery.run(new AbortController().signal);
    expect(machine.trace).toEqual(['stop']);
    expect(machine.own.calls).toEqual([]);
  });

  it('lets the services run and keeps the lease when it is ended like a crash', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    const boot = await start(machine);
    await machine.elapse(1_000);
    boot.crash();
    await boot.ended;
    expect(machine.trace).not.toContain('stop');
    expect(machine.trace.at(-1)).toBe('detach');
    expect(machine.own.leader).toBeDefined();
  });
});
