import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../../shared/client.ts';
import { CLOUD, Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { FLEET_KEY } from './harness.ts';

const TTLS = 40;

/** What nodes really ask of their cloud, and how often: what docs/cost.md and the write budget count with. */
describe('calls of the cloud', () => {
  let fleet: Fleet;
  let seen: Map<string, number>;
  beforeEach(() => {
    fleet = new Fleet();
    fleet.cloud.reachable = true;
    seen = new Map();
  });
  afterEach(() => fleet.close());

  /** By the machine that calls, in this many milliseconds. */
  const callsOf = async (machine: FleetMachine, ms: number): Promise<Record<string, number>> => {
    seen.clear();
    fleet.onRequest = (from, to, request) => {
      if (to !== CLOUD) return;
      const key = `${from} ${request.method} ${new URL(request.url).pathname}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    };
    await fleet.elapse(ms);
    const own = [...seen].filter(([key]) => key.startsWith(`${machine.address} `));
    return Object.fromEntries(own.map(([key, count]) => [key.slice(machine.address.length + 1), count]));
  };
  const liveness = async () => {
    const { body } = await createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch }).nodes();
    return body.nodes.map((node) => node.liveness);
  };

  it('a site: its leader alone, ten in three TTLs, and two every four TTLs', async () => {
    const [a] = await fleet.booted(2, { cloud_url: CLOUD });
    const { 'POST /v1/sites/uplink': uplinks = 0, ...others } = await callsOf(a!, TTLS * TTL_MS);
    expect(uplinks).toBeGreaterThan(TTLS * 3);
    expect(uplinks).toBeLessThan(TTLS * 3.6);
    expect(others).toEqual({ 'GET /v1/cluster/plan/history': expect.any(Number), 'GET /v1/bootstrap/profile/history': expect.any(Number) });
    expect(Math.max(...Object.values(others))).toBeLessThanOrEqual(TTLS / 4 + 1);
    expect([...seen.keys()].filter((key) => !key.startsWith(`${a!.address} `))).toEqual([]);
  });

  it('a site that boots at once: one asks and claims, and the others hear of it on the LAN', async () => {
    const machines = Array.from({ length: 8 }, (_, index) => fleet.machine(`m${index}`, { cloud_url: CLOUD }));
    let asked = 0;
    fleet.onRequest = (_from, to, request) => {
      if (to === CLOUD && /\/v1\/leader/.test(request.url)) asked += 1;
    };
    await Promise.all(machines.map((machine) => machine.boot()));
    await fleet.elapse(8_000);
    expect(machines.filter(({ state }) => state.source === 'self')).toHaveLength(1);
    expect(machines.filter(({ state }) => state.source === 'mdns')).toHaveLength(7);
    expect(asked).toBeLessThanOrEqual(4);
  });

  it('a node out of reach of its leader: ten heartbeats in three TTLs, and five others every four TTLs', async () => {
    const a = fleet.machine('a', { cloud_url: CLOUD }, { multicast: false });
    const b = fleet.machine('b', { cloud_url: CLOUD, lead: false }, { multicast: false });
    fleet.partition = (from, to) => from !== CLOUD && to !== CLOUD;
    await a.boot();
    await fleet.elapse(3_000);
    await b.boot();
    await fleet.elapse(10_000);
    const { 'POST /v1/nodes/heartbeat': heartbeats = 0, ...others } = await callsOf(b, TTLS * TTL_MS);
    expect(heartbeats).toBeGreaterThan(TTLS * 3);
    expect(heartbeats).toBeLessThan(TTLS * 3.6);
    expect(Object.keys(others).sort()).toEqual([
      'GET /v1/bootstrap/profile',
      'GET /v1/bootstrap/profile/history',
      'GET /v1/cluster/plan/history',
      'GET /v1/leader',
      'POST /v1/nodes/plan',
    ]);
    expect(Math.max(...Object.values(others))).toBeLessThanOrEqual(TTLS / 4 + 2);
  });

  it('a site that does not believe what the cloud publishes asks once in a TTL of the cloud whether that has changed', async () => {
    const a = fleet.machine('a', { cloud_url: CLOUD }, { documents_url: CLOUD });
    await a.boot();
    await fleet.elapse(10_000);
    const client = createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });
    const { supervisor } = fleet.cloud;
    const forge = async (answer: Response) => {
      const { status, headers } = answer;
      const text = (await answer.text()).replaceAll(/"signature":"..../g, '"signature":"AAAA');
      return new Response(text === '' ? null : text, { status, headers });
    };
    fleet.cloud.supervisor = { ...supervisor, fetch: async (request) => forge(await supervisor.fetch(request)) };
    await client.publish('plan', { services: [{ name: 'x', version: '1', command: ['sleep', '1'] }] }, { if_match: 0 });
    await fleet.elapse(60_000);
    expect(a.state.waiting_for.join()).toContain('its signature does not verify');
    const { 'POST /v1/sites/uplink': uplinks = 0, ...others } = await callsOf(a, TTLS * TTL_MS);
    expect(uplinks).toBeGreaterThan(TTLS * 3);
    expect(Math.max(...Object.values(others))).toBeLessThan(TTLS * 1.2);
  });

  it('stretch with the TTL of the cloud, and nobody is lost while it rises and falls', async () => {
    const [a] = await fleet.booted(2, { cloud_url: CLOUD });
    await fleet.stretchCloud(120);
    for (let step = 0; step < 6; step += 1) {
      await fleet.elapse(10_000);
      expect(await liveness()).toEqual(['online', 'online']);
    }
    const calls = await callsOf(a!, 1_200_000);
    expect(calls['POST /v1/sites/uplink']).toBeLessThan(36);
    expect(Object.values(calls).reduce((all, one) => all + one, 0)).toBeLessThan(46);
    expect(await liveness()).toEqual(['online', 'online']);
    expect(a!.state).toMatchObject({ confirmed: true, ttl_seconds: TTL_MS / 1000 });
    await fleet.stretchCloud(0);
    for (let step = 0; step < 15; step += 1) {
      await fleet.elapse(10_000);
      expect(await liveness()).toEqual(['online', 'online']);
    }
    expect((await callsOf(a!, 60_000))['POST /v1/sites/uplink']).toBeGreaterThan(11);
    expect(a!.state).toMatchObject({ confirmed: true, epoch: 1 });
  });
});
