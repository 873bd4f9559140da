import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DocumentKind, fromWire, type SignedDocument, signDocument, toWire } from '../../shared/contract/document.ts';
import { PATHS, publish, service } from './documents.cases.ts';
import { call, type Harness, type Start } from './harness.ts';

const KINDS: readonly DocumentKind[] = ['plan', 'profile'];
const bodyOf = (kind: DocumentKind, ...names: string[]): Record<string, unknown> =>
  kind === 'plan' ? { services: names.map((name) => service(name)) } : { storage: { buckets: names.map((name) => ({ name })) } };

interface Draft {
  readonly generation: number;
  readonly parent?: SignedDocument | undefined;
  readonly published_by?: string;
}

export function versionCases(start: Start): void {
  describe.each(KINDS)('versions of the %s from another Supervisor', (kind) => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
    });
    afterEach(() => harness.close());

    const made = (names: string[], { generation, parent, published_by = 'ann' }: Draft, keys = harness.keys) =>
      signDocument(keys.documents, {
        kind,
        fleet: 'default',
        body: bodyOf(kind, ...names),
        meta: {
          generation,
          epoch: 1,
          published_by,
          published_at: '2026-01-01T00:00:00.000Z',
          ...(parent === undefined ? {} : { parent: parent.meta.hash }),
        },
      });
    const nameOf = ({ meta: { generation, hash } }: SignedDocument) => ({ generation, hash });
    /** The last one is what is current on the other side. */
    const offer = (versions: readonly SignedDocument[], more: Record<string, unknown> = {}, at = harness, query = '') => {
      const current = versions.at(-1);
      const body = { versions: versions.map(toWire), ...(current === undefined ? {} : { current: nameOf(current) }), ...more };
      return call(at, `POST ${PATHS[kind]}/versions${query}`, { body });
    };
    const current = async (at = harness) => fromWire(kind, 'default', (await call(at, `GET ${PATHS[kind]}`)).body);
    // biome-ignore lint/suspicious/noExplicitAny: as it came over the wire
    const history = async (at = harness): Promise<any[]> => (await call(at, `GET ${PATHS[kind]}/history`)).body.versions;
    const conflicts = async () => (await history()).filter((one) => one.conflict).map(({ generation, hash }) => ({ generation, hash }));
    const events = (type: string) => harness.emitted.filter(({ topic }) => topic === type);

    /** Published here up to generation 2, where the other side published another 2 and a 3. */
    async function diverge() {
      const base = await made(['base'], { generation: 1 });
      await offer([base]);
      await publish(harness, kind, bodyOf(kind, 'ours'), 1);
      const ours = await current();
      const second = await made(['theirs'], { generation: 2, parent: base });
      const third = await made(['theirs', 'more'], { generation: 3, parent: second });
      return { base, ours, second, third };
    }

    it('are taken where nothing is published, with all that they were published on', async () => {
      const first = await made(['api'], { generation: 1 });
      const second = await made(['api', 'web'], { generation: 2, parent: first });
      expect(await offer([first, second])).toMatchObject({
        status: 200,
        body: { outcome: 'adopted', current: nameOf(second), open_conflicts: 0 },
      });
      expect(await current()).toEqual(second);
      expect(await history()).toMatchObject([
        { generation: 2, current: true, conflict: false, resolved: false },
        { generation: 1, current: false, conflict: false, resolved: false },
      ]);
      expect(events(`overlay.${kind}`)).toMatchObject([{ body: { generation: 2, published_by: 'ann' }, key: expect.any(String) }]);
    });

    it('that descend from the current one replace it; the same offer again changes nothing', async () => {
      const first = await made(['api'], { generation: 1 });
      const second = await made(['web'], { generation: 2, parent: first });
      await offer([first]);
      expect((await offer([second])).body).toMatchObject({ outcome: 'adopted', current: nameOf(second) });
      const before = await history();
      for (const versions of [[second], [first], [first, second]]) {
        expect((await offer(versions)).body).toMatchObject({ outcome: 'kept', current: nameOf(second), open_conflicts: 0 });
      }
      expect(await history()).toEqual(before);
      expect(events(`overlay.${kind}`)).toHaveLength(2);
    });

    it('that are older than the current one change nothing', async () => {
      const first = await made(['api'], { generation: 1 });
      await offer([first, await made(['web'], { generation: 2, parent: first })]);
      expect((await offer([first])).body).toMatchObject({ outcome: 'kept', current: { generation: 2 }, open_conflicts: 0 });
    });

    it('that diverged: what is published here is published again above them, and theirs is kept as a conflict', async () => {
      const { ours, second, third } = await diverge();
      const reply = await offer([second, third]);
      expect(reply.body).toMatchObject({ outcome: 'republished', current: { generation: 4, hash: ours.meta.hash }, open_conflicts: 1 });
      const now = await current();
      expect(now.body).toEqual(ours.body);
      expect(now.meta).toMatchObject({ generation: 4, published_by: 'merge', parent: ours.meta.hash });
      expect(await conflicts()).toEqual([nameOf(third)]);
      expect(events('overlay.conflict')).toMatchObject([{ body: { kind, ...nameOf(third), published_by: 'ann' } }]);
      const theirs = await call(harness, `GET ${PATHS[kind]}/history/3`);
      expect(fromWire(kind, 'default', theirs.body)).toEqual(third);
      expect((await offer([second, third])).body).toMatchObject({ outcome: 'conflict', current: { generation: 4 }, open_conflicts: 1 });
      expect(await current()).toEqual(now);
      expect(events('overlay.conflict')).toHaveLength(1);
    });

    it('of one generation are told apart: the one in the line of the current version is served, the other by its hash', async () => {
      const { ours, second, third } = await diverge();
      await offer([second, third]);
      expect((await call(harness, `GET ${PATHS[kind]}/history/2`)).body.hash).toBe(ours.meta.hash);
      const other = await call(harness, `GET ${PATHS[kind]}/history/2?hash=${second.meta.hash}`);
      expect(fromWire(kind, 'default', other.body)).toEqual(second);
      const none = await call(harness, `GET ${PATHS[kind]}/history/2?hash=${third.meta.hash}`);
      expect(none).toMatchObject({ status: 404, body: { code: 'no_such_generation' } });
    });

    it('that diverged below the current one are kept as a conflict, and nothing is published again', async () => {
      const { base, ours } = await diverge();
      const lower = await made(['elsewhere'], { generation: 2, parent: base });
      await publish(harness, kind, bodyOf(kind, 'ours', 'next'), 2);
      expect((await offer([lower])).body).toMatchObject({ outcome: 'conflict', current: { generation: 3 }, open_conflicts: 1 });
      expect(await conflicts()).toEqual([nameOf(lower)]);
      expect((await call(harness, `GET ${PATHS[kind]}/history/2`)).body.hash).toBe(ours.meta.hash);
    });

    it('that say the same as the current one are no conflict', async () => {
      const { base, ours } = await diverge();
      const other = await made(['in between'], { generation: 2, parent: base });
      const same = await made(['ours'], { generation: 3, parent: other });
      expect((await offer([other, same])).body).toMatchObject({ outcome: 'adopted', current: nameOf(same), open_conflicts: 0 });
      expect((await current()).body).toEqual(ours.body);
      expect(await conflicts()).toEqual([]);
    });

    it('a conflict is open until somebody publishes, be it the same again', async () => {
      const { second, third } = await diverge();
      await offer([second, third]);
      const state = async () => (await call(harness, 'GET /v1/state')).body.conflicts;
      expect(await state()).toEqual({ plan: 0, profile: 0, [kind]: 1 });
      expect((await publish(harness, kind, bodyOf(kind, 'ours'), 4, '?dry_run=true')).body).toMatchObject({ changed: true, changes: [] });
      expect(await state()).toMatchObject({ [kind]: 1 });
      expect((await publish(harness, kind, bodyOf(kind, 'ours'), 4)).body).toMatchObject({ generation: 5, changed: true });
      expect(await state()).toEqual({ plan: 0, profile: 0 });
      expect((await history()).find((one) => one.hash === third.meta.hash)).toMatchObject({ conflict: false, resolved: true });
      expect((await publish(harness, kind, bodyOf(kind, 'ours'), 5)).body).toMatchObject({ generation: 5, changed: false });
      expect((await offer([second, third])).body).toMatchObject({ outcome: 'conflict', open_conflicts: 0 });
      expect(await state()).toEqual({ plan: 0, profile: 0 });
    });

    it('what was published on a conflict takes its place', async () => {
      const { second, third } = await diverge();
      await offer([second, third]);
      const fourth = await made(['theirs', 'last'], { generation: 4, parent: third });
      expect((await offer([fourth])).body).toMatchObject({ outcome: 'republished', current: { generation: 5 }, open_conflicts: 1 });
      expect(await conflicts()).toEqual([nameOf(fourth)]);
    });

    it('conflicts travel along, resolved ones as such; one that is current again is none', async () => {
      const { base, ours, second, third } = await diverge();
      const lost = [{ ...nameOf(third), resolved: false }];
      const merged = await made(['ours'], { generation: 4, parent: ours, published_by: 'merge' });
      expect((await offer([second, third, merged], { conflicts: lost })).body).toMatchObject({ outcome: 'adopted', open_conflicts: 1 });
      expect((await offer([merged], { conflicts: [{ ...nameOf(third), resolved: true }] })).body).toMatchObject({ open_conflicts: 0 });
      const unknown = await made(['unknown'], { generation: 2, parent: base });
      expect((await offer([merged], { conflicts: [{ ...nameOf(unknown), resolved: false }, ...lost] })).body.open_conflicts).toBe(0);
      const back = await made(['theirs', 'more'], { generation: 5, parent: merged });
      expect((await offer([back])).body).toMatchObject({ outcome: 'adopted' });
      expect((await history()).filter((one) => one.conflict || one.resolved)).toEqual([]);
    });

    it('without the current one they are only kept, and count as soon as it comes', async () => {
      const first = await made(['api'], { generation: 1 });
      const second = await made(['web'], { generation: 2, parent: first });
      const third = await made(['web', 'api'], { generation: 3, parent: second });
      await offer([first]);
      expect((await offer([second], { current: undefined })).body).toMatchObject({ outcome: 'kept', current: nameOf(first) });
      expect(events(`overlay.${kind}`)).toHaveLength(1);
      expect((await offer([third])).body).toMatchObject({ outcome: 'adopted', open_conflicts: 0 });
      expect((await offer([], { current: nameOf(third) })).body).toMatchObject({ outcome: 'kept', current: nameOf(third) });
    });

    describe('seeds', () => {
      const seed = (...names: string[]) => harness.supervisor.seed('default', kind, bodyOf(kind, ...names));

      it('are taken while nothing is there, and lose to the own one where this side decides', async () => {
        const theirs = await made(['theirs'], { generation: 0, published_by: 'seed' });
        expect((await offer([theirs])).body).toMatchObject({ outcome: 'adopted', current: { generation: 0 } });
        await seed('ours');
        expect((await offer([theirs])).body).toMatchObject({ outcome: 'kept', open_conflicts: 0 });
        expect((await current()).body).toEqual(bodyOf(kind, 'ours'));
        expect(await history()).toHaveLength(1);
      });

      it('lose to anything published, and are no conflict', async () => {
        await seed('ours');
        const first = await made(['api'], { generation: 1 });
        expect((await offer([first])).body).toMatchObject({ outcome: 'adopted', open_conflicts: 0 });
        const theirs = await made(['theirs'], { generation: 0, published_by: 'seed' });
        expect((await offer([theirs])).body).toMatchObject({ outcome: 'kept', current: { generation: 1 }, open_conflicts: 0 });
        expect(await conflicts()).toEqual([]);
      });
    });

    describe('that can not be believed are refused with a pointer, and nothing of the offer is done', () => {
      const spoil: Record<string, (good: SignedDocument) => Promise<Record<string, unknown>>> = {
        'signed with the key of another fleet': async () => toWire(await made(['api'], { generation: 2 }, harness.foreign)),
        'with the signature of another': async (good) => ({
          ...toWire(await made(['api'], { generation: 2 })),
          signature: good.meta.signature,
        }),
        'with another body': async () => ({ ...toWire(await made(['api'], { generation: 2 })), ...bodyOf(kind, 'miner') }),
        'of another generation': async () => ({ ...toWire(await made(['api'], { generation: 2 })), generation: 9 }),
        'not signed': async () => bodyOf(kind, 'api'),
      };
      it.each(Object.entries(spoil))('%s', async (_name, spoiled) => {
        const first = await made(['api'], { generation: 1 });
        const versions = [toWire(first), await spoiled(first)];
        const reply = await call(harness, `POST ${PATHS[kind]}/versions`, { body: { versions, current: nameOf(first) } });
        expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body', errors: [{ pointer: '/versions/1' }] } });
        expect(await history()).toEqual([]);
        expect(await call(harness, `GET ${PATHS[kind]}`)).toMatchObject({ status: 404 });
      });

      it('one that this version of bootplane can not use as the current one', async () => {
        const body = kind === 'plan' ? { services: [{ name: 'api' }] } : { storage: { buckets: [{}] } };
        const meta = { generation: 1, epoch: 0, published_by: 'x', published_at: '2026-01-01T00:00:00.000Z' };
        const odd = await signDocument(harness.keys.documents, { kind, fleet: 'default', body, meta });
        const reply = await offer([odd]);
        expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
        expect(reply.body.errors[0].pointer).toMatch(/^\/versions\/0\/(services|storage)/);
        expect(await history()).toEqual([]);
      });

      it('a current one that nobody knows', async () => {
        const reply = await offer([], { current: { generation: 3, hash: 'a'.repeat(64) } });
        expect(reply).toMatchObject({ status: 400, body: { errors: [{ pointer: '/current' }] } });
      });

      it('more than an offer may hold', async () => {
        const big = await made(
          Array.from({ length: 12_000 }, (_, index) => `name-${index}-${'x'.repeat(80)}`),
          { generation: 1 },
        );
        expect(await offer([big])).toMatchObject({ status: 413, body: { code: 'too_large', errors: [{ pointer: '/versions/0' }] } });
        const one = toWire(await made(['api'], { generation: 1 }));
        const many = await call(harness, `POST ${PATHS[kind]}/versions`, { body: { versions: Array(17).fill(one) } });
        expect(many).toMatchObject({ status: 400, body: { errors: [{ pointer: '/versions' }] } });
      });
    });

    it('are taken from a node and an operator, from nobody else', async () => {
      const first = await made(['api'], { generation: 1 });
      const body = { versions: [toWire(first)], current: nameOf(first) };
      const post = (as: string | null) => call(harness, `POST ${PATHS[kind]}/versions`, { as, body });
      expect((await post(null)).status).toBe(401);
      expect((await post(await harness.foreign.nodeCredential('a'))).status).toBe(401);
      expect(await post(await harness.keys.nodeCredential('a'))).toMatchObject({ status: 200, body: { outcome: 'adopted' } });
    });

    describe('on a node', () => {
      const startNode = (leads: boolean, more: { documents_url?: string } = {}) =>
        start({
          self: {
            node_id: 'me',
            instance_id: 'boot-1',
            origins: () => [],
            provisional: () => false,
            confirmed: () => false,
            leadership: () => ({ leads, epoch_seen: 0, eligible: true }),
            hear: () => undefined,
            ...more,
          },
        });
      const byMe = async (versions: readonly SignedDocument[], as: string) =>
        call(harness, `POST ${PATHS[kind]}/versions?decider=sender`, {
          as: await harness.keys.nodeCredential(as),
          body: { versions: versions.map(toWire), current: nameOf(versions[versions.length - 1]!) },
        });

      it('that leads, the own one stands', async () => {
        await harness.close();
        harness = await startNode(true);
        const { ours, second, third } = await diverge();
        expect((await offer([second, third])).body).toMatchObject({ outcome: 'republished', current: { hash: ours.meta.hash } });
      });

      it('that leads and has a cloud, what can not be told to descend is on the line of the cloud: the higher generation is taken', async () => {
        // Seed 610165: a leader without the cloud took a fleet back to an older version, whose descendant had come without what was between.
        const [first, third] = [await made(['api'], { generation: 1 }), await made(['web'], { generation: 3 })];
        const fourth = await made(['web', 'api'], { generation: 4, parent: third });
        for (const more of [{ documents_url: 'https://cloud.example' }, {}]) {
          await harness.close();
          harness = await startNode(true, more);
          await offer([first]);
          const { body } = await offer([fourth]);
          expect(body).toMatchObject(
            'documents_url' in more
              ? { outcome: 'adopted', current: nameOf(fourth), open_conflicts: 0 }
              : { outcome: 'republished', current: { generation: 5, hash: first.meta.hash }, open_conflicts: 1 },
          );
        }
      });

      it('that follows, the other stands, as soon as it is above the own one, which becomes the conflict', async () => {
        await harness.close();
        harness = await startNode(false);
        const { ours, second, third } = await diverge();
        expect((await offer([second])).body).toMatchObject({ outcome: 'waits', current: nameOf(ours), open_conflicts: 0 });
        expect((await offer([second, third])).body).toMatchObject({ outcome: 'adopted', current: nameOf(third), open_conflicts: 1 });
        expect(await conflicts()).toEqual([nameOf(ours)]);
      });

      it('that leads, the node itself may say that another decides, and nobody else', async () => {
        await harness.close();
        harness = await startNode(true);
        const { ours, second, third } = await diverge();
        expect(await byMe([second, third], 'another')).toMatchObject({ status: 403, body: { code: 'forbidden' } });
        expect(await current()).toEqual(ours);
        expect((await byMe([second, third], 'me')).body).toMatchObject({ outcome: 'adopted', current: nameOf(third) });
      });

      it('takes the seed of who decides in place of its own', async () => {
        await harness.close();
        harness = await startNode(false);
        await harness.supervisor.seed('default', kind, bodyOf(kind, 'ours'));
        const theirs = await made(['theirs'], { generation: 0, published_by: 'seed' });
        expect((await offer([theirs])).body).toMatchObject({ outcome: 'adopted', open_conflicts: 0 });
        expect(await history()).toHaveLength(1);
      });
    });

    it('while somebody publishes are decided on what is current then', async () => {
      const first = await made(['api'], { generation: 1 });
      await offer([first]);
      const second = await made(['theirs'], { generation: 2, parent: first });
      const { database } = harness;
      let isRaced = false;
      const wrap = () => ({
        ...database,
        now: database.now,
        close: async () => undefined,
        batch: async (statements: Parameters<typeof database.batch>[0]) => {
          const writes = statements.some(({ sql }) => sql.includes('insert into desired'));
          if (writes && !isRaced) {
            isRaced = true;
            await publish(harness, kind, bodyOf(kind, 'ours'), 1);
          }
          return database.batch(statements);
        },
      });
      const racing = await start({ wrap });
      try {
        expect((await offer([second], {}, racing)).body).toMatchObject({ outcome: 'republished', current: { generation: 3 } });
        expect((await current()).body).toEqual(bodyOf(kind, 'ours'));
        expect(await conflicts()).toEqual([nameOf(second)]);
      } finally {
        await racing.close();
      }
    });

    it('cost few statements', async () => {
      const counted: number[] = [];
      const { database } = harness;
      const wrap = () => ({
        ...database,
        now: database.now,
        close: async () => undefined,
        batch: (statements: Parameters<typeof database.batch>[0]) => {
          counted.push(statements.length);
          return database.batch(statements);
        },
      });
      const observed = await start({ wrap });
      try {
        const versions: SignedDocument[] = [];
        for (let generation = 1; generation <= 16; generation += 1) {
          versions.push(await made([`s${generation}`], { generation, parent: versions.at(-1) }));
        }
        await offer(versions, {}, observed);
        expect(counted).toEqual([2, 19]);
        counted.length = 0;
        await offer([], { current: nameOf(versions.at(-1) ?? versions[0]!) }, observed);
        expect(counted).toEqual([2, 1]);
      } finally {
        await observed.close();
      }
    });

    it('the history has a tag that two Supervisors with the same versions share', async () => {
      const first = await made(['api'], { generation: 1 });
      await offer([first]);
      const reply = await call(harness, `GET ${PATHS[kind]}/history`);
      const etag = reply.headers.get('etag') ?? '';
      const ask = () => call(harness, `GET ${PATHS[kind]}/history`, { headers: { 'if-none-match': etag } });
      expect((await ask()).status).toBe(304);
      await offer([await made(['web'], { generation: 2, parent: first })]);
      expect((await ask()).status).toBe(200);
    });
  });
}
