import { afterEach, describe, expect, it } from 'vitest';
import { ApiError, UnreachableError } from '../../../shared/client.ts';
import { problem } from '../../../shared/contract/problem.ts';
import { onFailure } from '../../../shared/discovery/failure.ts';
import { createReportQueue } from '../../../shared/discovery/report-queue.ts';
import { type Boot, CLOUD, Machine, planOf, recordingServices } from './harness.ts';
import { type Call, fail } from './scripted-supervisor.ts';

let boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots) boot.crash();
  boots = [];
});

/** A node that runs plan 3 (`api`) of its own Supervisor, or of the cloud. */
async function running(config: Parameters<Machine['boot']>[0] = {}): Promise<{ machine: Machine; boot: Boot }> {
  const machine = new Machine();
  const supervisor = config.cloud_url === undefined ? machine.own : machine.cloud;
  supervisor.publish(await planOf(['api'], { generation: 3 }));
  const boot = await machine.boot(config);
  boots.push(boot);
  await machine.elapse(1_000);
  machine.own.calls.length = 0;
  machine.cloud.calls.length = 0;
  return { machine, boot };
}

/** What came of services over all that happened: they were applied once and never touched again. */
const UNTOUCHED = ['adopt', 'apply 3: api'];

const on = (path: string, answer: (call: Call) => Response) => (call: Call) => (call.path === path ? answer(call) : undefined);
const once = (path: string, code: Parameters<typeof fail>[0]) => {
  let left = 1;
  return on(path, () => (left-- > 0 ? fail(code) : (undefined as never)));
};

describe('what a failed call means', () => {
  it.each([
    ['unauthenticated', 'register'],
    ['forbidden', 'register'],
    ['unknown_node', 'register'],
    ['stale_epoch', 'relocate'],
    ['misdirected', 'relocate'],
    ['duplicate_node', 'duplicate'],
    ['internal', 'retry'],
    ['unavailable', 'retry'],
    ['too_many_requests', 'retry'],
    ['no_leader', 'retry'],
    ['storage_full', 'retry'],
    ['invalid_body', 'defect'],
    ['not_found', 'defect'],
  ] as const)('%s: %s', (code, action) => {
    expect(onFailure(new ApiError(problem(code, 'x')))).toBe(action);
  });

  it('no answer at all: retry', () => {
    expect(onFailure(new UnreachableError('no_answer', 'x'))).toBe('retry');
  });
});

describe('a refused call', () => {
  it.each(['unauthenticated', 'forbidden', 'unknown_node'] as const)('%s on a heartbeat makes the node register again', async (code) => {
    const { machine, boot } = await running();
    machine.own.before = once('/v1/nodes/heartbeat', code);
    await machine.elapse(12_000);
    expect(machine.own.made('/v1/nodes/register')).toHaveLength(1);
    expect(machine.own.made('/v1/nodes/heartbeat').length).toBeGreaterThan(1);
    expect(boot.discovery.state().waiting_for).toEqual([]);
    expect(machine.trace).toEqual(UNTOUCHED);
  });

  it.each(['unauthenticated', 'forbidden', 'unknown_node'] as const)(
    '%s on the plan makes the node register and ask again',
    async (code) => {
      const { machine, boot } = await running();
      machine.own.before = once('/v1/nodes/plan', code);
      boot.discovery.poke();
      await machine.elapse(3_000);
      expect(machine.own.made('/v1/nodes/register')).toHaveLength(1);
      expect(machine.own.made('/v1/nodes/plan')).toHaveLength(2);
      expect(machine.trace).toEqual(UNTOUCHED);
    },
  );

  it('that goes on being refused is tried with growing waits, and nothing that runs is touched', async () => {
    const { machine, boot } = await running();
    machine.own.before = ({ path }) => (path.startsWith('/v1/nodes') ? fail('unauthenticated') : undefined);
    await machine.elapse(300_000);
    expect(machine.trace).toEqual(UNTOUCHED);
    expect(boot.services.running).toEqual(['api']);
    expect(machine.own.made('/v1/nodes').length).toBeLessThan(600);
    expect(boot.discovery.state().waiting_for).not.toEqual([]);
    machine.own.before = undefined;
    await machine.elapse(20_000);
    expect(boot.discovery.state().waiting_for).toEqual([]);
    expect(machine.trace).toEqual(UNTOUCHED);
  });

  it('with stale_epoch makes the node locate anew and take up the new token', async () => {
    const { machine, boot } = await running({ cloud_url: CLOUD, lead: false });
    machine.cloud.leader = { node_id: 'other', url: 'http://192.0.2.9:7420', epoch: 8, until: 1e9 };
    machine.cloud.before = (call) => (call.token !== null && call.token !== '8/other' ? fail('stale_epoch') : undefined);
    await machine.elapse(15_000);
    expect(machine.cloud.made('/v1/leader').length).toBeGreaterThan(0);
    expect(boot.discovery.token()).toEqual({ epoch: 8, node_id: 'other' });
    expect(boot.discovery.state()).toMatchObject({ epoch: 8, leader_node_id: 'other', waiting_for: [] });
    expect(machine.trace).toEqual(UNTOUCHED);
  });

  it('with stale_epoch each time does not become a busy loop', async () => {
    const { machine } = await running({ cloud_url: CLOUD });
    machine.cloud.before = ({ path }) => (path.startsWith('/v1/nodes') ? fail('stale_epoch') : undefined);
    await machine.elapse(60_000);
    expect(machine.cloud.calls.length).toBeLessThan(200);
    expect(machine.trace).toEqual(UNTOUCHED);
  });

  it('with duplicate_node is one clear error; the node is silent for two TTLs, keeps its services, and looks again', async () => {
    const { machine, boot } = await running();
    machine.own.before = ({ path }) => (path.startsWith('/v1/nodes') ? fail('duplicate_node', 'two machines say they are it') : undefined);
    await machine.elapse(29_000);
    expect(machine.own.made('/v1/nodes')).toHaveLength(1);
    await machine.elapse(120_000);
    expect(machine.own.made('/v1/nodes').length).toBeLessThan(12);
    expect(new Set(machine.own.made('/v1/nodes').map(({ path }) => path))).toEqual(new Set(['/v1/nodes/heartbeat']));
    expect(machine.log.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      expect.stringContaining('stop one of the two'),
    ]);
    expect(boot.discovery.state().waiting_for.join()).toContain('two machines say they are it');
    expect(machine.trace).toEqual(UNTOUCHED);
    machine.own.before = undefined;
    await machine.elapse(31_000);
    expect(boot.discovery.state().waiting_for).toEqual([]);
    expect(machine.trace).toEqual(UNTOUCHED);
  });
});

describe('a node that leaves while another machine runs as it', () => {
  it('tells nobody, which would put out the other one', async () => {
    const { machine, boot } = await running();
    expect(boot.discovery.untold()).toBeUndefined();
    machine.own.before = ({ path }) =>
      path === '/v1/nodes/heartbeat' ? fail('duplicate_node', 'two machines say they are it') : undefined;
    await machine.elapse(29_000);
    expect(boot.discovery.untold()).toBe('copy');
    const left = boot.discovery.leave();
    await machine.elapse(10_000);
    await left;
    expect(machine.own.made('/v1/nodes/leave')).toEqual([]);
    expect(machine.trace.at(-1)).toBe('stop');
  });
});

describe('a Supervisor that does not answer', () => {
  it('is retried, left after a TTL, and found again; services are never touched', async () => {
    const { machine, boot } = await running({ cloud_url: CLOUD, lead: false });
    machine.cloud.reachable = false;
    await machine.elapse(60_000);
    expect(boot.discovery.state()).toMatchObject({ source: 'cache', role: 'worker' });
    machine.cloud.reachable = true;
    await machine.elapse(20_000);
    expect(boot.discovery.state()).toMatchObject({ source: 'cloud', waiting_for: [] });
    expect(machine.trace).toEqual(UNTOUCHED);
  });

  it('may swallow every packet: each call ends by itself', async () => {
    const { machine, boot } = await running({ cloud_url: CLOUD, lead: false });
    machine.cloud.before = () => new Promise(() => undefined);
    await machine.elapse(60_000);
    expect(boot.discovery.state().source).toBe('cache');
    machine.cloud.before = undefined;
    await machine.elapse(30_000);
    expect(boot.discovery.state().source).toBe('cloud');
  });

  it('tells the trouble of one kind of call once, though others work', async () => {
    const { machine, boot } = await running({ cloud_url: CLOUD, lead: false });
    machine.cloud.before = on('/v1/nodes/plan', () => fail('no_leader', 'nobody leads the site default now'));
    boot.discovery.poke();
    await machine.elapse(60_000);
    expect(machine.logged('nobody leads the site')).toHaveLength(1);
    expect(boot.discovery.state().waiting_for).toEqual(['nobody leads the site default now']);
    machine.cloud.before = undefined;
    await machine.elapse(10_000);
    expect(boot.discovery.state().waiting_for).toEqual([]);
    expect(machine.logged('answers again')).toHaveLength(1);
    expect(machine.trace).toEqual(UNTOUCHED);
  });

  it('does not hold up heartbeats when only its documents are slow', async () => {
    const { machine, boot } = await running({ cloud_url: CLOUD, lead: false });
    machine.cloud.publish(await planOf(['web'], { generation: 4 }));
    machine.cloud.before = ({ path }) => (path === '/v1/cluster/plan?site=default' ? new Promise(() => undefined) : undefined);
    await machine.elapse(30_000);
    expect(machine.cloud.made('/v1/nodes/heartbeat').length).toBeGreaterThanOrEqual(5);
    expect(boot.discovery.state().source).toBe('cloud');
    expect(machine.trace).toEqual(UNTOUCHED);
  });

  it('gets the reports that were made meanwhile, in order, when it is back', async () => {
    const { machine } = await running({ cloud_url: CLOUD, lead: false });
    machine.cloud.events.length = 0;
    let isAway = true;
    machine.cloud.before = ({ path }) => (isAway && path === '/v1/bootstrap/events' ? fail('unavailable') : undefined);
    machine.cloud.publish(await planOf(['web'], { generation: 4 }));
    await machine.elapse(10_000);
    machine.cloud.publish(await planOf(['api'], { generation: 5 }));
    await machine.elapse(10_000);
    expect(machine.cloud.events).toEqual([]);
    isAway = false;
    await machine.elapse(10_000);
    expect(machine.cloud.events.map(({ generation }) => generation)).toEqual([4, 5]);
  });

  it('loses the oldest reports when it is away for long, and that is told', async () => {
    const machine = new Machine();
    const reports = createReportQueue({ limit: 3 });
    for (let generation = 1; generation <= 5; generation += 1) {
      reports.report({ node_id: 'n', component: 'storage', action: 'reconcile', status: 'applied', generation });
    }
    boots.push(await machine.boot({}, { reports }));
    await machine.elapse(1_000);
    expect(machine.own.events.map(({ generation }) => generation)).toEqual([3, 4, 5]);
    expect(machine.logged('2 reports were dropped')).toHaveLength(1);
  });

  it('that answers in other words, or announces what it does not deliver, is not asked without end', async () => {
    const { machine } = await running();
    machine.own.publish(await planOf(['web'], { generation: 4 }));
    machine.own.before = on('/v1/nodes/plan', () => new Response('{"role":"king"}', { headers: { 'content-type': 'application/json' } }));
    await machine.elapse(60_000);
    expect(machine.own.made('/v1/nodes/plan').length).toBeLessThan(60);
    machine.own.before = on('/v1/nodes/heartbeat', () => new Response(null, { status: 204, headers: { 'Bootplane-Desired': 'plan=99' } }));
    machine.own.calls.length = 0;
    await machine.elapse(60_000);
    expect(machine.own.made('/v1/nodes/plan').length).toBeLessThan(25);
    expect(machine.own.made('/v1/nodes/heartbeat').length).toBeLessThan(25);
  });

  it('that fails at each report is asked ever less often, also while new reports come in', async () => {
    const reports = createReportQueue();
    const machine = new Machine();
    boots.push(await machine.boot({}, { reports }));
    machine.own.before = on('/v1/bootstrap/events', () => fail('internal'));
    for (let generation = 1; generation <= 120; generation += 1) {
      reports.report({ node_id: 'n', component: 'storage', action: 'reconcile', status: 'applied', generation });
      await machine.elapse(500);
    }
    const { length } = machine.own.made('/v1/bootstrap/events');
    expect(length).toBeGreaterThan(10);
    expect(length).toBeLessThan(50);
    machine.own.before = undefined;
    await machine.elapse(6_000);
    expect(machine.own.events.map(({ generation }) => generation)).toEqual(Array.from({ length: 120 }, (_, index) => index + 1));
  });

  it('drops reports that no Supervisor will ever take, and goes on with the next', async () => {
    const { machine } = await running();
    machine.own.before = once('/v1/bootstrap/events', 'invalid_body');
    machine.own.events.length = 0;
    machine.own.publish(await planOf(['web'], { generation: 4 }));
    await machine.elapse(8_000);
    machine.own.publish(await planOf(['api'], { generation: 5 }));
    await machine.elapse(8_000);
    expect(machine.own.events.map(({ generation }) => generation)).toEqual([5]);
    expect(machine.logged('reports were refused and are dropped')).toHaveLength(1);
  });
});

describe('a node with more services than a message can describe', () => {
  it('leaves out what the health checks said, then what is above the number that a message may have', async () => {
    const machine = new Machine();
    const health = 'connect ECONNREFUSED 127.0.0.1:8080, '.repeat(6);
    const many = Array.from({ length: 300 }, (_, index) => ({ name: `s${index}`, version: '1', state: 'unhealthy' as const, health }));
    const services = { ...recordingServices(machine.trace, () => undefined, 'n'), reports: () => many };
    machine.own.before = ({ body }) => (JSON.stringify(body).length > 64 * 1024 ? fail('too_large') : undefined);
    const boot = await machine.boot({}, { services });
    boots.push(boot);
    await machine.elapse(10_000);
    expect(boot.discovery.state().waiting_for).toEqual([]);
    for (const path of ['/v1/nodes/register', '/v1/nodes/heartbeat']) {
      const told = machine.own.made(path)[0]?.body.services_running;
      expect(told).toHaveLength(256);
      expect(told).toContainEqual({ name: 's0', version: '1', state: 'unhealthy' });
    }
  });
});
