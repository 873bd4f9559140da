import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../../shared/client.ts';
import { CLOUD, Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { FLEET_KEY, Machine } from './harness.ts';
import { fail, json } from './scripted-supervisor.ts';

let fleet: Fleet;
/** Calls that reached the cloud, as `POST /v1/sites/uplink`, with who called. */
let calls: { from: string; call: string }[];
beforeEach(() => {
  fleet = new Fleet();
  fleet.cloud.reachable = true;
  calls = [];
  fleet.onRequest = (from, to, request) => {
    if (to === CLOUD) calls.push({ from, call: `${request.method} ${new URL(request.url).pathname}` });
  };
});
afterEach(() => fleet.close());

const UPLINK = 'POST /v1/sites/uplink';
const INTERVAL_MS = TTL_MS / 3;
const cloud = () => createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });
const made = (call: string) => calls.filter((one) => one.call === call);

async function livenessAt(): Promise<Record<string, string>> {
  const { nodes } = (await cloud().nodes()).body;
  return Object.fromEntries(nodes.map(({ node_id, liveness }) => [node_id, liveness]));
}

async function running(count: number): Promise<{ leader: FleetMachine; others: FleetMachine[]; machines: FleetMachine[] }> {
  await cloud().publish('plan', { services: [{ name: 'api', version: '1', command: ['sleep', '1'] }] }, { if_match: 0 });
  const machines = await fleet.booted(count, { cloud_url: CLOUD });
  await fleet.elapse(2 * TTL_MS);
  const [leader, ...more] = fleet.leaders();
  if (leader === undefined || more.length > 0) throw new Error(`there should be one leader: ${fleet.standing()}`);
  return { leader, machines, others: machines.filter((machine) => machine !== leader) };
}

/** Nothing was started, stopped or applied again. */
const expectUntouched = (machines: readonly FleetMachine[]) => {
  for (const { trace } of machines) expect(trace.filter((line) => line.startsWith('stop') || line.startsWith('apply'))).toHaveLength(1);
};

describe('the uplink of a leader', () => {
  it('shows the whole site at the cloud, in one call an interval, from the leader alone', async () => {
    const { leader, others } = await running(3);
    expect(await livenessAt()).toEqual({ a: 'online', b: 'online', c: 'online' });
    calls = [];
    await fleet.elapse(12 * INTERVAL_MS);
    expect(made(UPLINK).length).toBeGreaterThanOrEqual(12);
    expect(made(UPLINK).length).toBeLessThanOrEqual(16);
    expect(new Set(made(UPLINK).map(({ from }) => from))).toEqual(new Set([leader.address]));
    for (const call of ['POST /v1/leader/claim', 'POST /v1/nodes/heartbeat', 'POST /v1/nodes/register', 'POST /v1/bootstrap/events']) {
      expect(made(call), call).toEqual([]);
    }
    expect(await livenessAt()).toEqual({ a: 'online', b: 'online', c: 'online' });
    expect((await cloud().node(leader.node_id)).body).toMatchObject({ role: 'leader', url: leader.url, host: leader.name });
    for (const { node_id } of others) {
      expect((await cloud().node(node_id)).body).toMatchObject({ role: 'worker', services_running: [{ name: 'api', state: 'running' }] });
      expect((await cloud().status(node_id)).body.components.services).toMatchObject({ status: 'applied', generation: 1 });
    }
  });

  it('tells of a follower that falls silent, of one that comes back and of one that leaves', async () => {
    const { others } = await running(3);
    const [one, two] = others as [FleetMachine, FleetMachine];
    one.kill();
    await fleet.elapse(1.5 * TTL_MS);
    expect((await cloud().node(one.node_id)).body.liveness).toBe('late');
    await fleet.elapse(3 * TTL_MS);
    expect(await livenessAt()).toMatchObject({ [one.node_id]: 'lost', [two.node_id]: 'online' });
    await one.boot();
    const left = two.stop('leave');
    await fleet.elapse(TTL_MS);
    await left;
    await fleet.elapse(INTERVAL_MS);
    expect(await livenessAt()).toMatchObject({ [one.node_id]: 'online', [two.node_id]: 'left' });
  });

  it('brings the events of the site to the cloud, each once, in their order', async () => {
    const { machines } = await running(3);
    const { events } = (await cloud().events()).body;
    const applied = events.filter(({ type, data }) => type === 'overlay.bootstrap' && data.component === 'services');
    expect(applied.map(({ node_id }) => node_id).sort()).toEqual(machines.map(({ node_id }) => node_id).sort());
    for (const { node_id } of machines) {
      const registered = events.findIndex((event) => event.type === 'overlay.register' && event.node_id === node_id);
      expect(registered).toBeGreaterThanOrEqual(0);
      expect(events.findIndex((event) => event.type === 'overlay.bootstrap' && event.node_id === node_id)).toBeGreaterThan(registered);
    }
    const before = events.length;
    await fleet.elapse(4 * TTL_MS);
    expect((await cloud().events()).body.events).toHaveLength(before);
  });

  it('falls silent with the cloud, and tells everything again when that is back, without a word too much and nothing restarted', async () => {
    const { leader, machines, others } = await running(3);
    fleet.cloud.reachable = false;
    await fleet.elapse(2 * TTL_MS);
    expect(leader.state).toMatchObject({ leads: true, provisional: true, confirmed: false });
    expect(new Set(Object.values(await livenessAt()))).toEqual(new Set(['late']));
    await fleet.elapse(2 * TTL_MS);
    expect(new Set(Object.values(await livenessAt()))).toEqual(new Set(['lost']));
    const [one] = others as [FleetMachine];
    one.kill();
    await one.boot();
    await fleet.elapse(TTL_MS);
    const before = (await cloud().events()).body.events.length;
    fleet.cloud.reachable = true;
    await fleet.elapse(2 * TTL_MS);
    expect(leader.state).toMatchObject({ leads: true, provisional: false, confirmed: true });
    expect(await livenessAt()).toEqual({ a: 'online', b: 'online', c: 'online' });
    const news = (await cloud().events()).body.events.slice(before);
    const ofOne = news.filter(({ type, node_id }) => type === 'overlay.register' && node_id === one.node_id);
    expect(ofOne.length).toBeGreaterThanOrEqual(1);
    expect(new Set(news.map((event) => JSON.stringify([event.type, event.node_id, event.data, event.at]))).size).toBe(news.length);
    expect(news.some(({ type }) => type === 'overlay.uplink')).toBe(false);
    expectUntouched(machines.filter((machine) => machine !== one));
  });

  it('resumes where the leader of before was, at the next leader', async () => {
    const { leader, others } = await running(3);
    leader.kill();
    await fleet.elapse(4 * TTL_MS);
    expect(fleet.leaders()).toHaveLength(1);
    expect(await livenessAt()).toMatchObject({
      [leader.node_id]: 'lost',
      ...Object.fromEntries(others.map(({ node_id }) => [node_id, 'online'])),
    });
    await leader.boot();
    await fleet.elapse(2 * TTL_MS);
    expect(await livenessAt()).toEqual({ a: 'online', b: 'online', c: 'online' });
    expectUntouched(others);
  });

  it('does not fight with a node that has only the cloud', async () => {
    const { leader, others } = await running(3);
    const [one] = others as [FleetMachine];
    fleet.partition = (from, to) => [from, to].includes(one.address) && to !== CLOUD && from !== CLOUD;
    await fleet.elapse(2 * TTL_MS);
    expect(one.state.source).toBe('cloud');
    for (let step = 0; step < 12; step += 1) {
      await fleet.elapse(INTERVAL_MS / 2);
      expect(await livenessAt()).toEqual({ a: 'online', b: 'online', c: 'online' });
    }
    fleet.partition = undefined;
    await fleet.elapse(6 * TTL_MS);
    expect(one.state).toMatchObject({ leader_node_id: leader.node_id });
    expect(one.state.source).not.toBe('cloud');
    for (let step = 0; step < 6; step += 1) {
      await fleet.elapse(TTL_MS);
      expect(await livenessAt()).toEqual({ a: 'online', b: 'online', c: 'online' });
    }
    expectUntouched([one, leader]);
  });

  it('says once what it waits for while the cloud refuses it, and leads on', async () => {
    const { leader } = await running(2);
    const { supervisor } = fleet.cloud;
    const refuse = async () =>
      new Response('{"type":"about:blank","title":"x","status":403,"detail":"revoked","code":"forbidden"}', {
        status: 403,
        headers: { 'content-type': 'application/problem+json' },
      });
    Object.assign(fleet.cloud, { supervisor: { ...supervisor, fetch: refuse } });
    await fleet.elapse(INTERVAL_MS + 1000);
    expect(leader.state.waiting_for.join()).toContain('revoked');
    await fleet.elapse(TTL_MS);
    expect(leader.state).toMatchObject({ leads: true, provisional: true });
    Object.assign(fleet.cloud, { supervisor });
    await fleet.elapse(2 * TTL_MS);
    expect(leader.state).toMatchObject({ confirmed: true, waiting_for: [] });
  });
});

describe('a leader and a cloud that answers as it should not', () => {
  const boots: { crash(): void }[] = [];
  afterEach(() => {
    for (const boot of boots.splice(0)) boot.crash();
  });
  async function booted() {
    const machine = new Machine();
    const boot = await machine.boot({ cloud_url: CLOUD });
    boots.push(boot);
    await machine.elapse(2_000);
    const uplinks = () => machine.cloud.made('/v1/sites/uplink').map(({ body }) => body);
    return { machine, uplinks, state: () => boot.discovery.state() };
  }

  it('counts its calls, and sends one without an answer again under its number', async () => {
    const { machine, uplinks } = await booted();
    machine.cloud.before = ({ path }) => (path.startsWith('/v1/sites') ? fail('unavailable') : undefined);
    await machine.elapse(6_000);
    machine.cloud.before = undefined;
    await machine.elapse(12_000);
    const numbers = uplinks().map(({ seq }) => Number(seq));
    expect(numbers.slice(0, 3)).toEqual([1, 2, 2]);
    expect([...new Set(numbers)]).toEqual(Array.from({ length: Math.max(...numbers) }, (_, index) => index + 1));
    expect(uplinks().map(({ full }) => full)).toEqual([true, ...Array(numbers.length - 1).fill(undefined)]);
    expect(new Set(uplinks().map(({ session }) => session)).size).toBe(1);
  });

  it('tells everything in a new session when the cloud knows nothing, and does not do so without end', async () => {
    const { machine, uplinks, state } = await booted();
    const lease = { granted: true, leader_url: machine.cloud.leader?.url, node_id: state().node_id, epoch: 1 };
    const before = uplinks().length;
    machine.cloud.before = ({ path }) =>
      path.startsWith('/v1/sites')
        ? json({ ...lease, expires_at: '2026-01-01T00:00:00.000Z', expires_in_ms: 15_000, resync: true })
        : undefined;
    await machine.elapse(16_000);
    expect(uplinks().length - before).toBeLessThan(10);
    machine.cloud.before = undefined;
    machine.cloud.told.clear();
    await machine.elapse(6_000);
    expect([...machine.cloud.told.keys()]).toEqual([state().node_id]);
    expect(uplinks().at(-1)).toMatchObject({ seq: expect.any(Number) });
    expect(new Set(uplinks().map(({ session }) => session)).size).toBeGreaterThan(1);
    expect(state()).toMatchObject({ confirmed: true });
  });

  it('keeps the lease at a cloud of an older version, and says so once', async () => {
    const { machine, state } = await booted();
    machine.cloud.before = ({ path }) => (path.startsWith('/v1/sites') ? fail('not_found') : undefined);
    await machine.elapse(60_000);
    expect(state()).toMatchObject({ leads: true, confirmed: true });
    expect(machine.logged('the cloud is of an older version')).toHaveLength(1);
  });

  it('keeps the lease when its own Supervisor does not say what is on the site, and tells nothing wrong', async () => {
    const machine = new Machine();
    machine.own.before = ({ path }) => (path.startsWith('/v1/sites') ? fail('storage_corrupt') : undefined);
    const boot = await machine.boot({ cloud_url: CLOUD });
    boots.push(boot);
    await machine.elapse(30_000);
    expect(boot.discovery.state()).toMatchObject({ leads: true, confirmed: true });
    const uplinks = machine.cloud.made('/v1/sites/uplink');
    expect(uplinks.length).toBeGreaterThan(4);
    expect(uplinks.filter(({ body }) => body.full === true || body.nodes !== undefined)).toEqual([]);
    machine.own.before = undefined;
    await machine.elapse(6_000);
    expect([...machine.cloud.told.keys()]).toEqual([boot.node_id]);
  });

  it('tells everything again from time to time', async () => {
    const { machine, uplinks } = await booted();
    await machine.elapse(3_600_000);
    await machine.elapse(20_000);
    expect(uplinks().filter(({ full }) => full === true)).toHaveLength(2);
  });
});
