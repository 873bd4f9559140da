import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../../shared/client.ts';
import { CLOUD, Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { FLEET_KEY } from './harness.ts';

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
  fleet.cloud.reachable = true;
});
afterEach(() => fleet.close());

const cloud = () => createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });
const plan = { services: [{ name: 'api', version: '1', command: ['sleep', '1'] }] };

async function running(count: number): Promise<{ leader: FleetMachine; others: FleetMachine[]; machines: FleetMachine[] }> {
  await cloud().publish('plan', plan, { if_match: 0 });
  const machines = await fleet.booted(count, { cloud_url: CLOUD });
  await fleet.elapse(TTL_MS);
  const [leader, ...more] = fleet.leaders();
  if (leader === undefined || more.length > 0) throw new Error(`there should be one leader: ${fleet.standing()}`);
  return { leader, machines, others: machines.filter((machine) => machine !== leader) };
}

const expectNoStop = (machines: readonly FleetMachine[]) => {
  for (const { trace } of machines)
    expect(trace.filter((line) => line.startsWith('stop') || line.startsWith('apply')).length).toBeLessThanOrEqual(1);
};

describe('a leader with a cloud', () => {
  it('leads by its own Supervisor at the epoch of the cloud, confirmed, and is seen at the cloud', async () => {
    const { leader, others } = await running(3);
    const { epoch } = leader.state;
    expect(leader.state).toMatchObject({ source: 'self', confirmed: true, provisional: false });
    await fleet.elapse(4 * TTL_MS);
    expect(leader.state).toMatchObject({ leads: true, confirmed: true, epoch });
    expect((await cloud().leader()).body).toMatchObject({ node_id: leader.node_id, epoch, leader_url: leader.url });
    expect((await leader.client.leader()).body).toMatchObject({ node_id: leader.node_id, epoch, confirmed: true });
    expect((await cloud().node(leader.node_id)).body).toMatchObject({ liveness: 'online', role: 'leader' });
    for (const { state } of others) expect(state).toMatchObject({ leader_node_id: leader.node_id, epoch });
  });

  it('leads on provisionally when the cloud is away until its lease has run out, and is confirmed again', async () => {
    const { leader, machines } = await running(2);
    const { epoch } = leader.state;
    fleet.cloud.reachable = false;
    await fleet.elapse(TTL_MS / 2);
    expect(leader.state).toMatchObject({ leads: true, confirmed: true, provisional: false });
    await fleet.elapse(TTL_MS);
    expect(leader.state).toMatchObject({ leads: true, epoch, confirmed: false, provisional: true });
    expect(leader.state.waiting_for.join()).toContain('the cloud to confirm this leader');
    expect(JSON.parse(leader.files.texts.get('cluster.json') ?? '{}')).toMatchObject({ provisional: true, role: 'leader' });
    fleet.cloud.reachable = true;
    await fleet.elapse(1.25 * TTL_MS);
    expect(fleet.leaders()).toHaveLength(1);
    expect(fleet.leaders()[0]?.state).toMatchObject({ confirmed: true, provisional: false });
    expectNoStop(machines);
  });

  it('steps down when the cloud names another', async () => {
    const { leader, others, machines } = await running(2);
    const [other] = others;
    if (other === undefined) throw new Error(fleet.standing());
    const { epoch } = leader.state;
    await cloud().release({ node_id: leader.node_id, epoch }, 'default');
    await cloud().register({ node_id: 'far', capabilities: [], host: 'far', ip: '192.0.2.200', versions: {} });
    await cloud().claim({ node_id: 'far', url: 'http://192.0.2.200:7420' }, 'default');
    await fleet.until(() => !leader.state.leads, TTL_MS, 100);
    await fleet.elapse(1000);
    await expect(leader.client.leader()).rejects.toMatchObject({ problem: { code: 'no_leader' } });
    expectNoStop(machines);
  });

  it('that gets another address knows its own lease there by the epoch, and leads on', async () => {
    const { leader } = await running(2);
    const { epoch } = leader.state;
    fleet.move(leader, '192.0.2.77');
    leader.discovery.look();
    await fleet.elapse(TTL_MS);
    expect(leader.state).toMatchObject({ source: 'self', leads: true, confirmed: true, epoch });
  });

  it('whose process is dead is not replaced before its lease has lapsed; until then nodes use the cloud', async () => {
    const { leader, others } = await running(3);
    const { epoch } = leader.state;
    await fleet.elapse(TTL_MS);
    leader.kill();
    await fleet.elapse(4000);
    expect(fleet.leaders()).toEqual([]);
    for (const { state } of others) expect(state.source).toBe('cloud');
    await fleet.until(() => fleet.leaders().length === 1, 2 * TTL_MS, 100);
    expect(fleet.leaders()[0]?.state).toMatchObject({ source: 'self', confirmed: true });
    expect(fleet.leaders()[0]?.state.epoch).toBeGreaterThan(epoch);
    await fleet.elapse(4 * TTL_MS);
    expect(fleet.leaders()).toHaveLength(1);
    for (const { state } of others) expect(state.leader_node_id).toBe(fleet.leaders()[0]?.node_id);
    expectNoStop(others);
  });

  it('that stops in order gives the lease of the cloud back too', async () => {
    const { leader, others } = await running(3);
    const stopped = leader.stop();
    const took = await fleet.until(() => others.some(({ state }) => state.leads), TTL_MS);
    expect(took).toBeLessThanOrEqual(3000);
    await fleet.elapse(10_000);
    await stopped;
    const [next, ...more] = fleet.leaders();
    expect(more).toEqual([]);
    expect(next?.state).toMatchObject({ confirmed: true });
    expectNoStop(others);
  });

  it('that leaves for good is not expected at the cloud any more', async () => {
    const { leader, others } = await running(2);
    expect((await cloud().node(leader.node_id)).body.liveness).toBe('online');
    const left = leader.stop('leave');
    await fleet.elapse(10_000);
    await left;
    expect((await cloud().node(leader.node_id)).body.liveness).toBe('left');
    await fleet.elapse(TTL_MS);
    expect((await cloud().node(leader.node_id)).body.liveness).toBe('left');
    for (const { state } of others) expect(state).toMatchObject({ leads: true, confirmed: true });
  });
});

describe('a cloud that names a leader below the epoch that a node has seen', () => {
  /** `a` leads `b` at epoch 1, and the cloud, that `c` alone reaches, names one of them at that epoch; `c` has seen a higher one. */
  async function met(named: 'a' | 'b', config: { cloud_url?: string }) {
    fleet.cloud.reachable = false;
    const [a, b] = await fleet.booted(2, config);
    expect(b?.state).toMatchObject({ leader_node_id: 'a', epoch: 1 });
    await cloud().register({ node_id: named, capabilities: [], host: named, ip: '192.0.2.2', versions: {} });
    await cloud().claim({ node_id: named, url: (named === 'a' ? a : b)?.url ?? '' }, 'default');
    fleet.cloud.reachable = true;
    fleet.partition = (from, to) => to === CLOUD && (from === a?.address || from === b?.address);
    const c = fleet.machine('c', { cloud_url: CLOUD, lead: false }, { multicast: false });
    c.files.texts.set('epoch.json', JSON.stringify({ epoch_seen: 3 }));
    await c.boot();
    return c;
  }

  it('leads the node back to that one', async () => {
    const c = await met('a', { cloud_url: CLOUD });
    await fleet.until(() => c.running?.discovery.state().source !== undefined, 3000);
    expect(c.state).toMatchObject({ leader_node_id: 'a', epoch: 1, source: 'peer' });
    // At once, without following the cloud in between.
    await expect(cloud().node('c')).rejects.toThrow('c');
  });

  it.each([
    ['with a cloud', { cloud_url: CLOUD }],
    ['without one', {}],
  ])('leads it to nobody whom that one follows, %s', async (_, config) => {
    const c = await met('b', config);
    for (let tenth = 0; tenth < 50; tenth += 1) {
      await fleet.elapse(100);
      expect(c.state.leader_node_id).not.toBe('a');
    }
    expect(c.state).toMatchObject({ source: 'cloud', leader_node_id: 'b' });
  });
});

describe('a node whose copy leads', () => {
  it('meets it, and does not follow it as its leader, when the cloud names where it is', async () => {
    const copy = fleet.machine('copy');
    copy.node_id = 'a';
    await copy.boot();
    await fleet.elapse(3000);
    expect(copy.state.leads).toBe(true);
    await cloud().register({ node_id: 'far', capabilities: [], host: 'far', ip: '192.0.2.200', versions: {} });
    await cloud().claim({ node_id: 'far', url: copy.url }, 'default');
    const a = fleet.machine('a', { cloud_url: CLOUD }, { multicast: false });
    let sent = 0;
    fleet.onRequest = (from, to, request) => {
      if (from === a.address && to === copy.address && request.headers.has('authorization')) sent += 1;
    };
    await a.boot();
    await fleet.elapse(3000);
    expect(sent).toBe(0);
    expect(a.state).toMatchObject({ leads: false, source: 'cache' });
    expect(a.logged('error')).toEqual([expect.stringContaining(`another machine, at ${copy.url}, runs as this node (a)`)]);
  });
});
