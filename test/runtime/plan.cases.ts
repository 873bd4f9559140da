import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { NodePlan } from '../../shared/contract/plan.ts';
import type { Database } from '../../shared/ports/database.ts';
import { publish, service } from './documents.cases.ts';
import { age, call, type Harness, heartbeat, type Reply, register, type Start } from './harness.ts';

const TTL_MS = 15_000;
const urlOf = (node_id: string) => `http://${node_id}.test:7420`;

export function planCases(start: Start): void {
  describe('the plan of a node', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
    });
    afterEach(() => harness.close());

    const join = (node_id: string, more: Record<string, unknown> = {}) => register(harness, node_id, { url: urlOf(node_id), ...more });
    const claim = async (node_id: string, site = 'default') => {
      const reply = await call(harness, `POST /v1/leader/claim?site=${site}`, { body: { node_id, url: urlOf(node_id) } });
      expect(reply.body.granted).toBe(true);
      return reply.body.epoch as number;
    };
    const ask = (node_id: string, on = harness): Promise<Reply> => call(on, 'POST /v1/nodes/plan', { body: { node_id } });
    const names = async (node_id: string) => (await ask(node_id)).body.services.map(({ name }: { name: string }) => name);
    const holders = async (name: string, nodes: readonly string[]) => {
      const found: string[] = [];
      for (const node_id of nodes) if ((await names(node_id)).includes(name)) found.push(node_id);
      return found;
    };
    const beat = async (node_id: string, ...running: string[]) => {
      const services_running = running.map((name) => ({ name, version: '1.0.0', state: 'running' }));
      expect((await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat(node_id, { services_running }) })).status).toBe(204);
    };
    /** A TTL later, with the leader and these nodes alive. */
    const later = async (leader: string, ...alive: string[]) => {
      await age(harness, TTL_MS + 1);
      await claim(leader);
      for (const node_id of [leader, ...alive]) await beat(node_id);
    };

    it('of a node that never registered is unknown_node', async () => {
      expect(await ask('nobody')).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
    });

    it('is no_leader while nobody leads its site, and after the lease ran out', async () => {
      await join('a');
      expect(await ask('a')).toMatchObject({ status: 404, body: { code: 'no_leader' } });
      await claim('a');
      expect((await ask('a')).status).toBe(200);
      await age(harness, TTL_MS + 1);
      expect(await ask('a')).toMatchObject({ status: 404, body: { code: 'no_leader' } });
    });

    it('has a role and no services while no Cluster Plan is published', async () => {
      await join('a');
      const epoch = await claim('a');
      const reply = await ask('a');
      expect(reply.status).toBe(200);
      expect(NodePlan.parse(reply.body)).toMatchObject({
        role: 'leader',
        services: [],
        epoch,
        leader_node_id: 'a',
        ttl_seconds: 15,
        successors: [],
      });
      expect(reply.body).not.toHaveProperty('generation');
      expect(reply.body).not.toHaveProperty('hash');
      expect(reply.headers.get('bootplane-epoch')).toBe(`${epoch}/a`);
      expect(reply.headers.get('bootplane-desired')).toBe('');
    });

    it('names the services in plan order, and the version of the plan they come from', async () => {
      await join('a');
      await claim('a');
      const published = await publish(harness, 'plan', { ttl_seconds: 9, services: [service('web'), service('api', { version: '2' })] }, 0);
      await publish(harness, 'profile', {}, 0);
      const reply = await ask('a');
      expect(reply.body).toMatchObject({
        services: [
          { name: 'web', version: '1.0.0' },
          { name: 'api', version: '2' },
        ],
        generation: 1,
        hash: published.body.hash,
        ttl_seconds: 9,
      });
      expect(reply.body.services[0]).not.toHaveProperty('command');
      expect(reply.headers.get('bootplane-desired')).toBe('plan=1, profile=1');
    });

    it('says by the reports of which boot it goes, so that a clone is not taken for the node', async () => {
      await join('a', { instance_id: 'boot-1' });
      await claim('a');
      expect((await ask('a')).body.instance_id).toBe('boot-1');
      await join('a', { instance_id: 'boot-of-copy' });
      expect((await ask('a')).body.instance_id).toBe('boot-of-copy');
      await join('b');
      expect((await ask('b')).body).not.toHaveProperty('instance_id');
    });

    it('follows the next generation at once', async () => {
      await join('a');
      await claim('a');
      await publish(harness, 'plan', { services: [service('api', { placement: { count: 1 } })] }, 0);
      expect(await names('a')).toEqual(['api']);
      await publish(harness, 'plan', { services: [service('web', { placement: { count: 1 } })] }, 1);
      expect(await ask('a')).toMatchObject({ body: { services: [{ name: 'web' }], generation: 2 } });
      await publish(harness, 'plan', { services: [] }, 2, '?allow_empty=true');
      expect(await ask('a')).toMatchObject({ body: { services: [], generation: 3 } });
    });

    it('gives each node its role: the lease, then the capability', async () => {
      await join('lead', { capabilities: ['proxy'] });
      await join('proxy', { capabilities: ['proxy', 'camera'] });
      await join('plain', { capabilities: ['camera'] });
      await claim('lead');
      expect([(await ask('lead')).body.role, (await ask('proxy')).body.role, (await ask('plain')).body.role]).toEqual([
        'leader',
        'proxy',
        'worker',
      ]);
    });

    it('filters by site, role, capability and node', async () => {
      const services = [
        service('everywhere'),
        service('lab-only', { placement: { sites: ['lab'] } }),
        service('leaders', { placement: { roles: ['leader'] } }),
        service('cameras', { placement: { capabilities: ['camera', 'gpu'] } }),
        service('on-b', { placement: { nodes: ['b'] } }),
      ];
      await join('a');
      await join('b', { capabilities: ['camera'] });
      await join('c', { capabilities: ['gpu', 'camera'] });
      await join('lab', { site: 'lab' });
      await claim('a');
      await claim('lab', 'lab');
      await publish(harness, 'plan', { services }, 0);
      expect(await names('a')).toEqual(['everywhere', 'leaders']);
      expect(await names('b')).toEqual(['everywhere', 'on-b']);
      expect(await names('c')).toEqual(['everywhere', 'cameras']);
      expect(await names('lab')).toEqual(['everywhere', 'lab-only', 'leaders']);
    });

    it('only the node itself asks, or an operator', async () => {
      await join('a');
      await join('b');
      await claim('a');
      const as = await harness.keys.nodeCredential('b');
      expect(await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'a' }, as })).toMatchObject({ status: 403 });
      expect(await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'b' }, as })).toMatchObject({ status: 200 });
      expect(await call(harness, 'POST /v1/nodes/plan', { body: {} })).toMatchObject({
        status: 400,
        body: { errors: [{ pointer: '/node_id' }] },
      });
    });

    describe('count', () => {
      const NODES = ['a', 'b', 'c', 'd', 'e'];
      const counted = (count: number, more: Record<string, unknown> = {}) => ({
        services: [service('api', { placement: { count, ...more } })],
      });

      it('is per site, and places are filled as nodes come', async () => {
        await join('a');
        await join('lab', { site: 'lab' });
        await claim('a');
        await claim('lab', 'lab');
        await publish(harness, 'plan', counted(2), 0);
        expect(await names('a')).toEqual(['api']);
        await join('b');
        expect(await names('b')).toEqual(['api']);
        await join('c');
        expect(await names('c')).toEqual([]);
        expect(await holders('api', ['a', 'b', 'c'])).toEqual(['a', 'b']);
        expect(await names('lab')).toEqual(['api']);
      });

      it('stays where it runs when nodes come, and only a lost node’s place moves', async () => {
        for (const node_id of NODES) await join(node_id);
        await claim('a');
        await publish(harness, 'plan', counted(2, { nodes: ['b', 'c', 'd', 'e'] }), 0);
        const first = await holders('api', NODES);
        expect(first).toHaveLength(2);
        const [lost = '', kept = ''] = first;
        const others = NODES.filter((node_id) => node_id !== lost && node_id !== 'a');
        for (let ttl = 0; ttl < 4; ttl += 1) {
          await later('a', ...others);
          await beat(kept, 'api');
        }
        const after = await holders('api', ['a', ...others]);
        expect(after).toHaveLength(2);
        expect(after).toContain(kept);
      });

      it('goes first to who reports it', async () => {
        for (const node_id of NODES) await join(node_id);
        await claim('a');
        for (const node_id of NODES.slice(1)) {
          await harness.database.batch([
            { sql: `update nodes set services_running = '[]'`, params: [] },
            { sql: 'delete from placements', params: [] },
          ]);
          await beat(node_id, 'api');
          const { generation = 0 } = (await ask('a')).body;
          await publish(harness, 'plan', { ...counted(1), ttl_seconds: 15 + generation }, generation);
          expect(await holders('api', NODES)).toEqual([node_id]);
        }
      });

      it('a new leader that has heard nobody gives no place away: nodes say what they run when they register', async () => {
        await join('b');
        await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'b', url: urlOf('b'), epoch_seen: 4 } });
        await publish(harness, 'plan', counted(1), 0);
        expect(await names('b')).toEqual([]);
        await join('a', { services_running: [{ name: 'api', version: '1.0.0', state: 'running' }] });
        expect(await names('a')).toEqual(['api']);
        expect(await names('b')).toEqual([]);
        await beat('a', 'api');
        await join('a', { services_running: undefined });
        expect(await names('a')).toEqual(['api']);
      });

      it('what the leader that is gone ran moves when the new one has settled', async () => {
        await join('a');
        await join('b');
        await claim('a');
        await publish(harness, 'plan', counted(1, { nodes: ['a', 'b'] }), 0);
        await beat('a', 'api');
        expect(await holders('api', ['a', 'b'])).toEqual(['a']);
        await age(harness, 4 * TTL_MS);
        const epoch = await claim('b');
        await beat('b');
        expect(await names('b')).toEqual([]);
        for (let renewal = 0; renewal < 3; renewal += 1) {
          await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'b', url: urlOf('b'), epoch } });
        }
        expect(await names('b')).toEqual(['api']);
      });

      it('a leader that comes back knows its nodes, and places at once', async () => {
        await join('a');
        await claim('a');
        await publish(harness, 'plan', counted(1), 0);
        expect(await names('a')).toEqual(['api']);
        expect(await claim('a')).toBe(2);
        await publish(harness, 'plan', { services: [service('web', { placement: { count: 1 } })] }, 1);
        expect(await names('a')).toEqual(['web']);
      });

      it('a leader that has seen others lead since it placed the last time stops no copy that runs', async () => {
        for (const node_id of ['a', 'b', 'c']) await join(node_id);
        await claim('a');
        await publish(harness, 'plan', counted(1), 0);
        expect(await holders('api', ['a', 'b', 'c'])).toHaveLength(1);
        await age(harness, TTL_MS + 1);
        const back = await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: urlOf('a'), epoch_seen: 4 } });
        expect(back.body).toMatchObject({ granted: true, epoch: 5 });
        for (const node_id of ['a', 'b', 'c']) await beat(node_id, 'api');
        expect(await holders('api', ['a', 'b', 'c'])).toEqual(['a', 'b', 'c']);
      });

      it('a change of leader stops no copy that runs, even above count; a TTL later the surplus stops', async () => {
        for (const node_id of ['a', 'b', 'c']) await join(node_id);
        await claim('a');
        await publish(harness, 'plan', counted(1), 0);
        await age(harness, TTL_MS + 1);
        const epoch = await claim('b');
        for (const node_id of ['a', 'b', 'c']) await beat(node_id, 'api');
        expect(await holders('api', ['a', 'b', 'c'])).toEqual(['a', 'b', 'c']);
        for (let renewal = 0; renewal < 3; renewal += 1) {
          await age(harness, TTL_MS / 3);
          const reply = await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'b', url: urlOf('b'), epoch } });
          expect(reply.body).toMatchObject({ granted: true, epoch });
          for (const node_id of ['a', 'b', 'c']) await beat(node_id, 'api');
        }
        await age(harness, 10);
        expect(await holders('api', ['a', 'b', 'c'])).toHaveLength(1);
      });

      it('a node that lost a capability loses the service that needs it', async () => {
        await join('a', { capabilities: ['camera'] });
        await join('b', { capabilities: ['camera'] });
        await claim('a');
        await publish(harness, 'plan', counted(2, { capabilities: ['camera'] }), 0);
        expect(await holders('api', ['a', 'b'])).toEqual(['a', 'b']);
        await join('b');
        expect(await holders('api', ['a', 'b'])).toEqual(['a']);
      });

      it('a node that left gives its place to another', async () => {
        for (const node_id of ['a', 'b', 'c']) await join(node_id);
        await claim('a');
        await publish(harness, 'plan', counted(1, { nodes: ['b', 'c'] }), 0);
        const [holder = ''] = await holders('api', ['b', 'c']);
        const other = holder === 'b' ? 'c' : 'b';
        expect((await call(harness, 'POST /v1/nodes/leave', { body: { node_id: holder } })).status).toBe(204);
        await later('a', other);
        expect(await names(other)).toEqual(['api']);
      });
    });

    describe('urls', () => {
      it('without a node of its own, the Supervisor is the control plane itself', async () => {
        await join('a');
        await claim('a');
        const { control_plane_url, gateway_url } = (await ask('a')).body;
        expect(control_plane_url).not.toBe(urlOf('a'));
        expect(new URL(control_plane_url).origin).toBe(control_plane_url);
        expect(gateway_url).toBe(control_plane_url);
      });

      it('inside a node, the site’s leader is', async () => {
        const self = {
          node_id: 'a',
          instance_id: 'boot-1',
          origins: () => [urlOf('a')],
          provisional: () => false,
          confirmed: () => false,
          leadership: () => ({ leads: true, epoch_seen: 1, eligible: true }),
          hear: () => undefined,
        };
        const inside = await start({ self });
        onTestFinished(() => inside.close());
        await register(inside, 'a', { url: urlOf('a') });
        await call(inside, 'POST /v1/leader/claim', { body: { node_id: 'a', url: urlOf('a') } });
        expect((await ask('a', inside)).body).toMatchObject({ control_plane_url: urlOf('a'), gateway_url: urlOf('a') });
      });

      it('the gateway is a proxy that is online', async () => {
        await join('a');
        await claim('a');
        await join('p1', { capabilities: ['proxy'] });
        await join('p2', { capabilities: ['proxy'] });
        await join('no-url', { capabilities: ['proxy'], url: undefined });
        const gateways = new Set<string>();
        for (let index = 0; index < 20; index += 1) {
          await join(`n${index}`);
          gateways.add((await ask(`n${index}`)).body.gateway_url);
        }
        expect([...gateways].sort()).toEqual([urlOf('p1'), urlOf('p2')]);
        const { gateway_url, control_plane_url } = (await ask('p1')).body;
        expect(gateway_url).toBe(control_plane_url);
        await later('a', 'p2', 'n0');
        expect((await ask('n0')).body.gateway_url).toBe(urlOf('p2'));
      });

      it('successors without the fleet key come after all others, and never where they may not lead', async () => {
        for (const node_id of ['a', 'k1', 'k2']) await join(node_id);
        for (const node_id of ['m1', 'm2', 'm3']) await join(node_id, { leads_last: true });
        await join('never', { leads_last: true, lead: false });
        await claim('a');
        const ids = (await ask('k1')).body.successors.map(({ node_id }: { node_id: string }) => node_id);
        expect(ids.slice(0, 2).sort()).toEqual(['k1', 'k2']);
        expect(ids.slice(2).sort()).toEqual(['m1', 'm2', 'm3']);
        const { nodes } = (await call(harness, 'GET /v1/nodes')).body;
        const may = nodes.map(({ node_id, lead }: { node_id: string; lead?: false }) => (lead === false ? `${node_id} not` : node_id));
        expect(may).toEqual(['a', 'k1', 'k2', 'm1', 'm2', 'm3', 'never not']);
        // It got the key, and registers anew.
        await join('m1');
        expect((await ask('m1')).body.successors.slice(0, 3).map(({ node_id }: { node_id: string }) => node_id)).toContain('m1');
      });

      it('successors are the other online nodes that can be reached, the same list for everybody', async () => {
        for (const node_id of ['a', 'b', 'c', 'd']) await join(node_id);
        await join('no-url', { url: undefined });
        await claim('a');
        const list = (await ask('b')).body.successors;
        expect(list.map(({ node_id }: { node_id: string }) => node_id).sort()).toEqual(['b', 'c', 'd']);
        expect(list).toContainEqual({ node_id: 'c', url: urlOf('c') });
        expect((await ask('c')).body.successors).toEqual(list);
        await later('a', 'b', 'd');
        expect((await ask('b')).body.successors).toEqual(list.filter(({ node_id }: { node_id: string }) => node_id !== 'c'));
      });
    });

    it('a damaged plan gives no answer, so that nobody stops anything', async () => {
      await join('a');
      await claim('a');
      await publish(harness, 'plan', { services: [service('api')] }, 0);
      await harness.database.batch([{ sql: `update documents set body = '{"services":[]}'`, params: [] }]);
      expect(await ask('a')).toMatchObject({ status: 500, body: { code: 'storage_corrupt' } });
    });

    /** A second Supervisor over the same database, and the SQL of each batch that it runs. */
    const observe = async () => {
      const batches: string[][] = [];
      const { database } = harness;
      const wrap = (): Database => ({
        now: database.now,
        close: async () => undefined,
        batch: (statements) => {
          batches.push(statements.map(({ sql }) => sql.trim()));
          return database.batch(statements);
        },
      });
      const observed = await start({ wrap });
      onTestFinished(() => observed.close());
      return { observed, batches };
    };

    it('a full site that boots at once is placed while the line of succession fills, and not once per node', async () => {
      const { observed, batches } = await observe();
      await join('n0');
      await claim('n0');
      await publish(harness, 'plan', { services: [service('api', { placement: { count: 2 } }), service('web')] }, 0);
      for (let index = 0; index < 20; index += 1) {
        await join(`n${index}`);
        expect((await ask(`n${index}`, observed)).status).toBe(200);
      }
      // By the leader, and by each of the eight that can take over.
      expect(batches.filter(([sql]) => sql?.startsWith('insert into placements'))).toHaveLength(9);
    });

    it('an unchanged poll is one batch of four reads and writes nothing', async () => {
      const { observed, batches } = await observe();
      const { database } = harness;
      await join('a');
      await join('b');
      await claim('a');
      await publish(harness, 'plan', { services: [service('api', { placement: { count: 1 } }), service('web')] }, 0);
      const first = await ask('a', observed);
      await ask('b', observed);
      batches.length = 0;
      expect((await ask('a', observed)).body).toEqual(first.body);
      expect(batches).toHaveLength(1);
      expect(batches[0]).toHaveLength(4);
      for (const sql of batches[0] ?? []) {
        expect(sql).toMatch(/^select /);
        const [plan = []] = await database.batch([{ sql: `explain query plan ${sql}`, params: (sql.match(/\?/g) ?? []).map(() => 'x') }]);
        for (const { detail } of plan) expect(detail).not.toMatch(/^SCAN (?!CONSTANT)/);
      }
    });
  });
}
