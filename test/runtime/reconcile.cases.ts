import { describe, expect, it, onTestFinished } from 'vitest';
import type { Drafts } from '../../shared/contract/reconcile.ts';
import type { Database } from '../../shared/ports/database.ts';
import type { Self } from '../../shared/supervisor/context.ts';
import { type Adjust, age, call, type Harness, register, type Start } from './harness.ts';

const DIFF = { components: [{ component: 'storage', backend: 'fs', actions: [] }] };

function selfOf(node_id: string, leads: boolean): Self {
  return {
    node_id,
    instance_id: 'boot-1',
    origins: () => [],
    provisional: () => false,
    confirmed: () => false,
    leadership: () => ({ leads, epoch_seen: 1, eligible: true }),
    hear: () => undefined,
  };
}

const service = (name: string, count?: number) => ({ name, version: '1', command: ['x'], placement: count === undefined ? {} : { count } });

/** What documents that nobody has published would do on the node that is asked. */
export function reconcileCases(start: Start): void {
  describe('a diff of drafts', () => {
    const open = async (adjust: Adjust = {}): Promise<Harness & { given: (Drafts | undefined)[] }> => {
      const given: (Drafts | undefined)[] = [];
      const reconcile_diff = async (drafts?: Drafts) => {
        given.push(drafts);
        return DIFF as never;
      };
      const harness = await start({ reconcile_diff, ...adjust });
      onTestFinished(() => harness.close());
      return Object.assign(harness, { given });
    };

    it('gives the node what was sent, with its defaults, and answers what the node says', async () => {
      const harness = await open();
      const profile = { storage: { buckets: [{ name: 'captures' }] } };
      expect(await call(harness, 'POST /v1/reconcile/diff', { body: { profile } })).toMatchObject({ status: 200, body: DIFF });
      expect((await call(harness, 'GET /v1/reconcile/diff')).body).toEqual(DIFF);
      expect(harness.given).toMatchObject([{ profile: { ...profile, broker: { queues: [] } } }, undefined]);
      expect(harness.given[0]?.plan).toBeUndefined();
    });

    it('refuses what publishing would refuse, with pointers into the call', async () => {
      const harness = await open();
      const refused = async (body: unknown) => {
        const reply = await call(harness, 'POST /v1/reconcile/diff', { body });
        expect(reply.body).toMatchObject({ code: 'invalid_body', status: 400 });
        return (reply.body.errors ?? []).map(({ pointer }: { pointer: string }) => pointer);
      };
      expect(await refused({ profile: { storage: { buckets: [{ name: 'captures' }], bukets: [] } } })).toEqual(['/profile/storage/bukets']);
      expect(await refused({ plan: { services: [{ name: 'api' }] } })).toContain('/plan/services/0/command');
      expect(await refused({ plans: {} })).toEqual(['/plans']);
      expect(await refused({ plan: 7 })).toEqual(['/plan']);
      expect(await refused({})).toEqual([]);
      expect(harness.given).toEqual([]);
    });

    it('is for operators, not for nodes, and not there where there is no node', async () => {
      const harness = await open();
      const body = { plan: { services: [] } };
      const as = await harness.keys.nodeCredential('a');
      expect((await call(harness, 'POST /v1/reconcile/diff', { body, as })).status).toBe(403);
      expect((await call(harness, 'POST /v1/reconcile/diff', { body, as: null })).status).toBe(401);
      const alone = await start();
      onTestFinished(() => alone.close());
      expect((await call(alone, 'POST /v1/reconcile/diff', { body })).body).toMatchObject({ code: 'not_found' });
    });

    it('places what has a count where this node leads, on the nodes that are there, and writes nothing', async () => {
      const ran: string[] = [];
      const observe = (database: Database): Database => ({
        now: database.now,
        batch: (statements) => {
          ran.push(...statements.map(({ sql }) => sql.trim()));
          return database.batch(statements);
        },
        close: () => database.close(),
      });
      // On D1 a harness with `wrap` does not begin empty.
      await (await start()).close();
      const harness = await open({ wrap: observe, self: selfOf('a', true) });
      await register(harness, 'a', { url: 'http://a.test:1' });
      await register(harness, 'b', { url: 'http://b.test:1' });
      await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://a.test:1' } });
      ran.length = 0;
      const body = { plan: { services: [service('one', 1), service('many', 5), service('all')] } };
      expect((await call(harness, 'POST /v1/reconcile/diff', { body })).status).toBe(200);
      expect(ran.length).toBeGreaterThan(0);
      expect(ran.filter((sql) => !sql.startsWith('select'))).toEqual([]);
      const placed = harness.given[0]?.placed;
      expect(placed?.one).toHaveLength(1);
      expect([...(placed?.many ?? [])].sort()).toEqual(['a', 'b']);
      await age(harness, 3_600_000);
      await call(harness, 'POST /v1/reconcile/diff', { body });
      expect(harness.given[1]).not.toHaveProperty('placed');
    });

    it('does not place where another node leads', async () => {
      const harness = await open({ self: selfOf('a', false) });
      await register(harness, 'a');
      await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://a.test:1' } });
      await call(harness, 'POST /v1/reconcile/diff', { body: { plan: { services: [service('one', 1)] } } });
      expect(harness.given).toHaveLength(1);
      expect(harness.given[0]).not.toHaveProperty('placed');
    });
  });
}
