import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LifecycleRule } from '../../shared/contract/profile.ts';
import {
  type ObjectInfo,
  type ObjectStorage,
  type StorageCapabilities,
  StorageError,
  type StorageErrorKind,
} from '../../shared/ports/object-storage.ts';

import { removalTests } from './object-storage.removals.ts';

export interface ObjectStorageHarness {
  readonly storage: ObjectStorage;
  dispose(): Promise<void>;
}

/**
 * What every `ObjectStorage` must do, and no more than S3 promises: file system, memory, S3, MinIO, Ceph
 * and R2 run it unchanged. One storage serves all tests; each test has buckets of its own, which stay.
 * What `capabilities` says no to must be refused and leave the bucket as it was: whoever runs the suite says
 * beforehand what the storage can't do, and what is about just that is left out. Web standards only, so
 * that it runs in workerd too.
 */
export function objectStorageSuite(
  name: string,
  makeHarness: () => Promise<ObjectStorageHarness>,
  { versioning = true, lifecycle = true, tags = true }: Partial<Omit<StorageCapabilities, 'shared' | 'nested_keys' | 'records_maker'>> = {},
): void {
  describe(`object storage: ${name}`, () => {
    let harness: ObjectStorageHarness;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness?.dispose());
    const storage = () => harness.storage;

    test('says what it is', () => {
      expect(storage().backend.identity).not.toBe('');
      expect(storage().backend.kind).not.toBe('');
      expect(storage().capabilities).toMatchObject({ versioning, lifecycle, tags });
    });
    describe('buckets', () => bucketTests(storage));
    describe('lifecycle rules and tags', () => settingTests(storage, lifecycle));
    describe('objects', () => objectTests(storage));
    describe('conditions and checksums', () => conditionTests(storage));
    describe('ranges', () => rangeTests(storage));
    describe('keys', () => keyTests(storage));
    describe('list', () => listTests(storage));
    describe('removals', () => removalTests(storage));
    if (!versioning) return;
    describe('versions', () => versionTests(storage));
    describe('suspended versioning', () => suspendedTests(storage));
  });
}

type Get = () => ObjectStorage;

function bucketTests(storage: Get): void {
  test('a new bucket has no settings', async () => {
    const bucket = await newBucket(storage());
    expect(await storage().readBuckets([bucket])).toEqual([{ name: bucket, versioning: 'off', lifecycle: [], tags: {} }]);
  });

  test('reads those of the names that exist', async () => {
    const [one, two] = [await newBucket(storage()), await newBucket(storage())];
    const states = await storage().readBuckets([one, uniqueName(), two]);
    expect(states.map(({ name }) => name).sort()).toEqual([one, two].sort());
    expect(await storage().readBuckets([])).toEqual([]);
    expect(await storage().readBuckets([uniqueName()])).toEqual([]);
  });

  test('making a bucket again keeps its objects and settings', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'kept', bytesOf('kept'));
    if (storage().capabilities.tags) await storage().ensureTags(bucket, { team: 'edge' });
    const before = await storage().readBuckets([bucket]);
    await storage().ensureBucket(bucket);
    expect(await storage().readBuckets([bucket])).toEqual(before);
    expect(await textOf(storage(), bucket, 'kept')).toBe('kept');
  });

  test('the same bucket made many times at once is one', async () => {
    const bucket = uniqueName();
    await Promise.all(Array.from({ length: 8 }, () => storage().ensureBucket(bucket)));
    expect(await storage().readBuckets([bucket])).toHaveLength(1);
  });

  test.each(['ab', 'Upper-case', 'under_score', '-start', 'end-', '../escape', 'a'.repeat(64), ''])('refuses the name %j', async (bad) => {
    await expectKind(storage().ensureBucket(bad), 'bad_name');
  });

  test('everything on a missing bucket is no_such_bucket', async () => {
    const missing = uniqueName();
    const calls: Record<string, () => Promise<unknown>> = {
      put: () => storage().put(missing, 'key', bytesOf('x')),
      put_stream: () => storage().put(missing, 'key', streamOf(bytesOf('x'))),
      get: () => storage().get(missing, 'key'),
      head: () => storage().head(missing, 'key'),
      list: () => storage().list(missing),
      listVersions: () => storage().listVersions(missing),
      delete: () => storage().delete(missing, 'key'),
    };
    for (const call of Object.values(calls)) await expectKind(call(), 'no_such_bucket');
    const { versioning, lifecycle, tags } = storage().capabilities;
    if (versioning) await expectKind(storage().ensureVersioning(missing, true), 'no_such_bucket');
    if (lifecycle) await expectKind(storage().ensureLifecycle(missing, [rule('a')]), 'no_such_bucket');
    if (tags) await expectKind(storage().ensureTags(missing, { a: 'b' }), 'no_such_bucket');
    expect(await storage().readBuckets([missing])).toEqual([]);
  });
}

function settingTests(storage: Get, lifecycle: boolean): void {
  const state = async (bucket: string) => (await storage().readBuckets([bucket]))[0];

  test('tags merge by name', async () => {
    const bucket = await newBucket(storage());
    if (!storage().capabilities.tags) {
      await expectRefused(storage().ensureTags(bucket, { a: 'b' }));
      expect((await state(bucket))?.tags).toEqual({});
      return;
    }
    await storage().ensureTags(bucket, { foreign: 'kept', managed: 'old' });
    await storage().ensureTags(bucket, { managed: 'new', added: 'x' });
    expect((await state(bucket))?.tags).toEqual({ foreign: 'kept', managed: 'new', added: 'x' });
    await storage().ensureTags(bucket, { managed: 'new', added: 'x' });
    await storage().ensureTags(bucket, {});
    expect((await state(bucket))?.tags).toEqual({ foreign: 'kept', managed: 'new', added: 'x' });
  });

  test('lifecycle rules merge by id', async () => {
    const bucket = await newBucket(storage());
    if (!storage().capabilities.lifecycle) {
      await expectRefused(storage().ensureLifecycle(bucket, [rule('a')]));
      expect((await state(bucket))?.lifecycle).toEqual([]);
      return;
    }
    await storage().ensureLifecycle(bucket, [rule('foreign', 'logs/', 30), rule('managed', 'tmp/', 7)]);
    await storage().ensureLifecycle(bucket, [rule('managed', 'temporary/', 9), rule('added', 'cache/', 1)]);
    const merged = [rule('added', 'cache/', 1), rule('foreign', 'logs/', 30), rule('managed', 'temporary/', 9)];
    expect(byId(await state(bucket))).toEqual(merged);
    await storage().ensureLifecycle(bucket, [rule('managed', 'temporary/', 9)]);
    await storage().ensureLifecycle(bucket, []);
    expect(byId(await state(bucket))).toEqual(merged);
  });

  test('settings of one bucket do not touch another', async () => {
    const [one, other] = [await newBucket(storage()), await newBucket(storage())];
    if (storage().capabilities.tags) await storage().ensureTags(one, { a: 'b' });
    if (storage().capabilities.lifecycle) await storage().ensureLifecycle(one, [rule('a')]);
    if (storage().capabilities.versioning) await storage().ensureVersioning(one, true);
    expect(await state(other)).toEqual({ name: other, versioning: 'off', lifecycle: [], tags: {} });
  });

  if (!lifecycle) return;
  test('a rule without prefix holds for all keys', async () => {
    const bucket = await newBucket(storage());
    await storage().ensureLifecycle(bucket, [rule('all', '', 36_500)]);
    expect((await state(bucket))?.lifecycle).toEqual([rule('all', '', 36_500)]);
  });
}

function objectTests(storage: Get): void {
  test('gives back what was stored', async () => {
    const bucket = await newBucket(storage());
    const body = pattern(300);
    const info = await storage().put(bucket, 'folder/one.bin', body, { content_type: 'application/x-test' });
    const stored = await storage().get(bucket, 'folder/one.bin');
    expect(await readAll(stored.body)).toEqual(body);
    expect(stored.info).toMatchObject({ key: 'folder/one.bin', size: 300, content_type: 'application/x-test' });
    expect(stored.info.version_id).toBe(info.version_id);
    expect(Number.isNaN(Date.parse(stored.info.modified_at))).toBe(false);
    expect(stored.info.modified_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    expect([undefined, await sha256Hex(body)]).toContain(stored.info.sha256);
  });

  test('put, get and head say the same of an object', async () => {
    const bucket = await newBucket(storage());
    const put = await storage().put(bucket, 'key', bytesOf('hello'), { content_type: 'text/plain' });
    const head = await storage().head(bucket, 'key');
    const { info } = await drained(storage(), bucket, 'key');
    for (const one of [head, info])
      expect(one).toMatchObject({ key: put.key, size: 5, version_id: put.version_id, content_type: 'text/plain' });
    expect(head.modified_at).toBe(info.modified_at);
  });

  test.each([0, 1, 65_537, 262_144, 262_145])('keeps a body of %i bytes, given whole and as a stream', async (size) => {
    const bucket = await newBucket(storage());
    const body = pattern(size);
    await storage().put(bucket, 'whole', body);
    await storage().put(bucket, 'stream', streamOf(body, 10_007));
    for (const key of ['whole', 'stream']) {
      const { info, bytes } = await drained(storage(), bucket, key);
      expect(info.size).toBe(size);
      expect(await sha256Hex(bytes)).toBe(await sha256Hex(body));
    }
  });

  test('streams a body of 12 MiB in and out', async () => {
    const bucket = await newBucket(storage());
    const body = pattern(12 * 1024 * 1024 + 3);
    const info = await storage().put(bucket, 'big', streamOf(body, 999_983));
    expect(info.size).toBe(body.length);
    const { bytes } = await drained(storage(), bucket, 'big');
    expect(await sha256Hex(bytes)).toBe(await sha256Hex(body));
  });

  test('a second put replaces the first', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'key', pattern(5000), { content_type: 'text/one' });
    await storage().put(bucket, 'key', bytesOf('two'), { content_type: 'text/two' });
    expect(await textOf(storage(), bucket, 'key')).toBe('two');
    expect(await storage().head(bucket, 'key')).toMatchObject({ size: 3, content_type: 'text/two' });
    expect((await storage().list(bucket)).objects).toHaveLength(1);
  });

  test('a read that began before an overwrite gets the old body whole', async () => {
    const bucket = await newBucket(storage());
    const [old, fresh] = [pattern(1_000_000, 1), pattern(1_000_000, 2)];
    await storage().put(bucket, 'key', old);
    const reading = await storage().get(bucket, 'key');
    await storage().put(bucket, 'key', fresh);
    expect(await sha256Hex(await readAll(reading.body))).toBe(await sha256Hex(old));
    expect(await sha256Hex((await drained(storage(), bucket, 'key')).bytes)).toBe(await sha256Hex(fresh));
  });

  test('a read that is given up harms nothing', async () => {
    const bucket = await newBucket(storage());
    const body = pattern(1_000_000);
    await storage().put(bucket, 'key', body);
    await (await storage().get(bucket, 'key')).body.cancel();
    const reader = (await storage().get(bucket, 'key')).body.getReader();
    await reader.read();
    await reader.cancel();
    expect(await sha256Hex((await drained(storage(), bucket, 'key')).bytes)).toBe(await sha256Hex(body));
  });

  test('concurrent puts to one key leave one of the bodies, whole', async () => {
    const bucket = await newBucket(storage());
    const bodies = Array.from({ length: 8 }, (_, index) => pattern(300_000 + index, index));
    await Promise.all(bodies.map((body, index) => storage().put(bucket, 'key', index % 2 === 0 ? body : streamOf(body, 70_001))));
    const { info, bytes } = await drained(storage(), bucket, 'key');
    expect(info.size).toBe(bytes.length);
    expect(await Promise.all(bodies.map(sha256Hex))).toContain(await sha256Hex(bytes));
  });

  test('concurrent puts to many keys are all kept', async () => {
    const bucket = await newBucket(storage());
    const keys = Array.from({ length: 24 }, (_, index) => `key-${index}`);
    await Promise.all(keys.map((key) => storage().put(bucket, key, bytesOf(key))));
    for (const key of keys) expect(await textOf(storage(), bucket, key)).toBe(key);
    expect((await storage().list(bucket)).objects).toHaveLength(24);
  });

  test('a stream that breaks off leaves nothing', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'old', bytesOf('old'));
    for (const key of ['old', 'new']) await expectRefused(storage().put(bucket, key, brokenStream()));
    expect(await textOf(storage(), bucket, 'old')).toBe('old');
    await expectKind(storage().get(bucket, 'new'), 'no_such_key');
  });

  test('an absent key is no_such_key', async () => {
    const bucket = await newBucket(storage());
    await expectKind(storage().get(bucket, 'absent'), 'no_such_key');
    await expectKind(storage().head(bucket, 'absent'), 'no_such_key');
  });

  test('delete removes the key and is no error when repeated', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'gone', bytesOf('x'));
    await storage().put(bucket, 'kept', bytesOf('y'));
    for (let time = 0; time < 2; time += 1) await storage().delete(bucket, 'gone');
    await expectKind(storage().head(bucket, 'gone'), 'no_such_key');
    expect((await storage().list(bucket)).objects.map(({ key }) => key)).toEqual(['kept']);
    await storage().put(bucket, 'gone', bytesOf('again'));
    expect(await textOf(storage(), bucket, 'gone')).toBe('again');
  });
}

function conditionTests(storage: Get): void {
  test('if_absent stores a new key and leaves an existing one', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'key', bytesOf('first'), { if_absent: true });
    await expectKind(storage().put(bucket, 'key', bytesOf('second'), { if_absent: true }), 'already_exists');
    await expectKind(storage().put(bucket, 'key', streamOf(bytesOf('third')), { if_absent: true }), 'already_exists');
    expect(await textOf(storage(), bucket, 'key')).toBe('first');
    await storage().delete(bucket, 'key');
    await storage().put(bucket, 'key', bytesOf('fourth'), { if_absent: true });
    expect(await textOf(storage(), bucket, 'key')).toBe('fourth');
  });

  test('of many if_absent puts at once exactly one is stored', async () => {
    const bucket = await newBucket(storage());
    const texts = Array.from({ length: 8 }, (_, index) => `writer ${index}`);
    const results = await Promise.allSettled(texts.map((text) => storage().put(bucket, 'key', bytesOf(text), { if_absent: true })));
    const won = texts.filter((_, index) => results[index]?.status === 'fulfilled');
    expect(won).toHaveLength(1);
    expect(await textOf(storage(), bucket, 'key')).toBe(won[0]);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ kind: 'already_exists' });
  });

  test('a right checksum is accepted', async () => {
    const bucket = await newBucket(storage());
    const body = pattern(400_000);
    await storage().put(bucket, 'whole', body, { sha256: await sha256Hex(body) });
    await storage().put(bucket, 'stream', streamOf(body), { sha256: await sha256Hex(body) });
    expect((await storage().list(bucket)).objects).toHaveLength(2);
  });

  test('a body that differs from its checksum is refused and nothing changes', async () => {
    const bucket = await newBucket(storage());
    const sha256 = await sha256Hex(bytesOf('meant'));
    await storage().put(bucket, 'old', bytesOf('old'));
    for (const key of ['old', 'new']) {
      await expectKind(storage().put(bucket, key, bytesOf('arrived'), { sha256 }), 'checksum_mismatch');
      await expectKind(storage().put(bucket, key, streamOf(bytesOf('arrived')), { sha256 }), 'checksum_mismatch');
    }
    expect(await textOf(storage(), bucket, 'old')).toBe('old');
    await expectKind(storage().head(bucket, 'new'), 'no_such_key');
  });
}

function rangeTests(storage: Get): void {
  const body = pattern(3 * 1024 * 1024);
  const ranges: readonly [start: number, end: number | undefined][] = [
    [0, 0],
    [0, 99],
    [100, 199],
    [262_140, 262_147],
    [1_000_000, 2_000_000],
    [body.length - 1, body.length - 1],
    [body.length - 10, undefined],
    [0, undefined],
    [body.length - 10, body.length + 1000],
  ];

  test('gives the bytes from start to end, both included', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'key', body);
    for (const [start, end] of ranges) {
      const { info, body: part } = await storage().get(bucket, 'key', { range: end === undefined ? { start } : { start, end } });
      const expected = body.subarray(start, end === undefined ? undefined : end + 1);
      expect(await sha256Hex(await readAll(part)), `${start}-${end}`).toBe(await sha256Hex(expected));
      expect(info.size).toBe(body.length);
    }
  });

  test('a range behind the end is not satisfiable', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'ten', pattern(10));
    await storage().put(bucket, 'empty', pattern(0));
    await expectKind(storage().get(bucket, 'ten', { range: { start: 10 } }), 'range_not_satisfiable');
    await expectKind(storage().get(bucket, 'ten', { range: { start: 20, end: 30 } }), 'range_not_satisfiable');
    await expectKind(storage().get(bucket, 'empty', { range: { start: 0, end: 5 } }), 'range_not_satisfiable');
    await expectKind(storage().get(bucket, 'absent', { range: { start: 0 } }), 'no_such_key');
  });
}

/** Every S3 server takes these. */
const ORDINARY_KEYS = [
  'a',
  'A',
  'dir/a',
  'dir/A',
  'deep/er/and/deeper/still.txt',
  'with space',
  '100%/&?#=+;:@$,!',
  '%2e%2e/%2Fencoded',
  "quote'(x)*~",
  'dots.in..the.name',
  'trailing.',
  '.hidden',
  'CON',
  'nul.txt',
  'aux/com1',
  'ünïcödé/日本語/🙂',
  `long/${'s'.repeat(200)}/${'t'.repeat(200)}/${'u'.repeat(200)}/${'v'.repeat(200)}/${'w'.repeat(200)}/x`,
];

/** Some servers refuse these. None may store them under another name. */
const ODD_KEYS = [
  '/leading',
  'trailing/',
  'double//slash',
  './dot',
  '..',
  '../../escape',
  'inner/../up',
  'inner/./here',
  'back\\slash',
  '..\\..\\escape',
  ' space around ',
  'line\nbreak',
  'control\u0001',
  'x'.repeat(1024),
];

function keyTests(storage: Get): void {
  test('keeps keys of every ordinary kind apart', async () => {
    const bucket = await newBucket(storage());
    for (const key of ORDINARY_KEYS) await storage().put(bucket, key, bytesOf(`body of ${key}`));
    for (const key of ORDINARY_KEYS) expect(await textOf(storage(), bucket, key)).toBe(`body of ${key}`);
    expect((await storage().list(bucket)).objects.map(({ key }) => key)).toEqual([...ORDINARY_KEYS].sort(byBytes));
    for (const key of ORDINARY_KEYS) await storage().delete(bucket, key);
    expect((await storage().list(bucket)).objects).toEqual([]);
  });

  test('stores an odd key under exactly that name or refuses it', async () => {
    const bucket = await newBucket(storage());
    const stored: string[] = [];
    for (const key of ODD_KEYS) {
      const outcome = await storage()
        .put(bucket, key, bytesOf(key))
        .catch((error: unknown) => error);
      if (outcome instanceof StorageError) expect(outcome.kind, key).toBe('bad_name');
      else stored.push(key);
    }
    for (const key of stored) expect(await textOf(storage(), bucket, key)).toBe(key);
    expect((await storage().list(bucket)).objects.map(({ key }) => key)).toEqual(stored.sort(byBytes));
  });

  test.each([
    ['an empty key', ''],
    ['1025 bytes', 'x'.repeat(1025)],
    ['1026 bytes in 513 characters', 'é'.repeat(513)],
    ['half a surrogate pair', 'bad\ud800'],
  ])('refuses %s', async (_, key) => {
    const bucket = await newBucket(storage());
    await expectKind(storage().put(bucket, key, bytesOf('x')), 'bad_name');
    await expectKind(storage().get(bucket, key), 'bad_name');
    await expectKind(storage().head(bucket, key), 'bad_name');
    await expectKind(storage().delete(bucket, key), 'bad_name');
    expect((await storage().list(bucket)).objects).toEqual([]);
  });
}

function listTests(storage: Get): void {
  const fill = async (keys: readonly string[]) => {
    const bucket = await newBucket(storage());
    await Promise.all(keys.map((key) => storage().put(bucket, key, bytesOf(key))));
    return bucket;
  };
  const keysOf = async (bucket: string, options: Parameters<ObjectStorage['list']>[1]) =>
    (await storage().list(bucket, options)).objects.map(({ key }) => key);

  test('an empty bucket has an empty list without a next page', async () => {
    expect(await storage().list(await newBucket(storage()))).toEqual({ objects: [] });
  });

  test('orders by the UTF-8 bytes of the key', async () => {
    // In UTF-16 order the last two would change places.
    const keys = ['B', 'a-', 'a/b', 'a0', 'b', 'z', 'é', '\uffee', '🙂'];
    const bucket = await fill([...keys].reverse());
    expect(await keysOf(bucket, {})).toEqual(keys);
  });

  test('says size and time of each', async () => {
    const bucket = await fill(['abc']);
    const [object] = (await storage().list(bucket)).objects;
    const head = await storage().head(bucket, 'abc');
    expect(object).toMatchObject({ key: 'abc', size: 3 });
    expect(Math.trunc(Date.parse(object?.modified_at ?? '') / 1000)).toBe(Math.trunc(Date.parse(head.modified_at) / 1000));
  });

  test('takes a prefix as it is written', async () => {
    const bucket = await fill(['log/1', 'log/2', 'log_1', 'lo', 'logs', 'Log/3', '%/a', '%b', '_c']);
    expect(await keysOf(bucket, { prefix: 'log/' })).toEqual(['log/1', 'log/2']);
    expect(await keysOf(bucket, { prefix: 'log' })).toEqual(['log/1', 'log/2', 'log_1', 'logs']);
    expect(await keysOf(bucket, { prefix: '%' })).toEqual(['%/a', '%b']);
    expect(await keysOf(bucket, { prefix: '_' })).toEqual(['_c']);
    expect(await keysOf(bucket, { prefix: 'absent' })).toEqual([]);
  });

  test('a key that another and a slash begin is kept, and listed where the storage can', async () => {
    const bucket = await fill(['log', 'log/1']);
    for (const key of ['log', 'log/1']) expect(await textOf(storage(), bucket, key)).toBe(key);
    const listed = storage().capabilities.nested_keys;
    expect(await keysOf(bucket, {})).toEqual(listed ? ['log', 'log/1'] : expect.arrayContaining(['log']));
    if (listed) expect(await keysOf(bucket, { prefix: 'log/' })).toEqual(['log/1']);
  });

  test('goes on after a key, whether it exists or not', async () => {
    const bucket = await fill(['a', 'b', 'c/1', 'c/2', 'd']);
    expect(await keysOf(bucket, { after: 'b' })).toEqual(['c/1', 'c/2', 'd']);
    expect(await keysOf(bucket, { after: 'bb' })).toEqual(['c/1', 'c/2', 'd']);
    expect(await keysOf(bucket, { after: 'd' })).toEqual([]);
    expect(await keysOf(bucket, { prefix: 'c/', after: 'a' })).toEqual(['c/1', 'c/2']);
    expect(await keysOf(bucket, { prefix: 'c/', after: 'c/1' })).toEqual(['c/2']);
    expect(await keysOf(bucket, { prefix: 'c/', after: 'd' })).toEqual([]);
  });

  test('pages give every key once, and the last has no next', async () => {
    const keys = Array.from({ length: 10 }, (_, index) => `p/${index}`);
    const bucket = await fill([...keys, 'other']);
    for (const limit of [1, 3, 5, 10, 1000]) {
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await storage().list(bucket, { prefix: 'p/', limit, ...(after === undefined ? {} : { after }) });
        expect(page.objects.length).toBeLessThanOrEqual(limit);
        seen.push(...page.objects.map(({ key }) => key));
        after = page.next;
      } while (after !== undefined);
      expect(seen, `limit ${limit}`).toEqual(keys);
    }
  });
}

function versionTests(storage: Get): void {
  const versionsOf = async (bucket: string, prefix = 'key') => await storage().listVersions(bucket, { prefix });

  test('versioning is turned on, or refused where it does not exist', async () => {
    const bucket = await newBucket(storage());
    const { versioning } = storage().capabilities;
    for (let time = 0; time < 2; time += 1) {
      if (versioning) await storage().ensureVersioning(bucket, true);
      else await expectRefused(storage().ensureVersioning(bucket, true));
    }
    expect((await storage().readBuckets([bucket]))[0]?.versioning).toBe(versioning ? 'enabled' : 'off');
  });

  test('a bucket without versioning has one version per key', async () => {
    const bucket = await newBucket(storage());
    await storage().put(bucket, 'key', bytesOf('one'));
    await storage().put(bucket, 'key', bytesOf('two'));
    const versions = await versionsOf(bucket);
    expect(versions).toHaveLength(1);
    expect(versions[0]).toMatchObject({ key: 'key', size: 3, latest: true, delete_marker: false });
    await storage().delete(bucket, 'key');
    expect(await versionsOf(bucket)).toEqual([]);
  });

  test('every put is kept, newest first', async () => {
    const bucket = await versioned(storage());
    await storage().put(bucket, 'other', bytesOf('other'));
    const infos: ObjectInfo[] = [];
    for (const text of ['one', 'two', 'three']) infos.push(await storage().put(bucket, 'key', bytesOf(text)));
    const ids = infos.map(({ version_id }) => version_id);
    expect(new Set(ids).size).toBe(3);
    const versions = await versionsOf(bucket);
    expect(versions.map(({ version_id }) => version_id)).toEqual([...ids].reverse());
    expect(versions.map(({ latest }) => latest)).toEqual([true, false, false]);
    for (const [index, text] of ['one', 'two', 'three'].entries()) expect(await textOf(storage(), bucket, 'key', ids[index])).toBe(text);
    expect(await textOf(storage(), bucket, 'key')).toBe('three');
    expect((await storage().head(bucket, 'key', { version_id: ids[0] ?? '' })).size).toBe(3);
    expect((await storage().list(bucket)).objects.map(({ key }) => key)).toEqual(['key', 'other']);
  });

  test('a version is read in ranges too', async () => {
    const bucket = await versioned(storage());
    const { version_id } = await storage().put(bucket, 'key', bytesOf('first body'));
    await storage().put(bucket, 'key', bytesOf('x'));
    const { body } = await storage().get(bucket, 'key', { version_id, range: { start: 6, end: 8 } });
    expect(new TextDecoder().decode(await readAll(body))).toBe('bod');
  });

  test('what was stored before versioning stays as a version', async () => {
    const bucket = await newBucket(storage());
    const before = await storage().put(bucket, 'key', bytesOf('before'));
    await turnOn(storage(), bucket);
    await storage().put(bucket, 'key', bytesOf('after'));
    expect(await versionsOf(bucket)).toHaveLength(2);
    expect(await textOf(storage(), bucket, 'key', before.version_id)).toBe('before');
  });

  test('delete hides the key behind a marker; removing the marker brings it back', async () => {
    const bucket = await versioned(storage());
    const { version_id } = await storage().put(bucket, 'key', bytesOf('kept'));
    await storage().delete(bucket, 'key');
    await expectKind(storage().get(bucket, 'key'), 'no_such_key');
    await expectKind(storage().head(bucket, 'key'), 'no_such_key');
    expect((await storage().list(bucket)).objects).toEqual([]);
    const [marker, kept] = await versionsOf(bucket);
    expect(marker).toMatchObject({ delete_marker: true, latest: true });
    expect(kept).toMatchObject({ version_id, delete_marker: false, latest: false });
    expect(await textOf(storage(), bucket, 'key', version_id)).toBe('kept');
    const markerId = marker?.version_id ?? '';
    await expectKind(storage().get(bucket, 'key', { version_id: markerId }), 'no_such_key');
    await storage().delete(bucket, 'key', { version_id: markerId });
    expect(await textOf(storage(), bucket, 'key')).toBe('kept');
  });

  test('a key behind a delete marker is absent to if_absent', async () => {
    const bucket = await versioned(storage());
    await storage().put(bucket, 'key', bytesOf('old'));
    await storage().delete(bucket, 'key');
    await storage().put(bucket, 'key', bytesOf('new'), { if_absent: true });
    expect(await textOf(storage(), bucket, 'key')).toBe('new');
    expect(await versionsOf(bucket)).toHaveLength(3);
  });

  test('of many if_absent puts at once exactly one is stored, and one version', async () => {
    const bucket = await versioned(storage());
    const texts = Array.from({ length: 8 }, (_, index) => `writer ${index}`);
    const results = await Promise.allSettled(texts.map((text) => storage().put(bucket, 'key', bytesOf(text), { if_absent: true })));
    const won = texts.filter((_, index) => results[index]?.status === 'fulfilled');
    expect(won).toHaveLength(1);
    expect(await textOf(storage(), bucket, 'key')).toBe(won[0]);
    expect(await versionsOf(bucket)).toHaveLength(1);
  });

  test('a deleted version is gone for good and the next newest takes its place', async () => {
    const bucket = await versioned(storage());
    const [one, two, three] = [
      await storage().put(bucket, 'key', bytesOf('one')),
      await storage().put(bucket, 'key', bytesOf('two')),
      await storage().put(bucket, 'key', bytesOf('three')),
    ];
    for (let time = 0; time < 2; time += 1) await storage().delete(bucket, 'key', { version_id: two.version_id });
    await expectKind(storage().get(bucket, 'key', { version_id: two.version_id }), 'no_such_key');
    expect(await textOf(storage(), bucket, 'key')).toBe('three');
    await storage().delete(bucket, 'key', { version_id: three.version_id });
    expect(await textOf(storage(), bucket, 'key')).toBe('one');
    expect(await versionsOf(bucket)).toMatchObject([{ version_id: one.version_id, latest: true, delete_marker: false }]);
  });

  test('lists versions by key, those of the prefix alone', async () => {
    const bucket = await versioned(storage());
    for (const key of ['b', 'a/2', 'a/1', 'a/1']) await storage().put(bucket, key, bytesOf(key));
    expect((await storage().listVersions(bucket)).map(({ key }) => key)).toEqual(['a/1', 'a/1', 'a/2', 'b']);
    expect((await versionsOf(bucket, 'a/')).map(({ key }) => key)).toEqual(['a/1', 'a/1', 'a/2']);
    expect(await versionsOf(bucket, 'c')).toEqual([]);
  });
}

function suspendedTests(storage: Get): void {
  const suspended = async () => {
    const bucket = await versioned(storage());
    const kept = await storage().put(bucket, 'key', bytesOf('kept'));
    await storage().ensureVersioning(bucket, false);
    return { bucket, kept };
  };

  test('keeps the versions there are, and can be turned on again', async () => {
    const { bucket, kept } = await suspended();
    expect((await storage().readBuckets([bucket]))[0]?.versioning).toBe('suspended');
    expect(await textOf(storage(), bucket, 'key')).toBe('kept');
    await storage().ensureVersioning(bucket, true);
    await storage().put(bucket, 'key', bytesOf('next'));
    expect(await textOf(storage(), bucket, 'key', kept.version_id)).toBe('kept');
  });

  test('puts replace one another and leave the kept versions', async () => {
    const { bucket, kept } = await suspended();
    for (const text of ['one', 'two']) await storage().put(bucket, 'key', bytesOf(text));
    const versions = await storage().listVersions(bucket, { prefix: 'key' });
    expect(versions.map(({ latest, size }) => [latest, size])).toEqual([
      [true, 3],
      [false, 4],
    ]);
    expect(await textOf(storage(), bucket, 'key')).toBe('two');
    expect(await textOf(storage(), bucket, 'key', kept.version_id)).toBe('kept');
  });

  test('delete puts a marker in place of the unversioned object', async () => {
    const { bucket, kept } = await suspended();
    await storage().put(bucket, 'key', bytesOf('unversioned'));
    await storage().delete(bucket, 'key');
    await expectKind(storage().get(bucket, 'key'), 'no_such_key');
    const versions = await storage().listVersions(bucket, { prefix: 'key' });
    expect(versions.map(({ delete_marker }) => delete_marker)).toEqual([true, false]);
    expect(await textOf(storage(), bucket, 'key', kept.version_id)).toBe('kept');
    await storage().put(bucket, 'key', bytesOf('again'));
    expect(await textOf(storage(), bucket, 'key')).toBe('again');
    expect(await storage().listVersions(bucket, { prefix: 'key' })).toHaveLength(2);
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

async function versioned(storage: ObjectStorage): Promise<string> {
  const bucket = await newBucket(storage);
  await turnOn(storage, bucket);
  return bucket;
}

async function turnOn(storage: ObjectStorage, bucket: string): Promise<void> {
  await storage.ensureVersioning(bucket, true);
}

function rule(id: string, prefix = '', expireDays = 1): LifecycleRule {
  return { id, prefix, expire_days: expireDays };
}

function byId(state: { readonly lifecycle: readonly LifecycleRule[] } | undefined): LifecycleRule[] {
  return [...(state?.lifecycle ?? [])].sort((one, other) => (one.id < other.id ? -1 : 1));
}

async function expectKind(call: Promise<unknown>, kind: StorageErrorKind): Promise<void> {
  const error = await expectRefused(call);
  expect(error.kind, error.message).toBe(kind);
}

async function expectRefused(call: Promise<unknown>): Promise<StorageError> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof StorageError)) throw new Error('expected a StorageError', { cause: outcome });
  expect(outcome.message).not.toBe('');
  return outcome;
}

async function drained(storage: ObjectStorage, bucket: string, key: string, versionId?: string) {
  const { info, body } = await storage.get(bucket, key, versionId === undefined ? {} : { version_id: versionId });
  return { info, bytes: await readAll(body) };
}

async function textOf(storage: ObjectStorage, bucket: string, key: string, versionId?: string): Promise<string> {
  return new TextDecoder().decode((await drained(storage, bucket, key, versionId)).bytes);
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Bytes that differ by position and by seed, so that a shifted or mixed body is noticed. */
function pattern(size: number, seed = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index += 1) bytes[index] = (index * 31 + (index >>> 8) * 7 + (index >>> 16) + seed * 13) & 0xff;
  return bytes;
}

function streamOf(bytes: Uint8Array<ArrayBuffer>, chunk = 65_536): ReadableStream<Uint8Array> {
  let start = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (start < bytes.length) controller.enqueue(bytes.slice(start, start + chunk));
      start += chunk;
      if (start >= bytes.length) controller.close();
    },
  });
}

function brokenStream(): ReadableStream<Uint8Array> {
  let pulls = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      pulls += 1;
      if (pulls === 4) controller.error(new Error('the source broke off'));
      else controller.enqueue(pattern(100_000, pulls));
    },
  });
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream as BodyInit).arrayBuffer());
}

async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function byBytes(one: string, other: string): number {
  const [a, b] = [bytesOf(one), bytesOf(other)];
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
