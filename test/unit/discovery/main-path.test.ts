import { afterEach, describe, expect, it } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../../runtime-node/adapters/sqlite-migrations.ts';
import { createClient } from '../../../shared/client.ts';
import type { DiscoveryConfig } from '../../../shared/discovery/types.ts';
import { createSupervisor, type Self } from '../../../shared/supervisor/app.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { type Boot, CLOUD, FLEET_KEY, keys, Machine, SELF } from './harness.ts';

const migrations = readMigrations(new URL('../../../migrations', import.meta.url).pathname);
let endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.reverse()) await end();
  endings = [];
});

/** The real Supervisor on SQLite in memory, reached in process. */
function supervisorOf(machine: Machine, url: string) {
  const database = openSqlite({ path: ':memory:', clock: machine.clock, migrations });
  endings.push(() => database.close());
  const supervisor = createSupervisor({
    database,
    clock: machine.clock,
    random: seededRandom(3),
    log: recordingLog(),
    fleets: { default_fleet: 'default', keysOf: async (fleet) => (fleet === 'default' ? keys : undefined) },
    version: '0.0.0-test',
    ttl_seconds: 15,
    ...(url === SELF ? { self: selfOf(machine) } : {}),
  });
  const state = { reachable: true };
  const reach = async (request: Request) => {
    if (!state.reachable) throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    return supervisor.fetch(request);
  };
  return { state, seed: supervisor.seed, fetch: reach, client: createClient({ url, credential: FLEET_KEY, fetch: supervisor.fetch }) };
}

/** The node that boots on the machine. */
function selfOf(machine: Machine): Self {
  const identity = () => JSON.parse(machine.files.texts.get('node.json') ?? '{}');
  return {
    get node_id() {
      return identity().node_id;
    },
    get instance_id() {
      return identity().instance_id;
    },
    origins: () => [SELF],
    provisional: () => false,
    confirmed: () => false,
    leadership: () => ({ leads: true, epoch_seen: 0, eligible: true }),
    hear: () => undefined,
  };
}

async function start(
  machine: Machine,
  own: ReturnType<typeof supervisorOf>,
  cloud: ReturnType<typeof supervisorOf> | undefined,
): Promise<Boot> {
  const config: Partial<DiscoveryConfig> = cloud === undefined ? {} : { cloud_url: CLOUD };
  const fetch = cloud?.fetch ?? (() => Promise.reject(new Error('there is no cloud')));
  const boot = await machine.boot(config, { self: { url: SELF, fetch: own.fetch }, fetch });
  endings.push(() => boot.crash());
  return boot;
}

const plan = (...names: string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) });
const profile = (...names: string[]) => ({ storage: { buckets: names.map((name) => ({ name })) } });

describe('with the real Supervisor', () => {
  it('a node boots from nothing, applies the seeds, and is seen as online with its services and components', async () => {
    const machine = new Machine();
    const own = supervisorOf(machine, SELF);
    await own.seed('default', 'plan', plan('api', 'web'));
    await own.seed('default', 'profile', profile('captures'));
    const { discovery, node_id } = await start(machine, own, undefined);
    await machine.elapse(7_000);

    expect(machine.trace).toEqual(['adopt', 'apply 0: api, web', 'environment 0: captures']);
    expect(discovery.state()).toMatchObject({
      phase: 'running',
      role: 'leader',
      source: 'self',
      waiting_for: [],
      generations: { plan: 0, profile: 0 },
    });
    const { body } = await own.client.nodes();
    expect(body.nodes).toMatchObject([
      { node_id, role: 'leader', liveness: 'online', url: SELF, services_running: [{ name: 'api' }, { name: 'web' }] },
    ]);
    expect((await own.client.status(node_id)).body.components.services).toMatchObject({ status: 'applied', generation: 0 });
  });

  it('follows what is published, and an empty plan stops everything', async () => {
    const machine = new Machine();
    const own = supervisorOf(machine, SELF);
    await start(machine, own, undefined);
    await machine.elapse(1_000);
    await own.client.publish('plan', plan('api', 'web'), { if_match: 0 });
    await machine.elapse(6_000);
    await own.client.publish('plan', plan(), { if_match: 1, allow_empty: true });
    await own.client.publish('profile', profile('captures'), { if_match: 0 });
    await machine.elapse(6_000);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api, web', 'apply 2: ', 'environment 1: captures']);
  });

  it('holds its lease for a long time without a change of epoch, and gives it back at the end', async () => {
    const machine = new Machine();
    const own = supervisorOf(machine, SELF);
    const { discovery } = await start(machine, own, undefined);
    await machine.elapse(300_000);
    expect(discovery.state()).toMatchObject({ leads: true, epoch: 1, waiting_for: [] });
    expect(machine.logged('looks for a control plane again')).toEqual([]);
    const stopped = discovery.stop();
    await machine.elapse(1_000);
    await stopped;
    await expect(own.client.leader()).rejects.toMatchObject({ problem: { code: 'no_leader' } });
  });

  it('leads by the cloud, elects itself when that goes, and returns; services are started once', async () => {
    const machine = new Machine();
    const own = supervisorOf(machine, SELF);
    const cloud = supervisorOf(machine, CLOUD);
    await cloud.client.publish('plan', plan('api'), { if_match: 0 });
    await own.seed('default', 'plan', plan('seed'));
    const { discovery, node_id } = await start(machine, own, cloud);
    await machine.elapse(2_000);
    expect(discovery.state()).toMatchObject({
      source: 'self',
      confirmed: true,
      role: 'leader',
      epoch: 1,
      provisional: false,
      generations: { plan: 1 },
    });

    cloud.state.reachable = false;
    await machine.elapse(60_000);
    expect(discovery.state()).toMatchObject({ source: 'self', role: 'leader', provisional: true, generations: { plan: 1 } });

    cloud.state.reachable = true;
    await machine.elapse(30_000);
    expect(discovery.state()).toMatchObject({ source: 'self', confirmed: true, role: 'leader', provisional: false, waiting_for: [] });
    expect((await cloud.client.leader()).body).toMatchObject({ node_id });
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('two nodes share the cloud: one leads, the other takes over when its lease lapses', async () => {
    const [first, second] = [new Machine(), new Machine()];
    const cloud = supervisorOf(first, CLOUD);
    await cloud.client.publish('plan', plan('api'), { if_match: 0 });
    const one = await start(first, supervisorOf(first, SELF), cloud);
    await first.elapse(1_000);
    // Both machines have to live by the same clock as the cloud that judges their lease.
    const two = await second.boot(
      { cloud_url: CLOUD, advertise_url: () => 'http://192.0.2.8:7420' },
      { clock: first.clock, fetch: cloud.fetch, random: seededRandom(99), identity: { node_id: 'second', instance_id: 'i-2' } },
    );
    endings.push(() => two.crash());
    await first.elapse(5_000);
    expect(two.discovery.state()).toMatchObject({ role: 'worker', leader_node_id: one.node_id, leader_url: SELF });
    one.crash();
    await first.elapse(17_000);
    expect(two.discovery.state()).toMatchObject({ role: 'leader', leads: true, epoch: 2, leader_url: 'http://192.0.2.8:7420' });
    expect(second.trace.filter((line) => line.startsWith('apply'))).toEqual(['apply 1: api']);
  });

  it('a copied disk: the machine that was there first gets one error, and takes its place again when the copy is gone', async () => {
    const machine = new Machine();
    const cloud = supervisorOf(machine, CLOUD);
    await cloud.client.publish('plan', plan('api'), { if_match: 0 });
    const original = await start(machine, supervisorOf(machine, SELF), cloud);
    await machine.elapse(2_000);
    const copyMachine = new Machine();
    const copy = await copyMachine.boot(
      { cloud_url: CLOUD, lead: false },
      { clock: machine.clock, fetch: cloud.fetch, random: seededRandom(5), identity: { node_id: original.node_id, instance_id: 'copy' } },
    );
    endings.push(() => copy.crash());
    await machine.elapse(120_000);
    const errors = () => machine.log.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
    expect(errors()).toEqual([expect.stringContaining('stop one of the two')]);
    expect(original.services.running).toEqual(['api']);
    expect(original.discovery.state().waiting_for.join()).toContain('also runs on');

    copy.crash();
    await machine.elapse(60_000);
    expect(original.discovery.state().waiting_for).toEqual([]);
    expect((await cloud.client.node(original.node_id)).body).toMatchObject({ liveness: 'online' });
    expect(errors()).toHaveLength(1);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('a copied disk at another address does not fight for the lease', async () => {
    const machine = new Machine();
    const cloud = supervisorOf(machine, CLOUD);
    const original = await start(machine, supervisorOf(machine, SELF), cloud);
    await machine.elapse(2_000);
    const copy = await new Machine().boot(
      { cloud_url: CLOUD, advertise_url: () => 'http://192.0.2.8:7420' },
      { clock: machine.clock, fetch: cloud.fetch, random: seededRandom(5), identity: { node_id: original.node_id, instance_id: 'copy' } },
    );
    endings.push(() => copy.crash());
    await machine.elapse(120_000);
    expect((await cloud.client.leader()).body).toMatchObject({ epoch: 1, leader_url: SELF });
    expect(original.discovery.state()).toMatchObject({ leads: true, epoch: 1 });
    expect(copy.discovery.state()).toMatchObject({ leads: false, role: 'worker' });
  });

  it('a leader whose address changed while it was off leads again when its old lease has run out', async () => {
    const machine = new Machine();
    const cloud = supervisorOf(machine, CLOUD);
    const own = supervisorOf(machine, SELF);
    const before = await start(machine, own, cloud);
    await machine.elapse(2_000);
    before.crash();
    const after = await machine.boot(
      { cloud_url: CLOUD, advertise_url: () => 'http://192.0.2.8:7420' },
      { self: { url: SELF, fetch: own.fetch }, fetch: cloud.fetch },
    );
    endings.push(() => after.crash());
    await machine.elapse(17_000);
    expect(after.discovery.state()).toMatchObject({ role: 'leader', leads: true, epoch: 2, leader_url: 'http://192.0.2.8:7420' });
  });
});
