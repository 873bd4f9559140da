import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { canonicalJson, sha256Hex } from '../../shared/contract/canonical.ts';
import { findForgery, fromWire, signDocument } from '../../shared/contract/document.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Database } from '../../shared/ports/database.ts';
import { publish, service } from './documents.cases.ts';
import { call, type Harness, register, type Start } from './harness.ts';

const planOf = (...names: string[]) => ({ services: names.map((name) => service(name)) });

/** What becomes of documents in the database: damaged, seeded, another fleet's, and what reading them costs. */
export function storedDocumentCases(start: Start): void {
  describe('stored documents', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
    });
    afterEach(() => harness.close());

    const read = () => call(harness, 'GET /v1/cluster/plan');
    const tamper = (sql: string) => harness.database.batch([{ sql, params: [] }]);

    describe('damaged rows are never served', () => {
      // A new process over the same database has verified nothing yet.
      const restart = async (): Promise<Harness> => {
        const { database } = harness;
        const later = await start({ wrap: () => database });
        onTestFinished(() => later.close());
        return later;
      };

      it.each([
        ['the body', `update documents set body = replace(body, 'api', 'evil')`, 'the hash differs'],
        ['body and hash', `update documents set body = '{"services":[]}', hash = '${'0'.repeat(64)}'`, 'not there'],
        ['the generation', `update documents set generation = 7`, 'not there'],
        ['the signature', `update documents set signature = 'AAAA'`, 'signature is wrong'],
        ['who published it', `update documents set published_by = 'someone else'`, 'signature is wrong'],
        ['the key', `update documents set key_id = 'AAAAAAAAAAAAAAAA'`, 'key of another fleet'],
        ['all of the body', `update documents set body = '{'`, 'not JSON'],
        ['a character of the body', `update documents set body = replace(body, 'api', '\\ud800')`, 'the hash differs'],
        ['the row', `delete from documents`, 'not there'],
      ])('%s', async (_, sql, detail) => {
        await publish(harness, 'plan', planOf('api'), 0);
        await tamper(sql);
        const later = await restart();
        const reply = await call(later, 'GET /v1/cluster/plan');
        expect(reply).toMatchObject({ status: 500, body: { code: 'storage_corrupt' } });
        expect(reply.body.detail).toContain(detail);
      });

      it('a document that another fleet signed', async () => {
        await publish(harness, 'plan', planOf('api'), 0);
        const meta = { generation: 1, published_by: 'x', published_at: '2026-01-01T00:00:00.000Z', epoch: 0 };
        const forged = await signDocument(harness.foreign.documents, { kind: 'plan', fleet: 'default', body: planOf('api'), meta });
        await tamper(`update documents set signature = '${forged.meta.signature}', key_id = '${forged.meta.key_id}'`);
        expect(await call(await restart(), 'GET /v1/cluster/plan')).toMatchObject({ status: 500, body: { code: 'storage_corrupt' } });
      });

      it('what was verified before is served on as it was', async () => {
        await publish(harness, 'plan', planOf('api'), 0);
        await read();
        await tamper(`update documents set body = '{"services":[]}'`);
        expect((await read()).body.services).toHaveLength(1);
      });

      it('an old version, too', async () => {
        await publish(harness, 'plan', planOf('api'), 0);
        await publish(harness, 'plan', planOf('api', 'web'), 1);
        await tamper(`update documents set body = '{"services":[]}' where generation = 1`);
        expect(await call(harness, 'GET /v1/cluster/plan/history/1')).toMatchObject({ status: 500, body: { code: 'storage_corrupt' } });
        expect(await call(harness, 'GET /v1/cluster/plan/history/2')).toMatchObject({ status: 200 });
      });

      it('publishing the same file again repairs it', async () => {
        await publish(harness, 'plan', planOf('api'), 0);
        await tamper(`update documents set body = '{'`);
        const later = await restart();
        expect(await publish(later, 'plan', planOf('api'), 1)).toMatchObject({ status: 200, body: { generation: 2, changed: true } });
        expect(await call(later, 'GET /v1/cluster/plan')).toMatchObject({ status: 200, body: { generation: 2 } });
      });

      it.each([
        ['its body is not JSON', `update documents set body = '{'`],
        ['its body has no hash', `update documents set body = replace(body, 'api', '\\ud800')`],
        ['it is gone', 'delete from documents'],
      ])('an empty one replaces it only when that is meant, since nobody knows what it names: %s', async (_, sql) => {
        await publish(harness, 'plan', planOf('api'), 0);
        await tamper(sql);
        const later = await restart();
        expect(await publish(later, 'plan', planOf(), 1)).toMatchObject({ status: 422, body: { code: 'would_empty' } });
        expect(await publish(later, 'plan', planOf(), 1, '?allow_empty=true')).toMatchObject({ status: 200, body: { generation: 2 } });
      });
    });

    it('one fleet never sees the documents of another', async () => {
      const other = await deriveFleetKeys('other', 'the fleet key of the other fleet');
      const fleets = { default_fleet: 'default', keysOf: async (fleet: string) => ({ default: harness.keys, other })[fleet] };
      const both = await start({ wrap: () => harness.database, fleets });
      onTestFinished(() => both.close());
      await both.supervisor.seed('other', 'plan', planOf('theirs'));
      await publish(both, 'plan', planOf('ours'), 0);
      await publish(both, 'plan', planOf('ours', 'too'), 1);
      const as = await other.nodeCredential('n');
      expect((await call(both, 'GET /v1/cluster/plan', { as })).body).toMatchObject({ generation: 0, services: [{ name: 'theirs' }] });
      expect((await call(both, 'GET /v1/cluster/plan/history', { as })).body.versions).toHaveLength(1);
      expect(await call(both, 'GET /v1/cluster/plan/history/2', { as })).toMatchObject({ status: 404 });
      expect((await call(both, 'GET /v1/cluster/plan')).body.services).toHaveLength(2);
      await expect(both.supervisor.seed('nobody', 'plan', planOf('x'))).rejects.toThrow('no fleet nobody');
    });

    it('a poll that finds nothing new reads one row; the document itself is read and verified once', async () => {
      const counted: string[] = [];
      const { database } = harness;
      const wrap = (): Database => ({
        ...database,
        now: database.now,
        close: async () => undefined,
        batch: (statements) => {
          counted.push(...statements.map(({ sql }) => sql));
          return database.batch(statements);
        },
      });
      const observed = await start({ wrap });
      onTestFinished(() => observed.close());
      const get = async (headers = {}) => {
        counted.length = 0;
        const { headers: answered } = await call(observed, 'GET /v1/cluster/plan', { headers });
        return { statements: counted.length, etag: answered.get('etag') ?? '' };
      };
      await publish(observed, 'plan', planOf('api'), 0);
      const { statements, etag } = await get();
      expect(statements).toBe(2);
      expect(await get()).toMatchObject({ statements: 1 });
      expect(await get({ 'if-none-match': etag })).toMatchObject({ statements: 1 });
      expect(counted[0]).toMatch(/^select \* from desired where fleet = \? and kind = \?$/);
    });

    describe('seeds', () => {
      const seed = (body: Record<string, unknown>) => harness.supervisor.seed('default', 'plan', body);
      const current = async () => fromWire('plan', 'default', (await read()).body);

      it('are generation 0 of a fleet that holds none', async () => {
        expect(await seed(planOf('api'))).toBe('seeded');
        const document = await current();
        expect(document).toMatchObject({ body: planOf('api'), meta: { generation: 0, published_by: 'seed' } });
        expect(await findForgery(harness.keys.documents, document)).toBeUndefined();
        const [events = []] = await harness.database.batch([{ sql: `select * from events where type = 'overlay.plan'`, params: [] }]);
        expect(events).toHaveLength(1);
      });

      it('are replaced by a changed file and left alone by the same one', async () => {
        await seed(planOf('api'));
        expect(await seed(planOf('api'))).toBe('unchanged');
        expect(await seed(planOf('web'))).toBe('seeded');
        expect((await current()).body).toEqual(planOf('web'));
        expect((await call(harness, 'GET /v1/cluster/plan/history')).body.versions).toHaveLength(1);
      });

      it.each(['GET /v1/cluster/plan', 'POST /v1/nodes/plan'])(
        'may be replaced while %s reads: the answer is the new one, not a damaged database',
        async (request) => {
          const { database, supervisor } = harness;
          await supervisor.seed('default', 'plan', planOf('api'));
          await register(harness, 'a');
          await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://192.0.2.1:7420' } });
          let isReplaced = false;
          const wrap = (): Database => ({
            ...database,
            now: database.now,
            close: async () => undefined,
            async batch(statements) {
              const readsVersion = statements.some(({ sql }) => /from documents where .*generation = \?/.test(sql));
              if (readsVersion && !isReplaced) {
                isReplaced = true;
                await supervisor.seed('default', 'plan', planOf('web'));
              }
              return database.batch(statements);
            },
          });
          const later = await start({ wrap });
          onTestFinished(() => later.close());
          const reply = await call(later, request, request.startsWith('POST') ? { body: { node_id: 'a' } } : {});
          expect(isReplaced).toBe(true);
          expect(reply).toMatchObject({ status: 200, body: { services: [{ name: 'web' }] } });
        },
      );

      it('lose to anything published', async () => {
        await seed(planOf('api'));
        expect(await publish(harness, 'plan', planOf('web'), 0)).toMatchObject({ status: 200, body: { generation: 1 } });
        expect(await seed(planOf('api'))).toBe('superseded');
        expect(await seed(planOf('other'))).toBe('superseded');
        expect((await current()).body).toEqual(planOf('web'));
        expect((await read()).body.parent).toBe(await sha256Hex(canonicalJson(planOf('api'))));
      });

      it('become a version of their own when someone publishes them as they are', async () => {
        await seed(planOf('api'));
        expect(await publish(harness, 'plan', planOf('api'), 0)).toMatchObject({ body: { generation: 1, changed: true, changes: [] } });
        expect(await seed(planOf('web'))).toBe('superseded');
      });

      it('can be rolled back to', async () => {
        await seed(planOf('api'));
        await publish(harness, 'plan', planOf('web'), 0);
        const { body } = fromWire('plan', 'default', (await call(harness, 'GET /v1/cluster/plan/history/0')).body);
        expect(await publish(harness, 'plan', body, 1)).toMatchObject({ body: { generation: 2 } });
        expect((await current()).body).toEqual(planOf('api'));
      });

      it('of several processes that start at once, all agree on one', async () => {
        await Promise.all([seed(planOf('api')), seed(planOf('api')), seed(planOf('api'))]);
        expect((await call(harness, 'GET /v1/cluster/plan/history')).body.versions).toHaveLength(1);
      });

      it('are refused when they are not valid', async () => {
        await expect(seed({ services: [], tll: 1 })).rejects.toMatchObject({
          problem: { code: 'invalid_body', errors: [{ pointer: '/tll' }] },
        });
        await expect(seed({})).rejects.toMatchObject({ problem: { code: 'invalid_body' } });
        expect((await read()).status).toBe(404);
      });
    });
  });
}
