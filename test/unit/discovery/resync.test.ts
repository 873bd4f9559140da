import { afterEach, describe, expect, it } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../../runtime-node/adapters/sqlite-migrations.ts';
import { createClient } from '../../../shared/client.ts';
import { createSupervisor } from '../../../shared/supervisor/app.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import type { SimulatedClock } from '../../support/simulated-clock.ts';
import { type Boot, CLOUD, FLEET_KEY, keys, Machine, planOf } from './harness.ts';

const TTL_MS = 15_000;
const migrations = readMigrations(new URL('../../../migrations', import.meta.url).pathname);
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

describe('with the real Supervisor', () => {
  function cloudOf(clock: SimulatedClock) {
    const database = openSqlite({ path: ':memory:', clock, migrations });
    endings.push(() => database.close());
    const supervisor = createSupervisor({
      database,
      clock,
      random: seededRandom(3),
      log: recordingLog(),
      fleets: { default_fleet: 'default', keysOf: async (fleet) => (fleet === 'default' ? keys : undefined) },
      version: '0.0.0-test',
      ttl_seconds: 15,
    });
    return { fetch: supervisor.fetch, client: createClient({ url: CLOUD, credential: FLEET_KEY, fetch: supervisor.fetch }) };
  }

  it('the only copy on a node that is lost runs on another within five TTLs', async () => {
    const machine = new Machine();
    const { clock } = machine;
    const cloud = cloudOf(clock);
    const services = [{ name: 'api', version: '1', command: ['sleep', '1'], placement: { count: 1, roles: ['worker'] } }];
    await cloud.client.publish('plan', { services }, { if_match: 0 });
    const nodes = await Promise.all(
      ['leader', 'first', 'second'].map((node_id, index) =>
        boot(
          new Machine(),
          { cloud_url: CLOUD, lead: node_id === 'leader', advertise_url: () => `http://192.0.2.${index + 1}:7420` },
          {
            clock,
            fetch: (request) => cloud.fetch(request),
            random: seededRandom(index),
            identity: { node_id, instance_id: `i-${index}` },
          },
        ),
      ),
    );
    await machine.elapse(2 * TTL_MS);
    const on = nodes.map(({ services: { running } }) => running.length);
    expect(on.toSorted()).toEqual([0, 0, 1]);
    const [lost] = nodes.splice(on.indexOf(1), 1);
    lost?.crash();
    await machine.elapse(5 * TTL_MS);
    expect(nodes.map(({ services: { running } }) => running.length)).toEqual([0, 1]);
  });
});
