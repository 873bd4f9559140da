import { afterEach, describe, expect, it } from 'vitest';
import { type Boot, CLOUD, Machine, planOf, SELF } from './harness.ts';
import { fail, json } from './scripted-supervisor.ts';

let boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots) boot.crash();
  boots = [];
});

async function boot(machine: Machine, config: Parameters<Machine['boot']>[0] = {}): Promise<Boot> {
  const booted = await machine.boot({ cloud_url: CLOUD, ...config });
  boots.push(booted);
  return booted;
}

const other = (machine: Machine, lasts_ms: number, epoch = 5) => ({
  node_id: 'other',
  url: 'http://192.0.2.9:7420',
  epoch,
  until: machine.clock.monotonic() + lasts_ms,
});

/** As fetch throws what a failed handshake was. */
const tlsError = (code: string, message: string) => new TypeError('fetch failed', { cause: Object.assign(new Error(message), { code }) });

describe('a node with a cloud', () => {
  it('claims the lease of its site there and leads by its own Supervisor at the same epoch', async () => {
    const machine = new Machine();
    machine.cloud.publish(await planOf(['api']));
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(2_000);
    expect(discovery.state()).toMatchObject({
      role: 'leader',
      leads: true,
      source: 'self',
      provisional: false,
      confirmed: true,
      epoch: 1,
      control_plane_url: SELF,
      leader_url: SELF,
      leader_node_id: node_id,
    });
    for (const { leader } of [machine.cloud, machine.own]) expect(leader).toMatchObject({ node_id, url: SELF, epoch: 1 });
    expect([...machine.cloud.told.keys()]).toEqual([node_id]);
    expect(machine.cloud.nodes).toEqual(new Set());
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('has both leases at one epoch though its own Supervisor has seen a higher one', async () => {
    const machine = new Machine();
    machine.own.leader = { ...other(machine, 0), epoch: 30 };
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(1_000);
    expect(discovery.state()).toMatchObject({ source: 'self', confirmed: true, epoch: 31 });
    for (const { leader } of [machine.cloud, machine.own]) expect(leader).toMatchObject({ node_id, epoch: 31 });
  });

  it('gives the lease back when its own Supervisor does not let it lead', async () => {
    const machine = new Machine();
    machine.own.before = () => fail('internal');
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(1_000);
    expect(discovery.state().leads).toBe(false);
    expect(machine.cloud.made('/v1/leader/release')[0]?.body).toMatchObject({ node_id, epoch: 1 });
  });

  it('follows the cloud while another leads, and claims when that lease has run out', async () => {
    const machine = new Machine();
    machine.cloud.leader = other(machine, 14_000);
    const { discovery } = await boot(machine);
    await machine.elapse(10_000);
    expect(discovery.state()).toMatchObject({
      role: 'worker',
      leads: false,
      source: 'cloud',
      epoch: 5,
      leader_node_id: 'other',
      leader_url: 'http://192.0.2.9:7420',
    });
    expect(machine.cloud.made('/v1/leader/claim')).toEqual([]);
    await machine.elapse(8_000);
    expect(discovery.state()).toMatchObject({ role: 'leader', leads: true, epoch: 6 });
  });

  it('does not claim when it may not lead', async () => {
    const machine = new Machine();
    const { discovery } = await boot(machine, { lead: false });
    await machine.elapse(120_000);
    expect(machine.cloud.made('/v1/leader/claim')).toEqual([]);
    expect(discovery.state()).toMatchObject({ role: 'worker', source: 'cloud' });
  });

  it('follows when it loses the race for the lease', async () => {
    const machine = new Machine();
    machine.cloud.before = ({ path }) => {
      if (path.startsWith('/v1/leader/claim')) machine.cloud.leader ??= other(machine, 60_000);
      return undefined;
    };
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    expect(discovery.state()).toMatchObject({ role: 'worker', leader_node_id: 'other', epoch: 5 });
  });

  it('sends no credential over plain http to another machine, and says how to mend it', async () => {
    const machine = new Machine();
    const { discovery } = await boot(machine, { cloud_url: 'http://cloud.example' });
    await machine.elapse(1_000);
    expect(machine.cloud.calls).toEqual([]);
    expect(discovery.state()).toMatchObject({ source: 'self', provisional: true });
    expect(discovery.state().trace?.steps.find(({ step }) => step === 'cloud')).toMatchObject({
      outcome: 'rejected',
      url: 'http://cloud.example',
      detail: expect.stringContaining('set https'),
    });
  });

  it('keeps the trace of the last round, each step with its outcome, for `bootplane why`', async () => {
    const machine = new Machine();
    machine.cloud.reachable = false;
    const { node_id } = await boot(machine, { peers: ['http://192.0.2.8:7420'] });
    await machine.elapse(1_000);
    const trace = JSON.parse(machine.files.texts.get('discovery-trace.json') ?? '{}');
    expect(trace).toMatchObject({
      node_id,
      reason: 'boot',
      steps: [
        { step: 'mdns', outcome: 'off' },
        {
          step: 'peers',
          outcome: 'no_answer',
          candidates: [{ url: 'http://192.0.2.8:7420', outcome: 'no_answer', detail: expect.stringContaining('ECONNREFUSED') }],
        },
        { step: 'cloud', outcome: 'no_answer', url: CLOUD, detail: expect.stringContaining('ECONNREFUSED') },
        { step: 'self', outcome: 'found' },
      ],
      result: expect.stringContaining('epoch 1, provisional'),
    });
  });

  it('names the key as the likely cause when the cloud refuses its credential, and does its job meanwhile', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    machine.cloud.before = () => fail('unauthenticated');
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
    expect(discovery.state().trace?.steps[2]).toMatchObject({ outcome: 'rejected', detail: expect.stringContaining('BOOTPLANE_API_KEY') });
  });

  it.each([
    ['refuses its credential', () => fail('unauthenticated'), 'was the fleet key replaced?'],
    [
      'shows a certificate that this machine does not trust',
      () => Promise.reject(tlsError('DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate')),
      'BOOTPLANE_TLS_CA',
    ],
    ['speaks no TLS that this machine knows', () => Promise.reject(tlsError('ERR_SSL_TLSV1_ALERT', 'SSL routines')), 'bootplane doctor'],
  ])('warns once in its log when the cloud %s, with what to do, at boot and later', async (_what, refuse, advice) => {
    const machine = new Machine();
    machine.cloud.before = refuse;
    await boot(machine);
    await machine.elapse(120_000);
    expect(machine.logged('the cloud does not confirm this node')).toEqual([expect.stringContaining(advice)]);
    machine.cloud.before = () => undefined;
    await machine.elapse(60_000);
    machine.cloud.before = refuse;
    await machine.elapse(120_000);
    expect(machine.logged('the cloud does not confirm this node')).toHaveLength(2);
  });

  it('says nothing to mend of a cloud that is only away', async () => {
    const machine = new Machine();
    machine.cloud.reachable = false;
    await boot(machine);
    await machine.elapse(60_000);
    expect(machine.logged('the cloud does not confirm')).toEqual([]);
  });

  it('takes a captive portal for no Supervisor', async () => {
    const machine = new Machine();
    machine.cloud.before = () => new Response('<html>Welcome to our WiFi</html>', { headers: { 'content-type': 'text/html' } });
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    expect(discovery.state()).toMatchObject({ source: 'self', provisional: true });
    expect(discovery.state().trace?.steps[2]).toMatchObject({ outcome: 'rejected' });
  });
});

describe('a node that is well', () => {
  it('looks for something better every few TTLs all the same', async () => {
    const machine = new Machine();
    machine.cloud.leader = other(machine, 1e9);
    const { discovery } = await boot(machine);
    await machine.elapse(70_000);
    expect(discovery.state().trace).toMatchObject({
      reason: 'periodic',
      steps: [{ step: 'mdns' }, { step: 'peers' }, { step: 'cloud', outcome: 'found' }],
    });
    expect(machine.cloud.made('/v1/leader?')).toHaveLength(2);
    expect(machine.cloud.made('/v1/nodes/register')).toHaveLength(1);
  });

  it('that leads alone shows in its trace that it stays elected', async () => {
    const machine = new Machine();
    const { discovery } = await machine.boot();
    await machine.elapse(70_000);
    await machine.elapse(100);
    expect(discovery.state().trace).toMatchObject({ reason: 'periodic', result: 'leads by its own Supervisor, epoch 1' });
    expect(discovery.state().trace?.steps.at(-1)).toMatchObject({ step: 'self', outcome: 'found', detail: 'stays elected, epoch 1' });
    void discovery.stop();
    await machine.elapse(2_000);
  });

  it('takes the role that the plan gives, but leads only while it holds the lease', async () => {
    const machine = new Machine();
    machine.cloud.leader = other(machine, 1e9);
    const { discovery, node_id } = await boot(machine, { lead: false });
    for (const [told, role] of [
      ['proxy', 'proxy'],
      ['leader', 'worker'],
    ]) {
      const answer = {
        role: told,
        services: [],
        control_plane_url: CLOUD,
        gateway_url: CLOUD,
        epoch: 5,
        leader_node_id: 'other',
        successors: [],
        ttl_seconds: 15,
      };
      machine.cloud.before = ({ path }) => (path === '/v1/nodes/plan' ? json(answer) : undefined);
      discovery.poke();
      await machine.elapse(6_000);
      expect(discovery.state()).toMatchObject({ node_id, role, leads: false });
      expect(machine.cloud.made('/v1/nodes/heartbeat').at(-1)?.body.role).toBe(role);
    }
  });

  it('spares the disk: rounds that end alike are written once in five minutes', async () => {
    const machine = new Machine();
    machine.cloud.reachable = false;
    let writes = 0;
    const write = machine.files.write;
    machine.files.write = (name, text) => {
      if (name === 'discovery-trace.json') writes += 1;
      return write(name, text);
    };
    const { discovery } = await boot(machine);
    await machine.elapse(240_000);
    expect(writes).toBe(2);
    expect(discovery.state().trace?.at).not.toBe(JSON.parse(machine.files.texts.get('discovery-trace.json') ?? '{}').at);
  });

  it('learns of another leader from a heartbeat, without registering anew', async () => {
    const machine = new Machine();
    machine.cloud.leader = other(machine, 1e9);
    const { discovery } = await boot(machine, { lead: false });
    await machine.elapse(1_000);
    machine.cloud.leader = { ...other(machine, 1e9, 6), node_id: 'third', url: 'http://192.0.2.10:7420' };
    await machine.elapse(6_000);
    expect(discovery.state()).toMatchObject({ epoch: 6, leader_node_id: 'third', leader_url: 'http://192.0.2.10:7420' });
    expect(machine.cloud.made('/v1/nodes/register')).toHaveLength(1);
  });
});

describe('a cloud that goes and comes', () => {
  it('confirms no more while it is away: the leader leads on provisionally, and is confirmed anew when it is back', async () => {
    const machine = new Machine();
    machine.cloud.leader = { ...other(machine, 0), epoch: 41 };
    machine.cloud.publish(await planOf(['api'], { generation: 3 }));
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(2_000);
    expect(discovery.state()).toMatchObject({ source: 'self', confirmed: true, epoch: 42, leads: true });

    machine.cloud.reachable = false;
    await machine.elapse(40_000);
    expect(discovery.state()).toMatchObject({ source: 'self', provisional: true, confirmed: false, epoch: 42, leads: true });
    expect(machine.cluster()).toMatchObject({ source: 'self', provisional: true, epoch: 42 });

    machine.cloud.reachable = true;
    await machine.elapse(20_000);
    expect(discovery.state()).toMatchObject({
      source: 'self',
      provisional: false,
      confirmed: true,
      epoch: 43,
      leads: true,
      waiting_for: [],
    });
    expect(machine.cloud.leader).toMatchObject({ node_id, epoch: 43 });
    expect(machine.own.leader).toMatchObject({ node_id, epoch: 43 });
    expect(machine.trace).toEqual(['adopt', 'apply 3: api']);
  });

  it('is followed again when another has taken the site meanwhile', async () => {
    const machine = new Machine();
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine);
    await machine.elapse(5_000);
    machine.cloud.leader = other(machine, 600_000);
    machine.cloud.reachable = true;
    await machine.elapse(20_000);
    expect(discovery.state()).toMatchObject({ source: 'cloud', role: 'worker', leader_node_id: 'other', provisional: false });
    expect(machine.own.leader?.until).toBe(0);
  });

  it('makes its own what it confirms: a plan of that content is afterwards replaced only upwards', async () => {
    const machine = new Machine();
    const plan = await planOf(['api'], { generation: 5 });
    machine.own.publish(plan);
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine);
    await machine.elapse(2_000);
    machine.cloud.reachable = true;
    machine.cloud.publish(plan);
    await machine.elapse(20_000);
    expect(discovery.state()).toMatchObject({ source: 'self', confirmed: true, generations: { plan: 5 } });
    machine.cloud.publish(await planOf(['old'], { generation: 2 }));
    await machine.elapse(20_000);
    expect(machine.trace).toEqual(['adopt', 'apply 5: api']);
  });

  it('replaces what the node published for itself meanwhile only upwards', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['mine'], { generation: 5 }));
    machine.cloud.publish(await planOf(['api'], { generation: 2 }));
    machine.cloud.reachable = false;
    await boot(machine);
    await machine.elapse(2_000);
    machine.cloud.reachable = true;
    await machine.elapse(20_000);
    expect(machine.trace).toEqual(['adopt', 'apply 5: mine']);
    machine.cloud.publish(await planOf(['api'], { generation: 6 }));
    await machine.elapse(20_000);
    expect(machine.trace).toEqual(['adopt', 'apply 5: mine', 'apply 6: api']);
  });

  it('remembers the highest epoch over a reboot', async () => {
    const machine = new Machine();
    machine.cloud.leader = { ...other(machine, 600_000), epoch: 77 };
    const first = await boot(machine);
    await machine.elapse(1_000);
    first.crash();
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    expect(discovery.state()).toMatchObject({ source: 'self', epoch: 78 });
  });

  it('does not remember an epoch that is too far ahead to be true', async () => {
    const machine = new Machine();
    machine.cloud.leader = { ...other(machine, 600_000), epoch: 9_000_000_000 };
    const first = await boot(machine);
    await machine.elapse(1_000);
    first.crash();
    machine.cloud.reachable = false;
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    expect(discovery.state()).toMatchObject({ source: 'self', epoch: 1 });
  });
});

describe('the lease of the cloud', () => {
  it('confirms only until it runs out, by the own clock; the node leads on, provisionally', async () => {
    const machine = new Machine();
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    machine.cloud.before = ({ path }) => (/^\/v1\/(leader|sites)/.test(path) ? new Promise(() => undefined) : undefined);
    await machine.elapse(13_000);
    expect(discovery.state()).toMatchObject({ leads: true, confirmed: true, provisional: false });
    await machine.elapse(7_000);
    expect(discovery.state()).toMatchObject({ leads: true, confirmed: false, provisional: true, epoch: 1 });
    expect(machine.logged('this node leads on, provisionally')).toHaveLength(1);
  });

  it('counts from when the renewal was sent, also after the machine slept', async () => {
    const machine = new Machine();
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    let answer: (() => void) | undefined;
    machine.cloud.before = async ({ path }) => {
      if (path.startsWith('/v1/sites/uplink') && answer === undefined) await new Promise<void>((resolve) => (answer = resolve));
      return undefined as never;
    };
    await machine.elapse(8_000);
    machine.cloud.reachable = false;
    answer?.();
    await machine.elapse(6_000);
    expect(discovery.state().confirmed).toBe(true);
    await machine.elapse(9_000);
    expect(discovery.state()).toMatchObject({ leads: true, confirmed: false, provisional: true });
  });

  it('takes the own lease along to its new epoch when it had lapsed and nobody else had claimed it before the renewal came', async () => {
    const machine = new Machine();
    machine.own.publish(await planOf(['api']));
    machine.cloud.publish(await planOf(['api']));
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(1_000);
    // As a cloud whose clock was set forward judges.
    if (machine.cloud.leader) machine.cloud.leader.until = 0;
    await machine.elapse(9_000);
    expect(machine.cloud.leader).toMatchObject({ node_id, epoch: 2 });
    expect(machine.own.leader).toMatchObject({ node_id, epoch: 2 });
    expect(discovery.state()).toMatchObject({ role: 'leader', leads: true, epoch: 2, source: 'self', confirmed: true });
    expect(discovery.token()).toEqual({ epoch: 2, node_id });
    expect(machine.logged('another node leads now')).toEqual([]);
    expect(machine.logged('this node leads again, epoch 2, confirmed by the cloud')).toHaveLength(1);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('is followed by following when another has it', async () => {
    const machine = new Machine();
    machine.cloud.publish(await planOf(['api']));
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    machine.cloud.leader = other(machine, 600_000, 9);
    await machine.elapse(20_000);
    expect(discovery.state()).toMatchObject({ role: 'worker', leads: false, epoch: 9, leader_node_id: 'other', source: 'cloud' });
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
  });
});
