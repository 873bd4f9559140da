import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRouter, headersMatch } from '../../runtime-node/adapters/bus-local/router.ts';

/** The rule itself, word by word, with no regard to cost: what the trie is compared with. */
function naiveMatch(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === '#') return naiveMatch(rest, words) || (words.length > 0 && naiveMatch(pattern, words.slice(1)));
  return words.length > 0 && (first === '*' || first === words[0]) && naiveMatch(rest, words.slice(1));
}

const split = (key: string) => (key === '' ? [] : key.split('.'));
const key = fc.array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 6 }).map((words) => words.join('.'));
const pattern = fc.array(fc.constantFrom('a', 'b', '', '*', '#', '#', 'a*'), { maxLength: 6 }).map((words) => words.join('.'));
const routesOf = (patterns: readonly string[]) => patterns.map((one) => ({ key: one, arguments: {}, target: one }));

describe('topic router', () => {
  it('agrees with the naive rule for any patterns and keys', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 12 }), key, (patterns, published) => {
        const matching = patterns.filter((one) => naiveMatch(split(one), split(published)));
        const routed = createRouter('topic', routesOf(patterns))(published, {});
        expect([...routed].sort()).toEqual([...new Set(matching)].sort());
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['#', ''],
    ['', ''],
    ['#.#', ''],
    ['*', 'a'],
    ['*.*', '.'],
    ['a.', 'a.'],
    ['#.*', 'a'],
    ['*.#', 'a.b.c'],
  ])('"%s" matches "%s"', (one, published) => {
    expect(createRouter('topic', routesOf([one]))(published, {}).size).toBe(1);
  });

  it.each([
    ['*', ''],
    ['*', 'a.b'],
    ['', '.'],
    ['a', 'a.'],
    ['*.#', ''],
    ['a#', 'ab'],
    ['a.#.b', 'a'],
  ])('"%s" does not match "%s"', (one, published) => {
    expect(createRouter('topic', routesOf([one]))(published, {}).size).toBe(0);
  });

  it('stays fast for patterns that a backtracking match would drown in', () => {
    const hard = Array.from({ length: 60 }, () => '#').join('.');
    const routed = createRouter('topic', routesOf([`${hard}.x`]))(Array.from({ length: 100 }, () => 'a').join('.'), {});
    expect(routed.size).toBe(0);
  });
});

describe('headers router', () => {
  it.each([
    [{ 'x-match': 'all', a: 1, b: 'x' }, { a: 1, b: 'x', c: true }, true],
    [{ 'x-match': 'all', a: 1, b: 'x' }, { a: 1 }, false],
    [{ a: 1, b: 'x' }, { a: 1, b: 'y' }, false],
    [{ 'x-match': 'any', a: 1, b: 'x' }, { b: 'x' }, true],
    [{ 'x-match': 'any', a: 1 }, { a: '1' }, false],
    [{ 'x-match': 'any' }, { a: 1 }, false],
    [{ 'x-match': 'all' }, {}, true],
    [{}, { a: 1 }, true],
    [{ 'x-match': 'all', 'x-a': 1 }, {}, true],
    [{ 'x-match': 'any', 'x-a': 1 }, { 'x-a': 1 }, false],
    [{ 'x-match': 'all-with-x', 'x-a': 1 }, {}, false],
    [{ 'x-match': 'all-with-x', 'x-a': 1 }, { 'x-a': 1 }, true],
    [{ 'x-match': 'any-with-x', 'x-a': 1, b: 2 }, { 'x-a': 1 }, true],
    [{ a: 'x' }, Object.create({ a: 'x' }), false],
  ])('%j with %j: %s', (wanted, headers, matches) => {
    expect(headersMatch(wanted, headers)).toBe(matches);
  });
});

describe('direct and fanout routers', () => {
  it('lead to each target once', () => {
    const routes = [
      { key: 'k', arguments: {}, target: 'one' },
      { key: 'k', arguments: { other: 1 }, target: 'one' },
      { key: 'l', arguments: {}, target: 'two' },
    ];
    expect([...createRouter('direct', routes)('k', {})]).toEqual(['one']);
    expect([...createRouter('direct', routes)('none', {})]).toEqual([]);
    expect([...createRouter('fanout', routes)('none', {})]).toEqual(['one', 'two']);
  });
});
