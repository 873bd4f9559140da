import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { headOf, merge, relate, type Side, type Version } from '../../../shared/decide/merge.ts';

/** `1:A<-` reads: generation 1 with hash A and no parent; `2:B<A`: published on A. */
const version = (text: string): Version => {
  const [, generation, hash = '', parent] = /^(\d+):(\w+)<(\w*)$/.exec(text) ?? [];
  return { generation: Number(generation), hash, ...(parent === '' ? {} : { parent }) };
};
const history = (text: string) => text.split(' ').filter(Boolean).map(version);

describe('how two histories stand to each other', () => {
  test.each([
    ['', '', { relation: 'same' }],
    ['1:A<', '', { relation: 'descends', newer: 'ours' }],
    ['', '1:A<', { relation: 'descends', newer: 'theirs' }],
    ['1:A< 2:B<A', '1:A< 2:B<A', { relation: 'same' }],
    ['1:A<', '1:A< 2:B<A', { relation: 'descends', newer: 'theirs' }],
    ['1:A< 2:B<A 3:C<B', '1:A<', { relation: 'descends', newer: 'ours' }],
    ['1:A< 2:B<A', '1:A< 2:C<A', { relation: 'diverged' }],
    ['1:A< 2:B<A', '1:A< 2:C<A 3:D<C', { relation: 'diverged' }],
    // A rollback: the same hash twice, so only generation and hash together name a version.
    ['1:A< 2:B<A', '1:A< 2:B<A 3:A<B', { relation: 'descends', newer: 'theirs' }],
    ['1:A< 2:B<A 3:A<B 4:C<A', '1:A< 2:B<A 3:A<B', { relation: 'descends', newer: 'ours' }],
    ['1:A< 2:B<A 3:A<B', '1:A< 2:C<A 3:A<C', { relation: 'same' }],
    ['1:A< 2:B<A', '1:A< 2:C<A 3:B<C', { relation: 'diverged' }],
    // A seed loses to anything published; two seeds can differ.
    ['0:S<', '1:A<', { relation: 'descends', newer: 'theirs' }],
    ['0:S< 1:A<S', '0:T<', { relation: 'descends', newer: 'ours' }],
    ['0:S<', '0:T<', { relation: 'diverged' }],
    // One side kept only its current version.
    ['1:A<', '2:B<A', { relation: 'descends', newer: 'theirs' }],
    ['1:A<', '3:C<B', { relation: 'unknown', newer: 'theirs' }],
    ['1:A<', '3:C<A', { relation: 'unknown', newer: 'theirs' }],
    // Generations with a gap, after a merge.
    ['1:A< 2:B<A', '1:A< 2:B<A 9:C<B', { relation: 'descends', newer: 'theirs' }],
  ] as const)('%j and %j', (ours, theirs, expected) => {
    expect(relate(history(ours), history(theirs))).toEqual(expected);
  });

  test('the current version is the one with the highest generation, in whatever order they come', () => {
    expect(headOf(history('3:C<B 1:A< 2:B<A'))?.generation).toBe(3);
    expect(headOf([])).toBeUndefined();
  });
});

describe('what to do about it', () => {
  test.each([
    ['1:A<', '1:A< 2:B<A', 'ours', 'adopt'],
    ['1:A< 2:B<A', '1:A<', 'theirs', 'keep'],
    ['', '1:A<', 'ours', 'adopt'],
    ['1:A<', '', 'theirs', 'keep'],
    ['', '', 'ours', 'keep'],
    ['0:S<', '0:T<', 'ours', 'keep'],
    ['0:S<', '0:T<', 'theirs', 'adopt'],
  ] as const)('%j and %j, decided by %s: %s', (ours, theirs, decider, action) => {
    expect(merge(history(ours), history(theirs), decider).action).toBe(action);
  });

  test('the decider publishes its own again above both and keeps the other as a conflict', () => {
    const [ours, theirs] = [history('1:A< 2:B<A'), history('1:A< 2:C<A 3:D<C 4:E<D')];
    expect(merge(ours, theirs, 'ours')).toEqual({ action: 'republish', generation: 5, conflict: version('4:E<D') });
  });

  test('once above the other it only keeps the conflict: no new version for each meeting', () => {
    const [ours, theirs] = [history('1:A< 2:B<A 5:B<B'), history('1:A< 2:C<A 3:D<C 4:E<D')];
    expect(merge(ours, theirs, 'ours')).toEqual({ action: 'keep', conflict: version('4:E<D') });
  });

  test.each(['ours', 'theirs'] as const)(
    'the same text on both sides is no conflict, whoever decides (%s): the higher generation is taken',
    (decider) => {
      const [lower, higher] = [history('1:A< 2:B<A'), history('1:A< 2:C<A 3:B<C')];
      expect(merge(lower, higher, decider)).toEqual({ action: 'adopt', version: version('3:B<C') });
      expect(merge(higher, lower, decider)).toEqual({ action: 'keep' });
    },
  );

  test('the other side waits for that and then takes it', () => {
    const theirs = history('1:A< 2:C<A 3:D<C 4:E<D');
    expect(merge(theirs, history('1:A< 2:B<A'), 'theirs')).toEqual({ action: 'wait' });
    expect(merge(theirs, history('1:A< 2:B<A 5:B<B'), 'theirs')).toEqual({
      action: 'adopt',
      version: version('5:B<B'),
      conflict: version('4:E<D'),
    });
  });

  test('a history that is too short to tell counts as diverged, but where only a cloud publishes it is of the one line', () => {
    const [ours, theirs] = [history('1:A< 2:B<A'), history('4:E<D')];
    expect(merge(ours, theirs, 'ours')).toEqual({ action: 'republish', generation: 5, conflict: version('4:E<D') });
    expect(merge(ours, theirs, 'cloud')).toEqual({ action: 'adopt', version: version('4:E<D') });
    expect(merge(theirs, ours, 'cloud')).toEqual({ action: 'keep' });
    // What was published on something else, or on nothing, is of another line there, too.
    for (const other of ['1:A< 2:C<A 3:D<C', '3:D<C', '3:D<', '2:C<A'])
      expect(merge(ours, history(other), 'cloud')).toEqual(merge(ours, history(other), 'ours'));
  });
});

describe('two sides that publish and meet', () => {
  const publish = (versions: Version[], hash: string): Version[] => {
    const head = headOf(versions);
    return [...versions, { generation: (head?.generation ?? 0) + 1, hash, ...(head === undefined ? {} : { parent: head.hash }) }];
  };
  const meet = (ours: Version[], theirs: Version[], decider: Side): Version[] => {
    const result = merge(ours, theirs, decider);
    const head = headOf(ours);
    if (result.action === 'adopt') return theirs;
    if (result.action === 'republish' && head !== undefined)
      return [...ours, { generation: result.generation, hash: head.hash, parent: head.hash }];
    return ours;
  };

  test('end with the same current version, and no generation ever goes down', () => {
    const step = fc.tuple(fc.constantFrom('cloud', 'site', 'meet'), fc.constantFrom('A', 'B', 'C'));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        let [cloud, site]: [Version[], Version[]] = [[], []];
        const top = () => [headOf(cloud)?.generation ?? -1, headOf(site)?.generation ?? -1] as const;
        for (const [kind, hash] of [...steps, ['meet', 'A'], ['meet', 'A']] as const) {
          const before = top();
          if (kind === 'cloud') cloud = publish(cloud, hash);
          if (kind === 'site') site = publish(site, hash);
          if (kind === 'meet') {
            cloud = meet(cloud, site, 'ours');
            site = meet(site, cloud, 'theirs');
          }
          expect(top()[0]).toBeGreaterThanOrEqual(before[0]);
          expect(top()[1]).toBeGreaterThanOrEqual(before[1]);
        }
        expect(relate(cloud, site)).toEqual({ relation: 'same' });
        expect(merge(cloud, site, 'ours')).toEqual({ action: 'keep' });
      }),
      { numRuns: 1000 },
    );
  });
});
