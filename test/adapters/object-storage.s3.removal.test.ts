import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { S3Storage } from '../../runtime-node/adapters/storage-s3/index.ts';
import { aws, whyNoAws } from './object-storage.s3.aws.ts';
import { watch } from './object-storage.s3.proxy.ts';
import { CEPH, CONFIGURED, openS3, type Store, titled } from './object-storage.s3.support.ts';

// Each call of the foreign client is a Python program that starts: seconds on a busy machine.
vi.setConfig({ testTimeout: 180_000 });

for (const base of [CEPH, CONFIGURED]) {
  const kind = { ...base, missing: base.missing ?? whyNoAws() };
  describe.skipIf(kind.missing !== undefined)(`removals beside a foreign client: ${titled(kind)}`, () => {
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
      const bucket = `removal-${randomUUID()}`;
      await ours.ensureBucket(bucket);
      return bucket;
    };
    const put = (bucket: string, key: string) => ours.put(bucket, key, new TextEncoder().encode(key));
    const rulesOf = async (bucket: string) => {
      const { Rules } = (await aws(store, 'get-bucket-lifecycle-configuration', '--bucket', bucket)) as { Rules: { ID: string }[] };
      return Object.fromEntries(Rules.map((rule) => [rule.ID, rule]));
    };

    test('foreign lifecycle rules stay exactly as they were, and the last rule that goes takes the document along', async () => {
      const bucket = await newBucket();
      const Rules = [
        {
          ID: 'foreign-tagged',
          Status: 'Enabled',
          Filter: { And: { Prefix: 'logs/', Tags: [{ Key: 'keep', Value: 'no' }] } },
          Expiration: { Days: 7 },
        },
        { ID: 'foreign-off', Status: 'Disabled', Filter: { Prefix: 'off & <odd>/' }, Expiration: { Days: 3 } },
      ];
      const document = JSON.stringify({ Rules });
      await aws(store, 'put-bucket-lifecycle-configuration', '--bucket', bucket, '--lifecycle-configuration', document);
      const before = await rulesOf(bucket);
      await ours.ensureLifecycle(bucket, [
        { id: 'ours', prefix: 'ours/', expire_days: 30 },
        { id: 'stays', prefix: 'stays/', expire_days: 30 },
      ]);
      await ours.removeLifecycleRules(bucket, ['ours']);
      const { stays, ...after } = await rulesOf(bucket);
      expect(after).toEqual(before);
      expect(stays).toMatchObject({ Expiration: { Days: 30 } });
      // It says more than a profile can: whoever wrote that is somebody else.
      await expect(ours.removeLifecycleRules(bucket, ['foreign-tagged', 'stays'])).rejects.toMatchObject({ kind: 'failed' });
      expect(Object.keys(await rulesOf(bucket)).sort()).toEqual(['foreign-off', 'foreign-tagged', 'stays']);

      const plain = await newBucket();
      await ours.ensureLifecycle(plain, [{ id: 'only', prefix: '', expire_days: 3 }]);
      await ours.removeLifecycleRules(plain, ['only']);
      expect((await ours.readBuckets([plain]))[0]?.lifecycle).toEqual([]);
      await ours.ensureLifecycle(plain, [{ id: 'again', prefix: '', expire_days: 3 }]);
      expect(Object.keys(await rulesOf(plain))).toEqual(['again']);
    });

    test('foreign tags stay, and the record of the maker is a tag that other clients see', async () => {
      const bucket = `removal-${randomUUID()}`;
      await ours.ensureBucket(bucket, { made_by: 'bootplane:f1/site@north' });
      const tagsOf = async () => {
        const { TagSet } = (await aws(store, 'get-bucket-tagging', '--bucket', bucket)) as { TagSet: { Key: string; Value: string }[] };
        return Object.fromEntries(TagSet.map(({ Key, Value }) => [Key, Value]));
      };
      expect(await tagsOf()).toEqual({ 'bootplane-made-by': 'bootplane:f1/site@north' });
      const foreign = { owner: 'a person + co = @x', 'bootplane-made-by': 'bootplane:f1/site@north', ours: 'x' };
      const TagSet = Object.entries(foreign).map(([Key, Value]) => ({ Key, Value }));
      await aws(store, 'put-bucket-tagging', '--bucket', bucket, '--tagging', JSON.stringify({ TagSet }));
      await ours.removeTags(bucket, ['ours']);
      expect(await tagsOf()).toEqual({ owner: 'a person + co = @x', 'bootplane-made-by': 'bootplane:f1/site@north' });
      await expect(ours.removeTags(bucket, ['bootplane-made-by'])).rejects.toMatchObject({ kind: 'bad_name' });
      await expect(ours.ensureTags(bucket, { 'bootplane-made-by': 'me' })).rejects.toMatchObject({ kind: 'bad_name' });
      expect((await ours.readBuckets([bucket]))[0]).toMatchObject({
        made_by: 'bootplane:f1/site@north',
        tags: { owner: 'a person + co = @x' },
      });
    });

    test('never claims a bucket of others, nor one that they tag while we make it', async () => {
      const bucket = `removal-${randomUUID()}`;
      await aws(store, 'create-bucket', '--bucket', bucket);
      await ours.ensureBucket(bucket, { made_by: 'bootplane:f1' });
      expect((await ours.readBuckets([bucket]))[0]?.made_by).toBeUndefined();
    });

    test('removes nothing more of a bucket once it is told to end, and goes on with the rest when it is asked again', async () => {
      const bucket = await newBucket();
      const keys = ['a', 'b', 'line\nbreak', 'tab\t'];
      for (const key of keys) await put(bucket, key);
      await expect(ours.removeBucket(bucket, { signal: AbortSignal.abort() })).rejects.toMatchObject({ kind: 'failed' });
      expect((await ours.list(bucket)).objects.map(({ key }) => key)).toEqual(keys.toSorted());
      await ours.removeBucket(bucket, { signal: new AbortController().signal });
      expect(await ours.readBuckets([bucket])).toEqual([]);
    });

    test('removes versions, markers, odd keys and unfinished uploads, by many in one request', async () => {
      const bucket = await newBucket();
      const upload = () => aws(store, 'create-multipart-upload', '--bucket', bucket, '--key', 'never/ended');
      await upload();
      const { unfinished_uploads } = await ours.bucketStats(bucket);
      // MinIO lists uploads by whole keys only, so nobody can tell that there are some.
      if (unfinished_uploads > 0) await expect(ours.removeBucket(bucket, { if_empty: true })).rejects.toMatchObject({ kind: 'not_empty' });
      await ours.ensureVersioning(bucket, true);
      for (const key of ['a', 'a/b', 'a/b/c', ' spaced ', 'x&<y>"', 'ü/ñ', 'line\nbreak', 'tab\t']) {
        await put(bucket, key);
        await put(bucket, key);
      }
      await ours.delete(bucket, 'a');
      const wire = await watch(store.endpoint);
      const storage = openS3({ ...store, endpoint: wire.endpoint });
      onTestFinished(async () => {
        await storage.close();
        await wire.close();
      });
      await storage.removeBucket(bucket);
      expect(await ours.readBuckets([bucket])).toEqual([]);
      expect(wire.writes().filter(({ url }) => url.includes('?delete')).length).toBeGreaterThan(0);
    });

    test('goes on where it broke off', async () => {
      const bucket = await newBucket();
      await Promise.all(Array.from({ length: 30 }, (_, n) => put(bucket, `k${n}`)));
      const cut = await watch(store.endpoint, {
        meddle: ({ method, url }) => (method === 'DELETE' && new RegExp(`^/${bucket}/?$`).test(url) ? 'break before' : undefined),
      });
      const storage = openS3({ ...store, endpoint: cut.endpoint });
      onTestFinished(async () => {
        await storage.close();
        await cut.close();
      });
      await expect(storage.removeBucket(bucket)).rejects.toMatchObject({ kind: 'backend_away' });
      // Its content is gone, and it is still there: nobody was told that it is removed.
      expect(await ours.bucketStats(bucket)).toMatchObject({ objects: 0 });
      await ours.removeBucket(bucket);
      expect(await ours.readBuckets([bucket])).toEqual([]);
    });
  });
}
