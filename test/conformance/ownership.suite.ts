import { describe, expect, test } from 'vitest';
import type { Made } from '../../shared/contract/made.ts';
import type { BackendName, Ownership } from '../../shared/ports/ownership.ts';

const S3: BackendName = { component: 'storage', identity: 'http://192.0.2.9:9000' };
const BUCKET = { kind: 'bucket', name: 'captures' } satisfies Made;
const RULE = { kind: 'lifecycle_rule', bucket: 'captures', rule: { id: 'old', prefix: 'raw/', expire_days: 30 } } satisfies Made;
const BINDING = { kind: 'binding', binding: { exchange: 'x', queue: 'q', key: 'a', arguments: { b: 1, a: 2 } } } satisfies Made;

/** What every `Ownership` does. `open` gives an empty one. */
export function ownershipSuite(name: string, open: () => Promise<Ownership>): void {
  describe(`ownership: ${name}`, () => {
    const using = async (work: (ownership: Ownership) => Promise<void>) => {
      const ownership = await open();
      try {
        await work(ownership);
      } finally {
        await ownership.close();
      }
    };

    test('lists what was noted, in order and whole', () =>
      using(async (ownership) => {
        await ownership.note(S3, [BUCKET, RULE]);
        await ownership.note(S3, [BINDING]);
        expect(await ownership.list(S3)).toEqual([BUCKET, RULE, BINDING]);
      }));

    test('what was made on one backend says nothing about another, nor one component about another', () =>
      using(async (ownership) => {
        await ownership.note(S3, [BUCKET]);
        expect(await ownership.list({ ...S3, identity: 'http://192.0.2.9:9001' })).toEqual([]);
        expect(await ownership.list({ ...S3, component: 'vector' })).toEqual([]);
      }));

    test('noted again it stands as it was noted last, once', () =>
      using(async (ownership) => {
        const longer: Made = { ...RULE, rule: { ...RULE.rule, expire_days: 60 } };
        await ownership.note(S3, [RULE, BUCKET]);
        await ownership.note(S3, [longer]);
        expect(await ownership.list(S3)).toEqual([longer, BUCKET]);
      }));

    test('what is renewed must have been noted', () =>
      using(async (ownership) => {
        const longer: Made = { ...RULE, rule: { ...RULE.rule, expire_days: 60 } };
        await ownership.note(S3, [RULE]);
        await ownership.renew(S3, [
          { from: RULE, to: longer },
          { from: BUCKET, to: BUCKET },
        ]);
        expect(await ownership.list(S3)).toEqual([longer]);
      }));

    test('what somebody else has changed meanwhile is not renewed', () =>
      using(async (ownership) => {
        const [theirs, longer] = [7, 60].map((expire_days): Made => ({ ...RULE, rule: { ...RULE.rule, expire_days } }));
        if (theirs === undefined || longer === undefined) throw new Error('two rules');
        await ownership.note(S3, [RULE]);
        await ownership.renew(S3, [{ from: theirs, to: longer }]);
        expect(await ownership.list(S3)).toEqual([RULE]);
      }));

    test('the arguments of a binding have no order', () =>
      using(async (ownership) => {
        await ownership.note(S3, [BINDING]);
        await ownership.forget(S3, [{ kind: 'binding', binding: { ...BINDING.binding, arguments: { a: 2, b: 1 } } }]);
        expect(await ownership.list(S3)).toEqual([]);
      }));

    test('what is forgotten is gone, and forgetting it twice is no error', () =>
      using(async (ownership) => {
        await ownership.note(S3, [BUCKET, RULE]);
        await ownership.forget(S3, [BUCKET]);
        await ownership.forget(S3, [BUCKET]);
        await ownership.forget(S3, []);
        expect(await ownership.list(S3)).toEqual([RULE]);
      }));
  });
}
