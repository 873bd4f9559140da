import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canonicalJson, sha256Hex } from '../../shared/contract/canonical.ts';
import { type DocumentKind, findForgery, fromWire } from '../../shared/contract/document.ts';
import { call, type Harness, heartbeat, type Reply, register, type Start } from './harness.ts';

export const PATHS: Record<DocumentKind, string> = { plan: '/v1/cluster/plan', profile: '/v1/bootstrap/profile' };

export const service = (name: string, more: Record<string, unknown> = {}) => ({ name, version: '1.0.0', command: ['run', name], ...more });
const planOf = (...names: string[]) => ({ services: names.map((name) => service(name)) });
const profileOf = (...names: string[]) => ({ storage: { buckets: names.map((name) => ({ name })) } });

/** Publishes on `generation`; `query` as `?dry_run=true`. */
export function publish(harness: Harness, kind: DocumentKind, body: unknown, generation: number, query = ''): Promise<Reply> {
  return call(harness, `PUT ${PATHS[kind]}${query}`, { body, headers: { 'if-match': `"${generation}"` } });
}

export function documentCases(start: Start): void {
  describe('documents', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
    });
    afterEach(() => harness.close());

    const read = (kind: DocumentKind, headers: Record<string, string> = {}) => call(harness, `GET ${PATHS[kind]}`, { headers });
    const events = async (type: string) => {
      const [rows = []] = await harness.database.batch([{ sql: 'select * from events where type = ? order by seq', params: [type] }]);
      return rows.map((row) => JSON.parse(String(row.data)));
    };

    describe.each([
      ['plan', planOf('api'), planOf('api', 'web'), 'no_plan', '/services/1'],
      ['profile', profileOf('captures'), profileOf('captures', 'exports'), 'no_profile', '/storage/buckets/1'],
    ] as const)('%s', (kind, first, second, missing, pointer) => {
      it('is missing until one is published', async () => {
        expect(await read(kind)).toMatchObject({ status: 404, body: { code: missing } });
        expect(await call(harness, `GET ${PATHS[kind]}/history`)).toMatchObject({ status: 200, body: { versions: [] } });
        expect(await call(harness, `GET ${PATHS[kind]}/history/1`)).toMatchObject({ status: 404, body: { code: 'no_such_generation' } });
      });

      it('is published, and served as it was written with what publishing added', async () => {
        const published = await publish(harness, kind, first, 0);
        const hash = await sha256Hex(canonicalJson(first));
        expect(published).toMatchObject({ status: 200, body: { generation: 1, hash, changed: true, dry_run: false } });
        const served = await read(kind);
        expect(served.headers.get('etag')).toBe(`"1-${hash.slice(0, 16)}"`);
        expect(served.headers.get('etag')).toBe(published.headers.get('etag'));
        const document = fromWire(kind, 'default', served.body);
        expect(document.body).toEqual(first);
        expect(document.meta).toMatchObject({ generation: 1, hash, epoch: 0, published_by: 'fleet-key' });
        expect(document.meta.parent).toBeUndefined();
        expect(await findForgery(harness.keys.documents, document)).toBeUndefined();
        expect(await findForgery(harness.foreign.documents, document)).toBe('key');
      });

      it('the next version names the one before, and the answer what differs', async () => {
        const one = await publish(harness, kind, first, 0);
        const two = await publish(harness, kind, second, 1);
        expect(two.body).toMatchObject({ generation: 2, changed: true, changes: [{ pointer }] });
        expect((await read(kind)).body).toMatchObject({ generation: 2, parent: one.body.hash });
      });

      it('the same body again is no new version', async () => {
        await publish(harness, kind, first, 0);
        const reordered = JSON.stringify(first).replace('{', '{ ');
        const again = await publish(harness, kind, reordered, 1);
        expect(again.body).toMatchObject({ generation: 1, changed: false, changes: [] });
        expect((await call(harness, `GET ${PATHS[kind]}/history`)).body.versions).toHaveLength(1);
        expect(await events(`overlay.${kind}`)).toHaveLength(1);
      });

      it('If-Match is needed and must name the current generation', async () => {
        expect(await call(harness, `PUT ${PATHS[kind]}`, { body: first })).toMatchObject({
          status: 428,
          body: { code: 'precondition_required' },
        });
        expect(await publish(harness, kind, first, 3)).toMatchObject({ status: 412, body: { code: 'generation_moved', generation: 0 } });
        await publish(harness, kind, first, 0);
        expect(await publish(harness, kind, second, 0)).toMatchObject({ status: 412, body: { code: 'generation_moved', generation: 1 } });
        for (const header of ['*', '1', 'W/"1"', '"1", "2"', '"-1"', '"1-xyz"']) {
          const reply = await call(harness, `PUT ${PATHS[kind]}`, { body: second, headers: { 'if-match': header } });
          expect(reply, header).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
        }
        expect((await read(kind)).body.generation).toBe(1);
      });

      it('If-Match takes an ETag that was read', async () => {
        const etag = (await publish(harness, kind, first, 0)).headers.get('etag') ?? '';
        const other = `"1-${'0'.repeat(16)}"`;
        expect(await call(harness, `PUT ${PATHS[kind]}`, { body: second, headers: { 'if-match': other } })).toMatchObject({ status: 412 });
        expect(await call(harness, `PUT ${PATHS[kind]}`, { body: second, headers: { 'if-match': etag } })).toMatchObject({ status: 200 });
      });

      it('of many that publish on one generation at once, one wins', async () => {
        const replies = await Promise.all(
          Array.from({ length: 12 }, (_, index) =>
            publish(harness, kind, kind === 'plan' ? planOf(`s${index}`) : profileOf(`bucket-${index}`), 0),
          ),
        );
        const won = replies.filter(({ status }) => status === 200);
        expect(won).toHaveLength(1);
        for (const reply of replies) if (reply !== won[0]) expect(reply).toMatchObject({ status: 412, body: { generation: 1 } });
        expect((await read(kind)).body.hash).toBe(won[0]!.body.hash);
        expect((await call(harness, `GET ${PATHS[kind]}/history`)).body.versions).toHaveLength(1);
        expect(await events(`overlay.${kind}`)).toHaveLength(1);
      });

      it('a dry run says what would happen and writes nothing', async () => {
        const dry = await publish(harness, kind, first, 0, '?dry_run=true');
        expect(dry).toMatchObject({ status: 200, body: { generation: 1, changed: true, dry_run: true } });
        expect(dry.body.changes).toHaveLength(1);
        expect((await read(kind)).status).toBe(404);
        await publish(harness, kind, first, 0);
        expect(await publish(harness, kind, first, 1, '?dry_run=true')).toMatchObject({ body: { generation: 1, changed: false } });
        expect(await publish(harness, kind, second, 0, '?dry_run=true')).toMatchObject({ status: 412 });
        const unconditional = await call(harness, `PUT ${PATHS[kind]}?dry_run=true`, { body: second });
        expect(unconditional.body).toMatchObject({ generation: 2, changed: true, changes: [{ pointer }] });
        expect((await read(kind)).body.generation).toBe(1);
        expect(await events(`overlay.${kind}`)).toHaveLength(1);
      });

      it('is emptied only when that is meant', async () => {
        const empty = kind === 'plan' ? { services: [] } : {};
        await publish(harness, kind, first, 0);
        for (const query of ['', '?dry_run=true']) {
          expect(await publish(harness, kind, empty, 1, query)).toMatchObject({ status: 422, body: { code: 'would_empty' } });
        }
        expect((await read(kind)).body.generation).toBe(1);
        expect(await publish(harness, kind, empty, 1, '?allow_empty=true')).toMatchObject({ status: 200, body: { generation: 2 } });
        expect(await publish(harness, kind, first, 2)).toMatchObject({ status: 200 });
      });

      it('an empty first version empties nothing', async () => {
        expect(await publish(harness, kind, kind === 'plan' ? { services: [] } : {}, 0)).toMatchObject({ status: 200 });
      });

      it('is not sent again to who has it', async () => {
        await publish(harness, kind, first, 0);
        const etag = (await read(kind)).headers.get('etag') ?? '';
        for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
          const reply = await read(kind, { 'if-none-match': header });
          expect(reply, header).toMatchObject({ status: 304, body: '' });
          expect(reply.headers.get('etag')).toBe(etag);
        }
        await publish(harness, kind, second, 1);
        expect(await read(kind, { 'if-none-match': etag })).toMatchObject({ status: 200, body: { generation: 2 } });
      });

      it('history lists the versions, and an old one can be published again', async () => {
        await publish(harness, kind, first, 0);
        await publish(harness, kind, second, 1);
        const old = await call(harness, `GET ${PATHS[kind]}/history/1`);
        const { body } = fromWire(kind, 'default', old.body);
        expect(body).toEqual(first);
        expect(await publish(harness, kind, body, 2)).toMatchObject({ body: { generation: 3, changed: true } });
        const { versions } = (await call(harness, `GET ${PATHS[kind]}/history`)).body;
        expect(
          versions.map((one: { generation: number; current: boolean; conflict: boolean }) => [one.generation, one.current, one.conflict]),
        ).toEqual([
          [3, true, false],
          [2, false, false],
          [1, false, false],
        ]);
        expect(versions[0].hash).toBe(versions[2].hash);
        expect(versions[0].parent).toBe(versions[1].hash);
        expect(versions[0]).not.toHaveProperty('services');
      });

      it('tells the overlay and the event log, once the version is there', async () => {
        const { hash } = (await publish(harness, kind, first, 0)).body;
        const data = { generation: 1, hash, published_by: 'fleet-key', epoch: 0 };
        expect(await events(`overlay.${kind}`)).toEqual([data]);
        expect(harness.emitted).toEqual([
          { topic: `overlay.${kind}`, body: { fleet: 'default', site: 'default', ...data }, key: `${kind}/1/${hash}` },
        ]);
      });

      it('a heartbeat says which generation is current', async () => {
        await register(harness, 'a');
        await publish(harness, kind, first, 0);
        const reply = await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') });
        expect(reply.headers.get('bootplane-desired')).toBe(`${kind}=1`);
      });

      it('only an operator publishes; every credential of the fleet reads', async () => {
        const node = await harness.keys.nodeCredential('a');
        const headers = { 'if-match': '"0"' };
        expect(await call(harness, `PUT ${PATHS[kind]}`, { body: first, headers, as: node })).toMatchObject({ status: 403 });
        expect(await call(harness, `PUT ${PATHS[kind]}`, { body: first, headers, as: null })).toMatchObject({ status: 401 });
        await publish(harness, kind, first, 0);
        expect(await call(harness, `GET ${PATHS[kind]}`, { as: node })).toMatchObject({ status: 200 });
        expect(await call(harness, `GET ${PATHS[kind]}/history`, { as: node })).toMatchObject({ status: 200 });
        expect(await call(harness, `GET ${PATHS[kind]}`, { as: null })).toMatchObject({ status: 401 });
      });
    });

    describe('what is refused', () => {
      const refused = async (kind: DocumentKind, body: unknown, ...pointers: string[]) => {
        const reply = await publish(harness, kind, body, 0);
        expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
        expect(reply.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(pointers);
        expect((await read(kind)).status).toBe(404);
      };

      it('a text that is not Unicode, which has no hash (RFC 8785), with a pointer to each', async () => {
        const env = { OK: '\u{1f600}', BAD: 'half \ud83d' };
        await refused(
          'plan',
          { services: [service('a'), service('b', { env, version: '\udc00' })] },
          '/services/1/version',
          '/services/1/env/BAD',
        );
        await refused('profile', { storage: { buckets: [{ name: 'logs', tags: { '\ud800': 'x' } }] } }, '/storage/buckets/0/tags/\ud800');
      });

      it('a document with wrong fields, with a pointer to each', async () => {
        await refused('plan', {}, '/services');
        await refused(
          'plan',
          { services: [service('ok'), { name: '', command: [] }] },
          '/services/1/name',
          '/services/1/version',
          '/services/1/command',
        );
        await refused('profile', { storage: { buckets: [{ name: 'Upper' }] } }, '/storage/buckets/0/name');
        await refused('plan', planOf('twice', 'twice'), '/services/1/name');
      });

      it.each([
        ['a program without a name', { command: ['', 'x'] }, '/services/0/command/0'],
        ['a check by a program without a name', { health: { command: [''] } }, '/services/0/health/command/0'],
        ['a port that does not exist', { health: { tcp: '127.0.0.1:65536' } }, '/services/0/health/tcp'],
        ['port 0', { health: { tcp: '[::1]:0' } }, '/services/0/health/tcp'],
        ['checks without a pause', { health: { tcp: 'a:1', interval_seconds: 1e-9 } }, '/services/0/health/interval_seconds'],
        [
          'checks more often than ten times a second',
          { health: { tcp: 'a:1', interval_seconds: 0.09 } },
          '/services/0/health/interval_seconds',
        ],
        ['checks without time to answer', { health: { tcp: 'a:1', timeout_seconds: 1e-9 } }, '/services/0/health/timeout_seconds'],
      ])('a service that could never run well: %s', async (_, more, pointer) => {
        await refused('plan', { services: [service('a', more)] }, pointer);
      });

      it('the tag that records who made a bucket, and more tags than fit beside it', async () => {
        const tagged = (tags: Record<string, string>) => ({ storage: { buckets: [{ name: 'logs', tags }] } });
        const tags = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`tag-${index}`, 'x']));
        await refused('profile', tagged({ 'bootplane-made-by': 'me' }), '/storage/buckets/0/tags/bootplane-made-by');
        await refused('profile', tagged(tags(50)), '/storage/buckets/0/tags');
      });

      it('a key that nobody knows, with its pointer', async () => {
        await refused(
          'plan',
          { services: [service('a', { imaeg: 'x', placement: { cuont: 1 } })], tll: 1 },
          '/services/0/imaeg',
          '/services/0/placement/cuont',
          '/tll',
        );
        await refused('profile', { storage: { bukcets: [] } }, '/storage/bukcets');
      });

      it('a document that was read and is sent back with what publishing added', async () => {
        await publish(harness, 'plan', planOf('a'), 0);
        const { body } = await read('plan');
        const reply = await publish(harness, 'plan', body, 1);
        expect(reply.status).toBe(400);
        expect(reply.body.errors).toContainEqual({ pointer: '/generation', detail: 'is not a known key' });
      });

      it('what is no document at all', async () => {
        for (const body of ['[]', 'null', '3', '"text"']) expect(await publish(harness, 'plan', body, 0)).toMatchObject({ status: 400 });
        expect(await publish(harness, 'plan', '{"services": [', 0)).toMatchObject({ status: 400, body: { code: 'malformed_json' } });
        const headers = { 'if-match': '"0"', 'content-type': 'application/yaml' };
        expect(await call(harness, 'PUT /v1/cluster/plan', { body: 'services: []', headers })).toMatchObject({ status: 415 });
      });

      it('more than 1 MiB; a little less goes through', async () => {
        const env = (bytes: number) =>
          Object.fromEntries(Array.from({ length: Math.floor(bytes / 4096) }, (_, index) => [`V${index}`, 'x'.repeat(4080)]));
        expect(await publish(harness, 'plan', { services: [service('big', { env: env(1_060_000) })] }, 0)).toMatchObject({ status: 413 });
        const big = { services: [service('big', { env: env(1_020_000) })] };
        expect(await publish(harness, 'plan', big, 0)).toMatchObject({ status: 200 });
        expect(fromWire('plan', 'default', (await read('plan')).body).body).toEqual(big);
      });

      it('a parameter that nobody knows: a misspelt dry_run must not publish', async () => {
        const reply = await publish(harness, 'plan', planOf('a'), 0, '?dryrun=true');
        expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_parameter', errors: [{ pointer: '/dryrun' }] } });
        expect((await read('plan')).status).toBe(404);
      });

      it('parameters that are not known values', async () => {
        expect(await publish(harness, 'plan', planOf('a'), 0, '?dry_run=yes')).toMatchObject({
          status: 400,
          body: { code: 'invalid_parameter' },
        });
        expect(await call(harness, 'GET /v1/cluster/plan/history/one')).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
        expect(await call(harness, 'GET /v1/cluster/plan/history/-1')).toMatchObject({ status: 400 });
      });
    });

    it('keeps every detail of what was written: numbers, unicode, order', async () => {
      const body = { services: [service('a', { env: { Z: 'é \u2028 😀', A: '"\\' } })], ttl_seconds: 7 };
      await publish(harness, 'plan', body, 0);
      const document = fromWire('plan', 'default', (await read('plan')).body);
      expect(JSON.stringify(document.body)).toBe(JSON.stringify(body));
    });
  });
}
