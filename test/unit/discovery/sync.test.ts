import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { type Client, createClient } from '../../../shared/client.ts';
import type { HistoryEntry } from '../../../shared/contract/document.ts';
import { lineOf } from '../../../shared/decide/merge.ts';
import { sync } from '../../../shared/discovery/sync.ts';
import { createSupervisor } from '../../../shared/supervisor/app.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { FLEET_KEY, keys } from './harness.ts';

let endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings) await end();
  endings = [];
});

/** The Supervisor of one node, or of the cloud where it has no name. */
class Store {
  leads = false;
  readonly client: Client;
  /** With the credential of its own node. */
  readonly own: Promise<Client>;
  calls: string[] = [];

  constructor(node_id?: string) {
    const clock = new SimulatedClock();
    const database = openSqlite({ path: ':memory:', clock, migrations });
    endings.push(() => database.close());
    const leadership = () => ({ leads: this.leads, epoch_seen: 0, eligible: true });
    const self = node_id === undefined ? undefined : { node_id, instance_id: 'i', origins: () => [], hear: () => undefined, leadership };
    const supervisor = createSupervisor({
      database,
      clock,
      random: seededRandom(1),
      log: recordingLog(),
      fleets: { default_fleet: 'default', keysOf: async () => keys },
      version: '0.0.0-test',
      ttl_seconds: 15,
      ...(self === undefined ? {} : { self: { ...self, provisional: () => false, confirmed: () => false } }),
    });
    const url = `http://${node_id ?? 'cloud'}.test`;
    const fetch = (request: Request) => {
      this.calls.push(`${request.method} ${new URL(request.url).pathname}`);
      return supervisor.fetch(request);
    };
    this.client = createClient({ url, credential: FLEET_KEY, fetch });
    this.own = keys.nodeCredential(node_id ?? 'cloud').then((credential) => createClient({ url, credential, fetch }));
  }

  async history(): Promise<HistoryEntry[]> {
    return (await this.client.history('plan')).body.versions;
  }

  async head(): Promise<HistoryEntry | undefined> {
    return (await this.history()).find(({ current }) => current);
  }

  /** Publishes a plan with one service of that name on what is current. */
  async publish(name: string) {
    const if_match = (await this.head())?.generation ?? 0;
    const services = [{ name, version: '1', command: ['sleep', '1'] }];
    return (await this.client.publish('plan', { services }, { if_match })).body;
  }
}

const options = { kind: 'plan', site: 'default' } as const;

/** As a follower does with its leader, and a leader with the cloud. */
async function meet(follower: Store, leader: Store): Promise<void> {
  await sync(follower.client, leader.client, options);
  await sync(leader.client, await follower.own, { ...options, decider: 'sender' });
}

describe('a sync', () => {
  it('copies all versions in requests of a bounded size, and nothing the second time', async () => {
    const [one, two] = [new Store('one'), new Store('two')];
    for (let n = 0; n < 40; n += 1) await one.publish(`service-${n}`);
    await sync(one.client, two.client, options);
    expect(await two.history()).toEqual(await one.history());
    expect(two.calls.filter((call) => call.startsWith('POST')).length).toBeGreaterThanOrEqual(3);
    two.calls = [];
    one.calls = [];
    expect(await sync(one.client, two.client, options)).toBeUndefined();
    expect([...one.calls, ...two.calls]).toEqual(['GET /v1/cluster/plan/history', 'GET /v1/cluster/plan/history']);
  });

  it('that is cut off leaves what the next one builds on, and never an older version as the current one', async () => {
    const [one, two] = [new Store('one'), new Store('two')];
    await one.publish('first');
    await sync(one.client, two.client, options);
    for (let n = 0; n < 40; n += 1) await one.publish(`service-${n}`);
    let left = 30;
    const breaking = {
      ...one.client,
      version: (...given: Parameters<Client['version']>) => {
        left -= 1;
        return left > 0 ? one.client.version(...given) : Promise.reject(new Error('cut off'));
      },
    };
    await expect(sync(breaking, two.client, options)).rejects.toThrow('cut off');
    expect(await two.head()).toMatchObject({ generation: 1 });
    await sync(one.client, two.client, options);
    expect(await two.history()).toEqual(await one.history());
  });

  it('gives a cloud that was restored from a backup what the site has meanwhile', async () => {
    const [cloud, backup, site] = [new Store(), new Store(), new Store('site')];
    site.leads = true;
    for (const name of ['a', 'b', 'c']) {
      await cloud.publish(name);
      if (name === 'a') await sync(cloud.client, backup.client, options);
      await meet(site, cloud);
    }
    await meet(site, backup);
    expect(await backup.history()).toEqual(await cloud.history());
    expect((await site.history()).filter(({ conflict }) => conflict)).toEqual([]);
  });
});

describe('three Supervisors that publish, are cut off from each other, and meet', () => {
  const node = fc.integer({ min: 0, max: 2 });
  const step = fc.oneof(
    fc.record({ act: fc.constant('publish' as const), at: node, what: fc.constantFrom('a', 'b', 'c', 'd') }),
    fc.record({ act: fc.constant('lead' as const), at: node }),
    fc.record({ act: fc.constant('meet' as const), at: node, with: node }),
  );

  async function play(steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[], isUnique: boolean): Promise<void> {
    const stores = [new Store('n0'), new Store('n1'), new Store('n2')];
    const published: { generation: number; hash: string }[] = [];
    const heads = stores.map(() => -1);
    const isRising = async () => {
      for (const [index, store] of stores.entries()) {
        const now = (await store.head())?.generation ?? -1;
        expect(now).toBeGreaterThanOrEqual(heads[index] ?? -1);
        heads[index] = now;
      }
    };
    /** Of two that lead the first stays; the other steps down and follows it. */
    const encounter = async (leader: Store, other: Store) => {
      if (leader === other) return;
      if (!leader.leads && other.leads) return encounter(other, leader);
      leader.leads = true;
      other.leads = false;
      await meet(other, leader);
    };
    let made = 0;
    for (const one of steps) {
      const store = stores[one.at] as Store;
      if (one.act === 'publish') {
        made += 1;
        const { generation, hash } = await store.publish(isUnique ? `service-${made}` : one.what);
        published.push({ generation, hash });
      } else if (one.act === 'lead') store.leads = true;
      else await encounter(store, stores[one.with] as Store);
      await isRising();
    }
    const [first, ...others] = stores as [Store, ...Store[]];
    for (let round = 0; round < 2; round += 1) {
      for (const other of others) await encounter(first.leads || !other.leads ? first : other, first.leads || !other.leads ? other : first);
      await isRising();
    }
    const leader = stores.find(({ leads }) => leads) ?? first;
    for (const other of stores) if (other !== leader) await meet(other, leader);
    for (const other of stores) if (other !== leader) await meet(other, leader);
    const all = await leader.history();
    const names = (list: readonly HistoryEntry[]) =>
      list.map(({ generation, hash, current, conflict, resolved }) => ({ generation, hash, current, conflict, resolved }));
    // The same text published twice under one generation is one version, whatever each was published on: whether what
    // came before it lost is then a matter of opinion.
    const told = (list: readonly HistoryEntry[]) =>
      isUnique ? names(list) : list.map(({ generation, hash, current }) => `${generation}/${hash}/${current}`).sort();
    for (const store of stores) expect(told(await store.history())).toEqual(told(all));
    const held = all.filter((one) => one.current || one.conflict || one.resolved);
    const reached = new Set(held.flatMap((one) => lineOf(all, one)).map(({ generation, hash }) => `${generation}/${hash}`));
    for (const { generation, hash } of published) {
      expect(all.some((one) => one.generation === generation && one.hash === hash)).toBe(true);
      if (isUnique) expect(reached.has(`${generation}/${hash}`)).toBe(true);
    }
    const before = names(all);
    for (const other of stores) if (other !== leader) await meet(other, leader);
    expect(names(await leader.history())).toEqual(before);
  }

  it.each([
    ['texts of their own', true],
    ['texts that come back', false],
  ])('end with one version, the same everywhere; none went down and none was lost: %s', async (_name, isUnique) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
        try {
          await play(steps, isUnique);
        } finally {
          for (const end of endings.splice(0)) await end();
        }
      }),
      { numRuns: 40 },
    );
  });
});
