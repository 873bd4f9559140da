import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { S3Storage } from '../../runtime-node/adapters/storage-s3/index.ts';
import { aws, whyNoAws } from './object-storage.s3.aws.ts';
import { type Meddle, watch } from './object-storage.s3.proxy.ts';
import { CEPH, CONFIGURED, openS3, type Store, titled } from './object-storage.s3.support.ts';

/** What a person set up before us: rules with everything that ours do not have. */
const FOREIGN_RULES = {
  Rules: [
    {
      ID: 'foreign-tagged',
      Status: 'Enabled',
      Filter: { And: { Prefix: 'logs/', Tags: [{ Key: 'keep', Value: 'no' }] } },
      Expiration: { Days: 7 },
    },
    { ID: 'foreign-versions', Status: 'Enabled', Filter: { Prefix: 'old & <odd>/' }, NoncurrentVersionExpiration: { NoncurrentDays: 11 } },
    { ID: 'foreign-off', Status: 'Disabled', Filter: { Prefix: 'off/' }, Expiration: { Days: 3 } },
    { ID: 'foreign-plain', Status: 'Enabled', Filter: { Prefix: 'plain/' }, Expiration: { Days: 400 } },
  ],
};

// Each call of the foreign client is a Python program that starts: seconds on a busy machine.
vi.setConfig({ testTimeout: 180_000 });

for (const base of [CEPH, CONFIGURED]) {
  const kind = { ...base, missing: base.missing ?? whyNoAws() };
  describe.skipIf(kind.missing !== undefined)(`beside a foreign client: ${titled(kind)}`, () => {
    let store: Store;
    let ours: S3Storage;
    beforeAll(async () => {
      store = await kind.start();
      ours = openS3(store);
    });
    afterAll(async () => {
      await ours?.close();
      await store?.stop();
    });

    const newBucket = async () => {
      const bucket = `foreign-${randomUUID()}`;
      await ours.ensureBucket(bucket);
      return bucket;
    };
    const rulesOf = async (bucket: string) => {
      const { Rules } = (await aws(store, 'get-bucket-lifecycle-configuration', '--bucket', bucket)) as { Rules: { ID: string }[] };
      return Object.fromEntries(Rules.map((rule) => [rule.ID, rule]));
    };
    const setForeignRules = (bucket: string) =>
      aws(store, 'put-bucket-lifecycle-configuration', '--bucket', bucket, '--lifecycle-configuration', JSON.stringify(FOREIGN_RULES));
    const watched = async (meddle?: Meddle) => {
      const wire = await watch(store.endpoint, meddle === undefined ? {} : { meddle });
      const storage = openS3({ ...store, endpoint: wire.endpoint });
      onTestFinished(async () => {
        await storage.close();
        await wire.close();
      });
      return { wire, storage };
    };

    test('foreign lifecycle rules stay exactly as they were', async () => {
      const bucket = await newBucket();
      await setForeignRules(bucket);
      const before = await rulesOf(bucket);
      await ours.ensureLifecycle(bucket, [{ id: 'ours', prefix: 'ours/', expire_days: 30 }]);
      await ours.ensureLifecycle(bucket, [{ id: 'ours', prefix: 'ours/', expire_days: 60 }]);
      const { ours: added, ...after } = await rulesOf(bucket);
      expect(after).toEqual(before);
      expect(Object.keys(after).sort()).toEqual(FOREIGN_RULES.Rules.map(({ ID }) => ID).sort());
      expect(added).toMatchObject({ Status: 'Enabled', Expiration: { Days: 60 } });
      // Of the foreign ones, the one that a profile could have asked for.
      expect((await ours.readBuckets([bucket]))[0]?.lifecycle.map(({ id }) => id).sort()).toEqual(['foreign-plain', 'ours']);
    });

    test('a rule of that id that says more is left alone, with words', async () => {
      const bucket = await newBucket();
      await setForeignRules(bucket);
      const before = await rulesOf(bucket);
      const call = ours.ensureLifecycle(bucket, [{ id: 'foreign-versions', prefix: '', expire_days: 1 }]);
      await expect(call).rejects.toThrow(/says more than a profile can \(NoncurrentVersionExpiration\).*another id/);
      expect(await rulesOf(bucket)).toEqual(before);
    });

    test('foreign tags stay', async () => {
      const bucket = await newBucket();
      const tags = { owner: 'a person + co = @x', zone: 'b' };
      const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
      await aws(store, 'put-bucket-tagging', '--bucket', bucket, '--tagging', JSON.stringify({ TagSet }));
      await ours.ensureTags(bucket, { team: 'vision', zone: 'c' });
      const after = (await aws(store, 'get-bucket-tagging', '--bucket', bucket)) as { TagSet: { Key: string; Value: string }[] };
      expect(Object.fromEntries(after.TagSet.map(({ Key, Value }) => [Key, Value]))).toEqual({ ...tags, team: 'vision', zone: 'c' });
    });

    test('what we set up is what another client reads', async () => {
      const bucket = `foreign-${randomUUID()}`;
      await ours.ensureBucket(bucket);
      await ours.ensureVersioning(bucket, true);
      await ours.ensureLifecycle(bucket, [{ id: 'raw', prefix: '', expire_days: 30 }]);
      await ours.ensureTags(bucket, { team: 'vision' });
      expect(await aws(store, 'get-bucket-versioning', '--bucket', bucket)).toMatchObject({ Status: 'Enabled' });
      expect(await aws(store, 'get-bucket-tagging', '--bucket', bucket)).toMatchObject({ TagSet: [{ Key: 'team', Value: 'vision' }] });
      expect((await rulesOf(bucket)).raw).toMatchObject({ Status: 'Enabled', Expiration: { Days: 30 } });
    });

    test('a second ensure of everything sends no write', async () => {
      const { wire, storage } = await watched();
      const bucket = `foreign-${randomUUID()}`;
      const ensure = async () => {
        await storage.ensureBucket(bucket);
        await storage.ensureVersioning(bucket, true);
        await storage.ensureLifecycle(bucket, [
          { id: 'all', prefix: '', expire_days: 9 },
          { id: 'raw', prefix: 'raw & co/', expire_days: 30 },
        ]);
        await storage.ensureTags(bucket, { team: 'vision', area: 'a = @x' });
      };
      await ensure();
      const { length } = wire.writes();
      expect(length).toBe(4);
      await ensure();
      expect(wire.writes()).toHaveLength(length);
    });

    test('the rule that another writer took away by his own write is put back, and his stays', async () => {
      const bucket = await newBucket();
      let interfered = 0;
      const { storage } = await watched(async ({ method, url }, index) => {
        if (method !== 'GET' || !url.includes('lifecycle') || index === 0 || interfered > 0) return undefined;
        // The read after our write: by now he wrote what he had read before us.
        if (!(await written(bucket))) return undefined;
        interfered += 1;
        await setForeignRules(bucket);
        return undefined;
      });
      const written = async (name: string) => Object.hasOwn(await rulesOf(name).catch(() => ({})), 'ours');
      await storage.ensureLifecycle(bucket, [{ id: 'ours', prefix: 'ours/', expire_days: 30 }]);
      expect(interfered).toBe(1);
      expect(Object.keys(await rulesOf(bucket)).sort()).toEqual([...FOREIGN_RULES.Rules.map(({ ID }) => ID), 'ours'].sort());
    });

    test('two of us at once both get their rules in', async () => {
      const bucket = await newBucket();
      const others = Array.from({ length: 3 }, () => openS3(store));
      onTestFinished(async () => void (await Promise.all(others.map((one) => one.close()))));
      const settle = others.map((one, index) =>
        one.ensureLifecycle(bucket, [{ id: `rule-${index}`, prefix: `${index}/`, expire_days: 5 }]),
      );
      await Promise.allSettled(settle);
      // A write between another's read and write can be lost for good: the next look repairs it, as the drift loop does.
      for (const [index, one] of others.entries())
        await one.ensureLifecycle(bucket, [{ id: `rule-${index}`, prefix: `${index}/`, expire_days: 5 }]);
      expect(Object.keys(await rulesOf(bucket)).sort()).toEqual(['rule-0', 'rule-1', 'rule-2']);
    });

    test('of many processes that store a key if it is absent exactly one wins, with versions and without', async () => {
      const processes = Array.from({ length: 6 }, () => openS3(store));
      onTestFinished(async () => void (await Promise.all(processes.map((one) => one.close()))));
      for (const versioning of [false, true]) {
        const bucket = await newBucket();
        if (versioning) await ours.ensureVersioning(bucket, true);
        for (let round = 0; round < 5; round += 1) {
          const key = `key-${round}`;
          const puts = processes.map((one, index) => one.put(bucket, key, Buffer.from(`process ${index}`), { if_absent: true }));
          const results = await Promise.allSettled(puts);
          const winners = results.flatMap(({ status }, index) => (status === 'fulfilled' ? [`process ${index}`] : []));
          expect(winners).toHaveLength(1);
          for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ kind: 'already_exists' });
          expect(await new Response((await ours.get(bucket, key)).body).text()).toBe(winners[0]);
          expect(await ours.listVersions(bucket, { prefix: key })).toHaveLength(1);
        }
      }
    });

    test('objects of others are read, without a checksum; ours are theirs, with it', async () => {
      const bucket = await newBucket();
      await aws(store, 'put-object', '--bucket', bucket, '--key', 'theirs', '--content-type', 'text/plain');
      expect(await ours.head(bucket, 'theirs')).toMatchObject({ key: 'theirs', size: 0, content_type: 'text/plain' });
      expect(await ours.head(bucket, 'theirs')).not.toHaveProperty('sha256');
      const { sha256 } = await ours.put(bucket, 'ours', Buffer.from('ours'));
      expect(await aws(store, 'head-object', '--bucket', bucket, '--key', 'ours')).toMatchObject({
        ContentLength: 4,
        Metadata: { sha256 },
      });
    });

    test('large streams go in parts, keep a checksum that the caller knows, and leave no parts behind', async () => {
      const { wire, storage } = await watched();
      const bucket = await newBucket();
      const body = Buffer.alloc(20 * 1024 * 1024, 'x');
      const stream = () => new Blob([body]).stream();
      const sha256 = await ours.put(bucket, 'whole', body).then((info) => info.sha256 ?? '');
      const known = await storage.put(bucket, 'known', stream(), { sha256 });
      const unknown = await storage.put(bucket, 'unknown', stream());
      expect([known.sha256, unknown.sha256, known.size, unknown.size]).toEqual([sha256, undefined, body.length, body.length]);
      expect((await ours.head(bucket, 'known')).sha256).toBe(sha256);
      await expect(storage.put(bucket, 'other', stream(), { sha256: '0'.repeat(64) })).rejects.toMatchObject({ kind: 'checksum_mismatch' });
      expect(wire.seen.filter(({ url }) => url.includes('partNumber='))).toHaveLength(9);
      expect((await aws(store, 'list-multipart-uploads', '--bucket', bucket)) ?? {}).not.toHaveProperty('Uploads');
      expect((await ours.list(bucket)).objects.map(({ key }) => key)).toEqual(['known', 'unknown', 'whole']);
    });

    test('a URL gives the object to whoever has it, for its time', async () => {
      const bucket = await newBucket();
      await ours.put(bucket, 'dir/an artifact+1.tar', Buffer.from('packed'));
      const url = await ours.presignRead(bucket, 'dir/an artifact+1.tar', 60);
      expect(await (await fetch(url)).text()).toBe('packed');
      expect((await fetch(url.replace('artifact', 'other'))).status).toBe(403);
      expect(url).not.toContain(store.secret_key);
      await expect(ours.presignRead(bucket, 'key', 0)).rejects.toThrow('1 to 604800 seconds');
    });

    test('lists go on beyond a page of the store', async () => {
      const bucket = await newBucket();
      await ours.ensureVersioning(bucket, true);
      const keys = Array.from({ length: 1100 }, (_, index) => `k/${String(index).padStart(5, '0')} +`);
      for (let start = 0; start < keys.length; start += 100)
        await Promise.all(keys.slice(start, start + 100).map((key) => ours.put(bucket, key, Buffer.from('x'))));
      const first = await ours.list(bucket);
      const second = await ours.list(bucket, { after: first.next ?? '' });
      expect([...first.objects, ...second.objects].map(({ key }) => key)).toEqual(keys);
      expect(second.next).toBeUndefined();
      expect((await ours.listVersions(bucket)).map(({ key }) => key)).toEqual(keys);
    });
  });
}
