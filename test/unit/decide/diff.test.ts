import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../../shared/contract/canonical.ts';
import { ClusterPlan } from '../../../shared/contract/plan.ts';
import { EnvironmentProfile } from '../../../shared/contract/profile.ts';
import { diffDocuments, unknownKeys } from '../../../shared/decide/diff.ts';

const service = (name: string, more: Record<string, unknown> = {}) => ({ name, version: '1', command: ['run', name], ...more });

describe('differences', () => {
  test('documents that say the same have none, whatever the order of keys', () => {
    expect(diffDocuments({ a: 1, b: [{ name: 'x', c: null }] }, { b: [{ c: null, name: 'x' }], a: 1 })).toEqual([]);
  });

  test('an insert at the front is one change', () => {
    const before = { services: [service('a'), service('b')] };
    expect(diffDocuments(before, { services: [service('new'), ...before.services] })).toEqual([
      { pointer: '/services/0', after: service('new') },
    ]);
  });

  test('a removal points to where the item stood, a change to where it stands', () => {
    const before = { services: [service('gone'), service('stays', { user: 'api' }), service('moves')] };
    const after = { services: [service('stays', { version: '2' }), service('moves')] };
    expect(diffDocuments(before, after)).toEqual([
      { pointer: '/services/0', before: service('gone') },
      { pointer: '/services/1/user', before: 'api' },
      { pointer: '/services/0/version', before: '1', after: '2' },
    ]);
  });

  test('a command line is one value', () => {
    expect(diffDocuments({ command: ['a', 'b'] }, { command: ['a', 'c'] })).toEqual([
      { pointer: '/command', before: ['a', 'b'], after: ['a', 'c'] },
    ]);
  });

  test('rules are matched by id, bindings as a whole', () => {
    const rule = (id: string, expire_days: number) => ({ id, expire_days });
    expect(diffDocuments({ lifecycle: [rule('x', 1), rule('y', 1)] }, { lifecycle: [rule('z', 1), rule('x', 1), rule('y', 2)] })).toEqual([
      { pointer: '/lifecycle/0', after: rule('z', 1) },
      { pointer: '/lifecycle/2/expire_days', before: 1, after: 2 },
    ]);
    const binding = (queue: string, key: string) => ({ exchange: 'e', queue, key });
    expect(
      diffDocuments({ bindings: [binding('q', 'a'), binding('q', 'b')] }, { bindings: [binding('q', 'b'), binding('r', 'a')] }),
    ).toEqual([
      { pointer: '/bindings/0', before: binding('q', 'a') },
      { pointer: '/bindings/1', after: binding('r', 'a') },
    ]);
  });

  test('another order is one change: services start in the order of the list', () => {
    expect(diffDocuments({ services: [service('a'), service('b')] }, { services: [service('b'), service('a')] })).toEqual([
      { pointer: '/services', before: ['a', 'b'], after: ['b', 'a'] },
    ]);
  });

  test('two items of one name make the list one value', () => {
    const [before, after] = [[service('a'), service('a')], [service('a')]];
    expect(diffDocuments({ services: before }, { services: after })).toEqual([{ pointer: '/services', before, after }]);
  });

  test('a pointer escapes / and ~', () => {
    expect(diffDocuments({}, { tags: { 'a/b~c': '1' } })).toEqual([{ pointer: '/tags', after: { 'a/b~c': '1' } }]);
    expect(diffDocuments({ tags: {} }, { tags: { 'a/b~c': '1' } })).toEqual([{ pointer: '/tags/a~1b~0c', after: '1' }]);
  });

  const json = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: 'small' }, fc.constantFrom(null, true, 0, 1, 'a'), tie('list'), tie('named'), tie('fields')),
    list: fc.array(tie('value'), { maxLength: 3 }),
    named: fc.array(fc.record({ name: fc.constantFrom('a', 'b', 'c'), rest: tie('value') }), { maxLength: 4 }),
    fields: fc.dictionary(fc.constantFrom('x', 'y', 'services', '__proto__', '/'), tie('value'), { maxKeys: 3 }),
  })).value;

  test('there are none exactly when the documents are equal', () => {
    fc.assert(
      fc.property(json, json, (before, after) => {
        expect(diffDocuments(before, before)).toEqual([]);
        expect(diffDocuments(before, after).length === 0).toBe(canonicalJson(before) === canonicalJson(after));
      }),
      { numRuns: 500 },
    );
  });

  test('each pointer leads to the value that the change names', () => {
    fc.assert(
      fc.property(json, json, (before, after) => {
        for (const change of diffDocuments(before, after)) {
          if (!('after' in change)) expect(resolve(before, change.pointer)).toEqual(change.before);
          else if (!isOrder(change)) expect(resolve(after, change.pointer)).toEqual(change.after);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('unknown keys', () => {
  test('are found at every depth, with their pointers', () => {
    const input = {
      services: [service('a'), service('b', { imaeg: 'x', placement: { cuont: 1 }, env: { ANY: 'x' } })],
      tll_seconds: 3,
    };
    expect(unknownKeys(input, ClusterPlan.parse(input))).toEqual(['/services/1/imaeg', '/services/1/placement/cuont', '/tll_seconds']);
  });

  test('free keys (tags, arguments) and defaults are not unknown', () => {
    const input = {
      storage: { buckets: [{ name: 'captures', tags: { team: 'vision' } }] },
      broker: { queues: [{ name: 'q', arguments: { 'x-max-length': 3 } }] },
    };
    expect(unknownKeys(input, EnvironmentProfile.parse(input))).toEqual([]);
  });

  test('a key named like an inherited property is unknown too', () => {
    const input = { services: [], toString: 1 };
    expect(unknownKeys(input, ClusterPlan.parse(input))).toEqual(['/toString']);
    const proto = JSON.parse('{"services": [], "__proto__": {"x": 1}}');
    expect(unknownKeys(proto, ClusterPlan.parse(proto))).toEqual(['/__proto__']);
  });
});

const isOrder = (change: { before?: unknown; after?: unknown }) =>
  Array.isArray(change.before) && Array.isArray(change.after) && change.before.every((one) => typeof one === 'string');

function resolve(document: unknown, pointer: string): unknown {
  let at = document as Record<string, unknown>;
  for (const part of pointer.split('/').slice(1)) at = at[part.replaceAll('~1', '/').replaceAll('~0', '~')] as Record<string, unknown>;
  return at;
}
