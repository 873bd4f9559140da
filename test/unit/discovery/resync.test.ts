import { afterEach, describe, expect, it } from 'vitest';
import { type Boot, CLOUD, Machine, planOf } from './harness.ts';

const TTL_MS = 15_000;
let endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.reverse()) await end();
  endings = [];
});

async function boot(machine: Machine, ...given: Parameters<Machine['boot']>): Promise<Boot> {
  const booted = await machine.boot(...given);
  endings.push(() => booted.crash());
  return booted;
}

/** The times of the plan calls that a follower made in this many TTLs, in TTLs after the start. */
async function polls(machine: Machine, ttls: number): Promise<number[]> {
  const from = machine.clock.monotonic();
  const times: number[] = [];
  machine.cloud.before = ({ path }) => {
    if (path === '/v1/nodes/plan') times.push((machine.clock.monotonic() - from) / TTL_MS);
    return undefined;
  };
  await machine.elapse(ttls * TTL_MS);
  return times;
}

async function follower(service: Record<string, unknown>): Promise<Machine> {
  const machine = new Machine();
  machine.cloud.publish(await planOf([{ name: 'api', ...service }]));
  machine.cloud.leader = { node_id: 'other', url: 'http://192.0.2.9:7420', epoch: 5, until: 1e9 };
  await boot(machine, { cloud_url: CLOUD, lead: false });
  await machine.elapse(6 * TTL_MS);
  return machine;
}

describe('a node that hears no news asks for the plan', () => {
  it('every TTL while its verified plan has a service with a count that it may run', async () => {
    const machine = await follower({ placement: { count: 1 } });
    expect((await polls(machine, 9)).length).toBeGreaterThanOrEqual(8);
    expect((await polls(machine, 9)).length).toBeLessThanOrEqual(10);
  });

  it.each([
    ['has no count', {}],
    ['is counted on other sites', { placement: { count: 1, sites: ['elsewhere'] } }],
    ['is counted on other nodes', { placement: { count: 1, capabilities: ['camera'] } }],
  ])('every four TTLs when its service %s', async (_, service) => {
    const machine = await follower(service);
    expect((await polls(machine, 9)).length).toBeLessThanOrEqual(3);
  });

  it('once more about 1.25 TTL after it saw a new leader, when that one gives away what it held back', async () => {
    const machine = await follower({});
    machine.cloud.leader = { node_id: 'third', url: 'http://192.0.2.10:7420', epoch: 6, until: 1e9 };
    const [news = 0, settled = 0, ...others] = (await polls(machine, 3)).filter((at, index, all) => at !== all[index - 1]);
    expect(news).toBeLessThanOrEqual(0.4);
    expect(settled - news).toBeGreaterThan(1.1);
    expect(settled - news).toBeLessThan(1.45);
    expect(others.length).toBeLessThanOrEqual(1);
  });
});
