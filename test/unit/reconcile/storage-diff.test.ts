import { describe, expect, test } from 'vitest';
import type { BucketState, StorageCapabilities } from '../../../shared/ports/object-storage.ts';
import { diffStorage, shortensLife } from '../../../shared/reconcile/storage-diff.ts';
import { desiredProfile } from '../../support/memory-environment.ts';

const ALL: StorageCapabilities = { versioning: true, lifecycle: true, tags: true, nested_keys: true, shared: false, records_maker: true };

async function diff(buckets: readonly unknown[], actual: readonly Partial<BucketState>[] = [], capabilities = ALL) {
  const { body } = await desiredProfile({ storage: { buckets } });
  const states = actual.map((one): BucketState => ({ name: 'captures', versioning: 'off', lifecycle: [], tags: {}, ...one }));
  return diffStorage(body.storage, states, capabilities);
}

const kinds = (actions: readonly { kind: string; safety: string }[]) => actions.map(({ kind, safety }) => `${safety} ${kind}`);

describe('storage diff', () => {
  test('makes what is missing: bucket, versioning, lifecycle, tags, each for all buckets before the next', async () => {
    const rule = { id: 'expire', prefix: 'raw/', expire_days: 30 };
    const actions = await diff([
      { name: 'one', versioning: true, lifecycle: [rule], tags: { team: 'vision' } },
      { name: 'two', versioning: true, tags: { team: 'audio' } },
    ]);
    expect(actions.map(({ kind, subject }) => `${kind}: ${subject}`)).toEqual([
      'ensure-bucket: bucket one',
      'ensure-bucket: bucket two',
      'enable-versioning: versioning of bucket one',
      'enable-versioning: versioning of bucket two',
      'add-lifecycle-rules: lifecycle of bucket one',
      'update-tags: tags of bucket one',
      'update-tags: tags of bucket two',
    ]);
    expect(actions[4]?.data).toEqual({ bucket: 'one', rules: [rule] });
  });

  test('is empty when all is there, whatever else is there', async () => {
    const rule = { id: 'expire', prefix: 'raw/', expire_days: 30 };
    const foreign = { id: 'foreign', prefix: '', expire_days: 1 };
    const actions = await diff(
      [{ name: 'captures', versioning: true, lifecycle: [rule], tags: { team: 'vision' } }],
      [{ versioning: 'enabled', lifecycle: [foreign, rule], tags: { team: 'vision', cost: '12' } }, { name: 'foreign' }],
    );
    expect(actions).toEqual([]);
  });

  test.each([undefined, { buckets: [] }])('does nothing without a desired document: %j', (desired) => {
    const actual: BucketState = { name: 'captures', versioning: 'enabled', lifecycle: [], tags: { a: 'b' } };
    expect(diffStorage(desired, [actual], ALL)).toEqual([]);
  });

  test.each([
    ['enabled', ['destroy suspend-versioning']],
    ['suspended', []],
    ['off', []],
  ] as const)('versioning false on a bucket where it is %s', async (versioning, expected) => {
    expect(kinds(await diff([{ name: 'captures', versioning: false }], [{ versioning }]))).toEqual(expected);
  });

  test('suspended versioning is enabled again; versioning that nobody names is left', async () => {
    expect(kinds(await diff([{ name: 'captures', versioning: true }], [{ versioning: 'suspended' }]))).toEqual([
      'update enable-versioning',
    ]);
    expect(await diff([{ name: 'captures' }], [{ versioning: 'enabled' }])).toEqual([]);
  });

  const before = { id: 'expire', prefix: 'raw/', expire_days: 30 };
  test.each([
    ['a longer life', { expire_days: 31 }, 'update extend-lifecycle-rules'],
    ['a narrower prefix', { prefix: 'raw/tmp/' }, 'update extend-lifecycle-rules'],
    ['a shorter life', { expire_days: 29 }, 'destroy tighten-lifecycle-rule'],
    ['a wider prefix', { prefix: 'ra' }, 'destroy tighten-lifecycle-rule'],
    ['no prefix', { prefix: '' }, 'destroy tighten-lifecycle-rule'],
    ['another prefix', { prefix: 'cooked/' }, 'destroy tighten-lifecycle-rule'],
    ['a wider prefix and a longer life', { prefix: '', expire_days: 300 }, 'destroy tighten-lifecycle-rule'],
    ['a narrower prefix and a shorter life', { prefix: 'raw/a', expire_days: 1 }, 'destroy tighten-lifecycle-rule'],
  ])('a rule of the same id with %s', async (_, change, expected) => {
    const actions = await diff([{ name: 'captures', lifecycle: [{ ...before, ...change }] }], [{ lifecycle: [before] }]);
    expect(kinds(actions)).toEqual([expected]);
  });

  test('sorts the rules of one bucket into one write for each safety', async () => {
    const actual = [before, { id: 'other', prefix: '', expire_days: 10 }];
    const lifecycle = [
      { ...before, expire_days: 60 },
      { id: 'other', prefix: '', expire_days: 5 },
      { id: 'a', expire_days: 1 },
      { id: 'b', expire_days: 1 },
    ];
    const actions = await diff([{ name: 'captures', lifecycle }], [{ lifecycle: actual }]);
    expect(kinds(actions)).toEqual(['add add-lifecycle-rules', 'update extend-lifecycle-rules', 'destroy tighten-lifecycle-rule']);
    expect(actions[0]?.data).toMatchObject({ rules: [{ id: 'a' }, { id: 'b' }] });
    expect(actions[1]).toMatchObject({ before: [before], data: { rules: [{ ...before, expire_days: 60 }] } });
    expect(actions[2]?.detail).toContain('rule other');
  });

  test('writes only the tags that differ, and shows what they were', async () => {
    const [action] = await diff(
      [{ name: 'captures', tags: { team: 'vision', cost: '12', new: 'x' } }],
      [{ tags: { team: 'audio', cost: '12', other: 'y' } }],
    );
    expect(action).toMatchObject({
      before: { team: 'audio' },
      after: { team: 'vision', new: 'x' },
      data: { tags: { team: 'vision', new: 'x' } },
    });
  });

  test('a tag named like an inherited property is a tag', async () => {
    const actions = await diff([{ name: 'captures', tags: { toString: 'x', constructor: 'y' } }], [{ tags: {} }]);
    expect(actions[0]?.data).toEqual({ bucket: 'captures', tags: { toString: 'x', constructor: 'y' } });
    expect(await diff([{ name: 'captures', tags: { toString: 'x' } }], [{ tags: { toString: 'x' } }])).toEqual([]);
  });

  test('shows what a storage cannot do, and makes the bucket all the same', async () => {
    const nothing = { versioning: false, lifecycle: false, tags: false, nested_keys: false, shared: false, records_maker: false };
    const wanted = { name: 'captures', versioning: true, lifecycle: [{ id: 'a', expire_days: 1 }], tags: { a: 'b' } };
    expect(kinds(await diff([wanted], [], nothing))).toEqual([
      'add ensure-bucket',
      'incompatible versioning-unsupported',
      'incompatible lifecycle-unsupported',
      'incompatible tags-unsupported',
    ]);
    expect(await diff([{ name: 'captures', versioning: false }], [{}], nothing)).toEqual([]);
  });

  test('adds no expiry where the versions are wanted and not kept: it would delete what it should only hide', async () => {
    const no_versions = { ...ALL, versioning: false };
    const lifecycle = [{ id: 'a', prefix: 'raw/', expire_days: 1 }];
    const actions = await diff([{ name: 'captures', versioning: true, lifecycle }], [{}], no_versions);
    expect(kinds(actions)).toEqual(['incompatible versioning-unsupported', 'incompatible lifecycle-unsupported']);
    expect(actions[1]?.detail).toContain('keeps no versions');
    expect(kinds(await diff([{ name: 'captures', lifecycle }], [{}], no_versions))).toEqual(['add add-lifecycle-rules']);
    const longer = [{ id: 'a', prefix: 'raw/', expire_days: 2 }];
    expect(kinds(await diff([{ name: 'captures', versioning: true, lifecycle: longer }], [{ lifecycle }], no_versions))).toEqual([
      'incompatible versioning-unsupported',
      'update extend-lifecycle-rules',
    ]);
  });

  test('a life is shortened when some key could go sooner', () => {
    expect(shortensLife(before, before)).toBe(false);
    expect(shortensLife({ ...before, prefix: '' }, before)).toBe(false);
    expect(shortensLife(before, { ...before, prefix: 'raw' })).toBe(true);
  });

  test('lifecycle and tags wait for the bucket, lifecycle for versioning too', async () => {
    const actions = await diff([{ name: 'captures', versioning: true, lifecycle: [{ id: 'a', expire_days: 1 }], tags: { a: 'b' } }]);
    expect(actions.map(({ needs }) => needs)).toEqual([
      [],
      ['bucket captures'],
      ['bucket captures', 'versioning of bucket captures'],
      ['bucket captures'],
    ]);
  });
});
