import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DocumentKind, findForgery, fromWire, type SignedDocument, signDocument, toWire } from '../../shared/contract/document.ts';
import type { Self } from '../../shared/supervisor/context.ts';
import { PATHS, publish, service } from './documents.cases.ts';
import { call, type Harness, register, type Start } from './harness.ts';

const KINDS: readonly DocumentKind[] = ['plan', 'profile'];
const SITE = 'shop';
const CLOUD = 'https://cloud.example';
const bodyOf = (kind: DocumentKind, ...names: string[]): Record<string, unknown> =>
  kind === 'plan' ? { services: names.map((name) => service(name)) } : { storage: { buckets: names.map((name) => ({ name })) } };

/** The leader of a site with a cloud. */
const leader = (more: Partial<Self> = {}): Self => ({
  ...{ node_id: 'a', instance_id: 'boot-a', site: SITE, documents_url: CLOUD, origins: () => [], hear: () => undefined },
  ...{ provisional: () => true, confirmed: () => false, leadership: () => ({ leads: true, epoch_seen: 0, eligible: true }) },
  ...more,
});

export function emergencyCases(start: Start): void {
  describe.each(KINDS)('emergency versions of the %s', (kind) => {
    let harness: Harness;
    afterEach(() => harness.close());

    const made = (names: string[], { generation, parent }: { generation: number; parent?: string | undefined }, more: object = {}) =>
      signDocument(harness.keys.documents, {
        ...{ kind, fleet: 'default', body: bodyOf(kind, ...names) },
        meta: {
          ...{ generation, epoch: 1, published_by: 'ann', published_at: '2026-01-01T00:00:00.000Z' },
          ...(parent === undefined ? {} : { parent }),
          ...more,
        },
      });
    const nameOf = ({ meta: { generation, hash } }: SignedDocument) => ({ generation, hash });
    /** Versions as the cloud publishes them. */
    const fromCloud = async (...versions: SignedDocument[]) => {
      const current = versions.at(-1);
      const body = { versions: versions.map(toWire), ...(current === undefined ? {} : { current: nameOf(current) }) };
      return call(harness, `POST ${PATHS[kind]}/versions?site=${SITE}`, { body });
    };
    const offer = (wires: unknown[], site = SITE) =>
      call(harness, `POST ${PATHS[kind]}/versions?site=${site}`, { body: { emergencies: wires } });
    const breakGlass = (names: string[], if_match: number | string, query = '') =>
      call(harness, `PUT ${PATHS[kind]}?break_glass=true${query}`, {
        body: bodyOf(kind, ...names),
        headers: { 'if-match': typeof if_match === 'number' ? `"${if_match}"` : if_match },
      });
    const read = (query = '') => call(harness, `GET ${PATHS[kind]}${query}`);
    const history = async (query = '') => (await call(harness, `GET ${PATHS[kind]}/history${query}`)).body;
    const events = () => harness.emitted.filter(({ topic }) => topic === `overlay.${kind}`).map(({ body }) => body);

    describe('at the leader of a site with a cloud', () => {
      let base: SignedDocument;
      beforeEach(async () => {
        harness = await start({ self: leader() });
        base = await made(['base'], { generation: 5 });
        await fromCloud(base);
      });

      it('nothing is published for the fleet: the cloud does that', async () => {
        const reply = await publish(harness, kind, bodyOf(kind, 'here'), 5);
        expect(reply).toMatchObject({ status: 421, body: { code: 'misdirected', detail: expect.stringContaining(CLOUD) } });
        expect(reply.headers.get('location')).toBe(CLOUD);
        expect((await publish(harness, kind, bodyOf(kind, 'here'), 5, '?dry_run=true')).status).toBe(421);
        expect((await read()).body).toEqual(toWire(base));
      });

      it('one is numbered on its base, signed with what makes it one, and followed instead of it', async () => {
        const emergency = { site: SITE, base_generation: 5, n: 1 };
        const reply = await breakGlass(['here'], 5);
        expect(reply).toMatchObject({ status: 200, body: { generation: 5, changed: true, dry_run: false, emergency } });
        const served = await read();
        expect(served.headers.get('etag')).toBe(`"5-${reply.body.hash.slice(0, 16)}-e1"`);
        const document = fromWire(kind, 'default', served.body);
        expect(document.body).toEqual(bodyOf(kind, 'here'));
        expect(document.meta).toMatchObject({ generation: 5, parent: base.meta.hash, published_by: 'fleet-key', emergency });
        expect(await findForgery(harness.keys.documents, document)).toBeUndefined();
        const forged = { ...document, meta: { ...document.meta, emergency: { ...emergency, site: 'other' } } };
        expect(await findForgery(harness.keys.documents, forged)).toBe('signature');
        expect(events().at(-1)).toMatchObject({ generation: 5, site: SITE, emergency });
        expect(await history()).toMatchObject({
          versions: [{ generation: 5, hash: base.meta.hash, current: true, conflict: false }],
          emergencies: [{ generation: 5, hash: reply.body.hash, emergency, holds: true }],
        });
        expect((await call(harness, `GET /v1/state?site=${SITE}`)).body).toMatchObject({
          desired: { [kind]: 5 },
          conflicts: { plan: 0, profile: 0 },
          emergencies: [{ kind, ...emergency, hash: reply.body.hash, published_by: 'fleet-key' }],
        });
      });

      it('one after the other: the number grows, and each says what differs from the one before', async () => {
        const first = await breakGlass(['here'], 5);
        const second = await breakGlass(['here', 'too'], (await read()).headers.get('etag') ?? '');
        expect(second.body).toMatchObject({ generation: 5, changed: true, emergency: { n: 2 } });
        expect(second.body.changes).toHaveLength(1);
        expect((await read()).body).toMatchObject({ parent: base.meta.hash, emergency: { n: 2 } });
        expect((await history()).emergencies).toMatchObject([{ holds: true }, { hash: first.body.hash, holds: false }]);
        const version = (n: number) => call(harness, `GET ${PATHS[kind]}/history/5?emergency=${n}`);
        expect((await version(1)).body).toMatchObject({ hash: first.body.hash, emergency: { n: 1 } });
        expect(await version(3)).toMatchObject({ status: 404, body: { code: 'no_such_generation' } });
        expect((await call(harness, `GET ${PATHS[kind]}/history/5`)).body.hash).toBe(base.meta.hash);
      });

      it('that of two who publish at once only one gets through, by the ETag that both have read', async () => {
        const etag = (await read()).headers.get('etag') ?? '';
        expect((await breakGlass(['one'], etag)).status).toBe(200);
        // The same once more, since its answer was lost: it is done.
        expect(await breakGlass(['one'], etag)).toMatchObject({ status: 200, body: { changed: false, emergency: { n: 1 } } });
        expect(await breakGlass(['other'], etag)).toMatchObject({ status: 412, body: { code: 'generation_moved', generation: 5 } });
        expect(await breakGlass(['other'], 4)).toMatchObject({ status: 412, body: { code: 'generation_moved', generation: 5 } });
        const both = await Promise.all([breakGlass(['x'], 5), breakGlass(['y'], 5)]);
        const numbers = both.filter(({ status }) => status === 200).map(({ body }) => body.emergency.n);
        expect(new Set(numbers).size).toBe(numbers.length);
        expect((await history()).emergencies.map((one: { emergency: { n: number } }) => one.emergency.n)).toEqual([
          ...numbers.map((n) => n).sort((a, b) => b - a),
          1,
        ]);
      });

      it('that says the same as what is followed is none; a dry run writes nothing; nor does an invalid or an empty one', async () => {
        expect((await breakGlass(['base'], 5)).body).toMatchObject({ generation: 5, changed: false, changes: [] });
        expect((await breakGlass(['here'], 5, '&dry_run=true')).body).toMatchObject({ changed: true, dry_run: true, emergency: { n: 1 } });
        expect(await breakGlass([], 5)).toMatchObject({ status: 422, body: { code: 'would_empty' } });
        const invalid = await call(harness, `PUT ${PATHS[kind]}?break_glass=true`, {
          body: { nonsense: 1 },
          headers: { 'if-match': '"5"' },
        });
        expect(invalid).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
        expect((await history()).emergencies).toBeUndefined();
        expect((await breakGlass(['here'], 5)).body.emergency.n).toBe(1);
        expect((await breakGlass(['here'], 5)).body).toMatchObject({ changed: false, emergency: { n: 1 } });
        expect((await breakGlass(['base'], 5)).body).toMatchObject({ changed: true, emergency: { n: 2 } });
      });

      it('ends when the cloud publishes a newer generation, and the next one counts anew', async () => {
        await breakGlass(['here'], 5);
        const next = await made(['next'], { generation: 6, parent: base.meta.hash });
        expect((await fromCloud(next)).body).toMatchObject({ outcome: 'adopted', open_conflicts: 0 });
        expect((await read()).body).toEqual(toWire(next));
        expect((await history()).emergencies).toMatchObject([{ generation: 5, emergency: { n: 1 }, holds: false }]);
        expect((await call(harness, `GET /v1/state?site=${SITE}`)).body.emergencies).toBeUndefined();
        expect((await breakGlass(['again'], 6)).body.emergency).toEqual({ site: SITE, base_generation: 6, n: 1 });
      });

      it('on nothing: a site acts before anything was published for the fleet', async () => {
        await harness.close();
        harness = await start({ self: leader() });
        expect((await breakGlass(['here'], 0)).body).toMatchObject({ generation: 0, emergency: { base_generation: 0, n: 1 } });
        expect((await read()).body).toMatchObject({ emergency: { n: 1 } });
        await harness.supervisor.seed('default', kind, bodyOf(kind, 'seed'));
        expect((await read()).body).toMatchObject({ emergency: { n: 1 } });
        await fromCloud(await made(['first'], { generation: 1 }));
        expect((await read()).body).toMatchObject({ generation: 1 });
      });

      it('needs a caller who may publish', async () => {
        const as = await harness.keys.nodeCredential('a');
        const body = bodyOf(kind, 'here');
        const reply = await call(harness, `PUT ${PATHS[kind]}?break_glass=true`, { as, body, headers: { 'if-match': '"5"' } });
        expect(reply).toMatchObject({ status: 403, body: { code: 'forbidden' } });
      });

      it('holds for the site of the node, and for no other', async () => {
        const reply = await breakGlass(['here'], 5, '&site=other');
        expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_parameter', detail: expect.stringContaining(SITE) } });
        await breakGlass(['here'], 5);
        expect((await read('?site=other')).body).toEqual(toWire(base));
        expect((await history('?site=other')).emergencies).toBeUndefined();
      });
    });

    describe('elsewhere', () => {
      it('the cloud publishes none: it decides', async () => {
        harness = await start();
        expect(await breakGlass(['here'], 0)).toMatchObject({
          status: 400,
          body: { code: 'invalid_parameter', detail: expect.stringContaining('publish without it') },
        });
      });

      it('a site without a cloud publishes none: its leader decides', async () => {
        const { documents_url: _none, ...self } = leader();
        harness = await start({ self });
        expect(await breakGlass(['here'], 0)).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
        expect((await publish(harness, kind, bodyOf(kind, 'here'), 0)).status).toBe(200);
      });

      it('a node that does not lead publishes none', async () => {
        harness = await start({ self: leader({ leadership: () => ({ leads: false, epoch_seen: 0, eligible: true }) }) });
        expect(await breakGlass(['here'], 0)).toMatchObject({ status: 421, body: { code: 'misdirected' } });
      });
    });

    describe('from another Supervisor', () => {
      let base: SignedDocument;
      const emergency = (n: number, site = SITE) => ({ emergency: { site, base_generation: 5, n } });
      const onBase = () => ({ generation: 5, parent: base.meta.hash });
      beforeEach(async () => {
        harness = await start({ self: leader() });
        base = await made(['base'], { generation: 5 });
        await fromCloud(base);
      });

      it('are kept, told of once, and followed; the same again changes nothing', async () => {
        const one = await made(['here'], onBase(), emergency(1));
        expect((await offer([toWire(one)])).body).toMatchObject({ outcome: 'kept', current: nameOf(base), new_emergencies: 1 });
        expect((await offer([toWire(one)])).body).toMatchObject({ new_emergencies: 0 });
        expect((await read()).body).toEqual(toWire(one));
        expect(events().filter((event) => 'emergency' in event)).toHaveLength(1);
        expect((await history()).versions).toHaveLength(1);
      });

      it('in whatever order they come, the highest number is followed; of two with one number the greater hash', async () => {
        const [one, two, three] = await Promise.all([
          made(['one'], onBase(), emergency(1)),
          made(['two'], onBase(), emergency(2)),
          made(['three'], onBase(), emergency(2)),
        ]);
        await offer([two, one, three].map(toWire));
        const [stands] = [two, three].sort((a, b) => (a.meta.hash < b.meta.hash ? 1 : -1));
        expect((await read()).body).toEqual(toWire(stands as SignedDocument));
        expect((await history()).emergencies.map((each: { holds: boolean }) => each.holds)).toEqual([true, false, false]);
      });

      it('of a base that is not known here, as after the database was lost, are followed; of one that is over they are not', async () => {
        await offer([
          toWire(await made(['ahead'], { generation: 7, parent: 'a'.repeat(64) }, { emergency: { site: SITE, base_generation: 7, n: 1 } })),
        ]);
        expect((await read()).body).toMatchObject({ generation: 7, emergency: { n: 1 } });
        const seven = await made(['seven'], { generation: 7, parent: base.meta.hash });
        await fromCloud(seven);
        expect((await read()).body).toEqual(toWire(seven));
        const late = await made(['late'], onBase(), emergency(3));
        expect((await offer([toWire(late)])).body.new_emergencies).toBe(1);
        expect((await read()).body).toEqual(toWire(seven));
      });

      it('the cloud keeps those of every site, and gives each site its own', async () => {
        await harness.close();
        harness = await start();
        await fromCloud(base);
        const [shop, lab] = [await made(['shop'], onBase(), emergency(1)), await made(['lab'], onBase(), emergency(1, 'lab'))];
        expect((await offer([toWire(shop)])).body.new_emergencies).toBe(1);
        expect((await offer([toWire(lab)], 'lab')).body.new_emergencies).toBe(1);
        expect((await read()).body).toEqual(toWire(base));
        expect((await read('?site=lab')).body).toEqual(toWire(lab));
        expect((await history()).emergencies).toMatchObject([
          { emergency: { site: 'lab' }, holds: true },
          { emergency: { site: SITE }, holds: true },
        ]);
        expect((await history('?site=lab')).emergencies).toHaveLength(1);
        expect((await call(harness, 'GET /v1/state?site=lab')).body.emergencies).toMatchObject([{ kind, site: 'lab', n: 1 }]);
        expect((await call(harness, 'GET /v1/state')).body.emergencies).toBeUndefined();
        // Publishing for the fleet is on its own version, and ends them all.
        expect((await publish(harness, kind, bodyOf(kind, 'next'), 5)).body).toMatchObject({ generation: 6, changed: true });
        for (const site of [SITE, 'lab']) expect((await read(`?site=${site}`)).body).toMatchObject({ generation: 6 });
      });

      it('the cloud ends with the same text once more: that says that it is the one that is meant', async () => {
        await harness.close();
        harness = await start();
        await fromCloud(base);
        expect((await publish(harness, kind, base.body, 5)).body).toMatchObject({ generation: 5, changed: false });
        await offer([toWire(await made(['shop'], onBase(), emergency(1)))]);
        expect((await publish(harness, kind, base.body, 5, '?dry_run=true')).body).toMatchObject({
          generation: 6,
          changed: true,
          changes: [],
        });
        expect((await publish(harness, kind, base.body, 5)).body).toMatchObject({ generation: 6, changed: true });
        expect((await read(`?site=${SITE}`)).body).toMatchObject({ generation: 6, parent: base.meta.hash });
        expect((await publish(harness, kind, base.body, 6)).body).toMatchObject({ generation: 6, changed: false });
      });

      describe('that can not be believed are refused with a pointer, and none of the offer is kept', () => {
        const spoil: Record<string, () => Promise<Record<string, unknown>>> = {
          'not signed': async () => ({ ...bodyOf(kind, 'x'), ...emergency(2) }),
          'signed with the key of another fleet': async () => {
            const { meta, body } = await made(['x'], onBase(), emergency(2));
            return toWire(await signDocument(harness.foreign.documents, { kind, fleet: 'default', body, meta }));
          },
          'with another number': async () => ({ ...toWire(await made(['x'], onBase(), emergency(2))), ...emergency(3) }),
          'of another site that was made this one': async () => ({
            ...toWire(await made(['x'], onBase(), emergency(2, 'lab'))),
            ...emergency(2),
          }),
          'of another site': async () => toWire(await made(['x'], onBase(), emergency(2, 'lab'))),
          'on another generation than it says': async () => toWire(await made(['x'], { generation: 6 }, emergency(2))),
          'that is none': async () => toWire(await made(['x'], { generation: 6, parent: base.meta.hash })),
        };
        it.each(Object.entries(spoil))('%s', async (_name, spoilt) => {
          const good = toWire(await made(['good'], onBase(), emergency(1)));
          const reply = await offer([good, await spoilt()]);
          expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
          expect(reply.body.errors[0].pointer).toMatch(/^\/emergencies\/1/);
          expect((await history()).emergencies).toBeUndefined();
        });

        it('one among the versions of the sequence', async () => {
          const odd = await made(['x'], onBase(), emergency(1));
          const reply = await call(harness, `POST ${PATHS[kind]}/versions`, { body: { versions: [toWire(odd)], current: nameOf(odd) } });
          expect(reply).toMatchObject({ status: 400, body: { errors: [{ pointer: '/versions/0' }] } });
          expect((await read()).body).toEqual(toWire(base));
        });
      });

      it('one that was spoilt in the database is not served, and publishing repairs it', async () => {
        await breakGlass(['here'], 5);
        await harness.database.batch([{ sql: `update emergencies set body = '{}'`, params: [] }]);
        expect(await read()).toMatchObject({
          status: 500,
          body: { code: 'storage_corrupt', detail: expect.stringContaining('--break-glass') },
        });
        expect((await breakGlass(['here'], 5)).body).toMatchObject({ changed: true, emergency: { n: 2 } });
        expect((await read()).status).toBe(200);
      });

      it('the history of a site has a tag that two Supervisors with the same versions share', async () => {
        const tag = async () => (await call(harness, `GET ${PATHS[kind]}/history?site=${SITE}`)).headers.get('etag');
        const before = await tag();
        await breakGlass(['here'], 5);
        const [after, { body: emergency }] = [await tag(), await read()];
        expect(after).not.toBe(before);
        await harness.close();
        harness = await start();
        await fromCloud(base);
        expect(await tag()).toBe(before);
        await offer([emergency]);
        expect(await tag()).toBe(after);
      });
    });
  });

  describe('the nodes of a site', () => {
    it('are given the services of its emergency plan, with its number; the TTL stays that of the cloud', async () => {
      const harness = await start({ self: leader() });
      try {
        await call(harness, `PUT /v1/cluster/plan?break_glass=true`, {
          body: { ttl_seconds: 900, services: [service('here')] },
          headers: { 'if-match': '"0"' },
        });
        await register(harness, 'a', { site: SITE });
        await call(harness, `POST /v1/leader/claim?site=${SITE}`, { body: { node_id: 'a', url: 'http://a.test:1' } });
        const reply = await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'a' } });
        expect(reply.body).toMatchObject({ services: [{ name: 'here' }], generation: 0, emergency: 1, ttl_seconds: 15 });
        await register(harness, 'b', { site: 'other' });
        await call(harness, `POST /v1/leader/claim?site=other`, { body: { node_id: 'b', url: 'http://b.test:1' } });
        const elsewhere = await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'b' } });
        expect(elsewhere.body).toMatchObject({ services: [] });
        expect(elsewhere.body.emergency).toBeUndefined();
      } finally {
        await harness.close();
      }
    });

    it('tell what they have heard elsewhere, which is a hint for the node of the Supervisor', async () => {
      const told: unknown[] = [];
      const harness = await start({ self: leader({ onDesired: (desired) => void told.push(desired) }) });
      try {
        await register(harness, 'a', { site: SITE });
        await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'a' }, headers: { 'bootplane-desired': 'plan=7' } });
        await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'a' } });
        expect(told).toEqual([{ plan: 7 }]);
      } finally {
        await harness.close();
      }
    });
  });
}
