import { describe, expect, test } from 'vitest';
import type { ObjectStorage, StorageErrorKind } from '../../shared/ports/object-storage.ts';
import { StorageError } from '../../shared/ports/object-storage.ts';

type Get = () => ObjectStorage;

const NOTHING = { objects: 0, older_versions: 0, bytes: 0, unfinished_uploads: 0, truncated: false };

/** What `prune` needs: the evidence, the removals, and who made what. Every test has buckets of its own. */
export function removalTests(storage: Get): void {
  describe('removal of buckets', () => bucketRemovals(storage));
  describe('removal of settings', () => settingRemovals(storage));
  describe('what a bucket holds', () => statsTests(storage));
  describe('who made a bucket', () => makerTests(storage));
}

function bucketRemovals(storage: Get): void {
  test('removes an empty bucket, and one that is not there', async () => {
    const [bucket, other] = [await newBucket(storage()), await newBucket(storage())];
    await storage().removeBucket(bucket, { if_empty: true });
    await storage().removeBucket(bucket, { if_empty: true });
    await storage().removeBucket(bucket);
    expect(await storage().readBuckets([bucket, other])).toHaveLength(1);
    await refused(storage().put(bucket, 'key', bytesOf('late')), 'no_such_bucket');
    await refused(storage().list(bucket), 'no_such_bucket');
  });

  test('refuses to remove what holds an object, and leaves it as it was', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'a/key', bytesOf('kept'));
    await refused(storage().removeBucket(bucket, { if_empty: true }), 'not_empty');
    expect(await textOf(storage(), bucket, 'a/key')).toBe('kept');
    await storage().delete(bucket, 'a/key');
    await storage().removeBucket(bucket, { if_empty: true });
    expect(await storage().readBuckets([bucket])).toEqual([]);
  });

  test('removes a bucket with all that it holds, and nothing of another', async () => {
    const [bucket, other] = [await newBucket(storage()), await newBucket(storage())];
    for (const one of [bucket, other]) {
      for (let n = 0; n < 120; n += 1) await storage().put(one, `some/${n}`, bytesOf(`${n}`));
    }
    await storage().removeBucket(bucket);
    expect(await storage().readBuckets([bucket])).toEqual([]);
    await refused(storage().get(bucket, 'some/1'), 'no_such_bucket');
    expect(await storage().bucketStats(other)).toMatchObject({ objects: 120 });
    expect(await textOf(storage(), other, 'some/1')).toBe('1');
  });

  test('a bucket of the same name is a new one', async () => {
    const bucket = await newBucket(storage());
    const { versioning, lifecycle, tags } = storage().capabilities;
    if (versioning) await storage().ensureVersioning(bucket, true);
    if (lifecycle) await storage().ensureLifecycle(bucket, [{ id: 'old', prefix: '', expire_days: 1 }]);
    if (tags) await storage().ensureTags(bucket, { team: 'edge' });
    for (const text of ['one', 'two']) await storage().put(bucket, 'key', bytesOf(text));
    await storage().removeBucket(bucket);
    await storage().ensureBucket(bucket);
    expect(await storage().readBuckets([bucket])).toEqual([{ name: bucket, versioning: 'off', lifecycle: [], tags: {} }]);
    expect(await storage().bucketStats(bucket)).toEqual(NOTHING);
    expect(await storage().listVersions(bucket)).toEqual([]);
  });

  test('old versions and delete markers count as content', async () => {
    if (!storage().capabilities.versioning) return;
    const bucket = await newBucket(storage());
    await storage().ensureVersioning(bucket, true);
    const { version_id } = await storage().put(bucket, 'key', bytesOf('old'));
    await storage().delete(bucket, 'key');
    expect((await storage().list(bucket)).objects).toEqual([]);
    await refused(storage().removeBucket(bucket, { if_empty: true }), 'not_empty');
    await storage().delete(bucket, 'key', { version_id });
    await refused(storage().removeBucket(bucket, { if_empty: true }), 'not_empty');
    expect(await storage().bucketStats(bucket)).toEqual({ ...NOTHING, older_versions: 1 });
    await storage().removeBucket(bucket);
    expect(await storage().readBuckets([bucket])).toEqual([]);
  });

  test('many removals of one bucket at once are one', async () => {
    const bucket = await newBucket(storage());
    for (let n = 0; n < 20; n += 1) await storage().put(bucket, `${n}`, bytesOf('x'));
    await Promise.all(Array.from({ length: 4 }, () => storage().removeBucket(bucket)));
    expect(await storage().readBuckets([bucket])).toEqual([]);
    const empty = await newBucket(storage());
    await Promise.all(Array.from({ length: 4 }, () => storage().removeBucket(empty, { if_empty: true })));
    expect(await storage().readBuckets([empty])).toEqual([]);
  });
}

function settingRemovals(storage: Get): void {
  const stateOf = async (bucket: string) => (await storage().readBuckets([bucket]))[0];

  test('removes the rules of these ids and keeps the others', async () => {
    if (!storage().capabilities.lifecycle) return;
    const bucket = await newBucket(storage());
    const rules = ['a', 'b', 'c'].map((id) => ({ id, prefix: `${id}/`, expire_days: 7 }));
    await storage().ensureLifecycle(bucket, rules);
    await storage().removeLifecycleRules(bucket, ['b', 'missing']);
    await storage().removeLifecycleRules(bucket, ['b']);
    expect((await stateOf(bucket))?.lifecycle.map(({ id }) => id).sort()).toEqual(['a', 'c']);
    await storage().removeLifecycleRules(bucket, ['a', 'c']);
    expect((await stateOf(bucket))?.lifecycle).toEqual([]);
    await storage().removeLifecycleRules(uniqueName(), ['a']);
  });

  test('removes the tags of these names and keeps the others', async () => {
    if (!storage().capabilities.tags) return;
    const bucket = await newBucket(storage());
    await storage().ensureTags(bucket, { team: 'edge', site: 'north', owner: 'ops' });
    await storage().removeTags(bucket, ['site', 'missing']);
    await storage().removeTags(bucket, ['site']);
    expect((await stateOf(bucket))?.tags).toEqual({ team: 'edge', owner: 'ops' });
    await storage().removeTags(bucket, ['team', 'owner']);
    expect((await stateOf(bucket))?.tags).toEqual({});
    await storage().removeTags(uniqueName(), ['team']);
  });
}

function statsTests(storage: Get): void {
  test('counts objects, older versions and bytes', async () => {
    const bucket = await newBucket(storage());
    expect(await storage().bucketStats(bucket)).toEqual(NOTHING);
    await storage().put(bucket, 'one', bytesOf('1234'));
    await storage().put(bucket, 'two', bytesOf('12'));
    expect(await storage().bucketStats(bucket)).toEqual({ ...NOTHING, objects: 2, bytes: 6 });
    if (!storage().capabilities.versioning) return;
    await storage().ensureVersioning(bucket, true);
    await storage().put(bucket, 'one', bytesOf('123456'));
    await storage().delete(bucket, 'two');
    expect(await storage().bucketStats(bucket)).toEqual({ ...NOTHING, objects: 1, older_versions: 3, bytes: 12 });
  });

  test('of a bucket that is not there is no_such_bucket', async () => {
    await refused(storage().bucketStats(uniqueName()), 'no_such_bucket');
  });
}

function makerTests(storage: Get): void {
  const makerOf = async (bucket: string) => (await storage().readBuckets([bucket]))[0]?.made_by;

  test('is recorded with a bucket that is made, and only with that', async () => {
    const [made, found] = [uniqueName(), await newBucket(storage())];
    await storage().ensureBucket(made, { made_by: 'bootplane:f1/site@north' });
    await storage().ensureBucket(made, { made_by: 'bootplane:another' });
    await storage().ensureBucket(found, { made_by: 'bootplane:f1/site@north' });
    expect(await makerOf(made)).toBe(storage().capabilities.records_maker ? 'bootplane:f1/site@north' : undefined);
    expect(await makerOf(found)).toBeUndefined();
  });

  test('stays through changes of tags, and is none of them', async () => {
    if (!storage().capabilities.records_maker) return;
    const bucket = uniqueName();
    await storage().ensureBucket(bucket, { made_by: 'bootplane:f1' });
    expect((await storage().readBuckets([bucket]))[0]?.tags).toEqual({});
    await storage().ensureTags(bucket, { team: 'edge' });
    expect(await storage().readBuckets([bucket])).toEqual([
      { name: bucket, versioning: 'off', lifecycle: [], tags: { team: 'edge' }, made_by: 'bootplane:f1' },
    ]);
    await storage().removeTags(bucket, ['team']);
    expect(await makerOf(bucket)).toBe('bootplane:f1');
    await storage().removeBucket(bucket, { if_empty: true });
    await storage().ensureBucket(bucket);
    expect(await makerOf(bucket)).toBeUndefined();
  });

  test.each(['', 'two words', 'a'.repeat(129), 'ünicode', 'line\nbreak'])('refuses the maker %j', async (made_by) => {
    const bucket = uniqueName();
    await refused(storage().ensureBucket(bucket, { made_by }), 'bad_name');
    expect(await storage().readBuckets([bucket])).toEqual([]);
  });
}

async function newBucket(storage: ObjectStorage): Promise<string> {
  const name = uniqueName();
  await storage.ensureBucket(name);
  return name;
}

function uniqueName(): string {
  return `suite-${crypto.randomUUID()}`;
}

async function refused(call: Promise<unknown>, kind: StorageErrorKind): Promise<void> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof StorageError)) throw new Error('expected a StorageError', { cause: outcome });
  expect(outcome.message).not.toBe('');
  expect(outcome.kind, outcome.message).toBe(kind);
}

async function textOf(storage: ObjectStorage, bucket: string, key: string): Promise<string> {
  return await new Response((await storage.get(bucket, key)).body as BodyInit).text();
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
