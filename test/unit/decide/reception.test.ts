import { describe, expect, test } from 'vitest';
import type { Side, Version } from '../../../shared/decide/merge.ts';
import { type KeptVersion, type Mark, type Offered, receive } from '../../../shared/decide/reception.ts';

/** `2:B<A` reads: generation 2 with hash B, published on A; a `!` after it: a conflict, a `?`: a resolved one. */
const kept = (text: string): KeptVersion[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((one) => {
      const [, generation, hash = '', parent, mark = ''] = /^(\d+):(\w+)<(\w*)([!?]?)$/.exec(one) ?? [];
      const marks: Record<string, Mark> = { '': 0, '!': 1, '?': 2 };
      return { generation: Number(generation), hash, ...(parent === '' ? {} : { parent }), mark: marks[mark] ?? 0 };
    });
const versions = (text: string): Version[] => kept(text).map(({ mark: _, ...one }) => one);

/** The last of each text is the current one of its side. */
function meet(ours: string, theirs: string, decider: Side, conflicts: Offered['conflicts'] = []) {
  const store = { versions: kept(ours), head: kept(ours).at(-1) };
  return receive(store, { versions: versions(theirs), current: versions(theirs).at(-1), conflicts }, decider);
}

describe('what a store does with offered versions', () => {
  test.each([
    ['nothing is here', '', '1:A< 2:B<A', 'ours', 'adopt', '2:B', []],
    ['they descend', '1:A<', '2:B<A 3:C<B', 'ours', 'adopt', '3:C', []],
    ['they are older', '1:A< 2:B<A', '1:A<', 'theirs', 'keep', '2:B', []],
    ['they diverged, this side decides', '1:A< 2:B<A', '2:C<A', 'ours', 'republish', '3:B', ['2:C=1']],
    ['they diverged below, this side decides', '1:A< 2:B<A 3:D<B', '2:C<A', 'ours', 'keep', '3:D', ['2:C=1']],
    ['they diverged above, the other decides', '1:A< 2:B<A', '2:C<A 3:E<C', 'theirs', 'adopt', '3:E', ['2:B=1']],
    ['they diverged, the other decides but is not above', '1:A< 2:B<A', '2:C<A', 'theirs', 'wait', '2:B', []],
    ['what lost is what they are made from', '1:A< 2:C<A! 2:B<A', '2:C<A 3:E<C', 'theirs', 'adopt', '3:E', ['2:C=0', '2:B=1']],
    ['they go on from what lost', '1:A< 2:C<A! 2:B<A 3:B<B', '3:E<C', 'ours', 'republish', '4:B', ['2:C=0', '3:E=1']],
    ['it lost before and was settled', '1:A< 2:C<A? 2:B<A 3:B<B 4:D<B', '2:C<A', 'ours', 'keep', '4:D', []],
    ['they say the same', '1:A< 2:B<A', '2:C<A 3:B<C', 'ours', 'adopt', '3:B', []],
    ['a seed meets a seed, this side decides', '0:S<', '0:T<', 'ours', 'keep', '0:S', []],
    ['a seed meets a seed, the other decides', '0:S<', '0:T<', 'theirs', 'adopt', '0:T', []],
  ] as const)('%s', (_name, ours, theirs, decider, action, head, marks) => {
    const reception = meet(ours, theirs, decider);
    expect(reception.merge.action).toBe(action);
    expect(`${reception.head?.generation}:${reception.head?.hash}`).toBe(head);
    expect(reception.marks.map(({ generation, hash, mark }) => `${generation}:${hash}=${mark}`).sort()).toEqual([...marks].sort());
  });

  test('a store that signs nothing keeps what is current, and what it would have to publish above is a conflict for who can', () => {
    const diverged = { versions: versions('2:C<A 3:E<C'), current: versions('3:E<C').at(-1), conflicts: [] };
    const store = { versions: kept('1:A< 2:B<A'), head: kept('2:B<A').at(-1) };
    const reception = receive(store, diverged, 'ours', false);
    expect(reception).toMatchObject({ merge: { action: 'keep' }, head: { generation: 2, hash: 'B' } });
    expect(reception.keeps).toHaveLength(2);
    expect(reception.marks).toEqual([{ generation: 3, hash: 'E', mark: 1 }]);
    // The same again changes nothing.
    const after = { versions: kept('1:A< 2:B<A 2:C<A 3:E<C!'), head: store.head };
    expect(receive(after, diverged, 'ours', false)).toMatchObject({ merge: { action: 'keep' }, marks: [] });
    // What lies above it is adopted as ever.
    const next = { ...diverged, versions: versions('3:D<B'), current: versions('3:D<B').at(-1) };
    expect(receive(after, next, 'ours', false)).toMatchObject({ merge: { action: 'adopt' }, head: { hash: 'D' } });
  });

  test('a seed is kept only as what is current or was published on', () => {
    expect(meet('1:A<', '0:T<', 'ours').keeps).toEqual([]);
    expect(meet('', '0:S< 1:A<S', 'ours').keeps.map(({ hash }) => hash)).toEqual(['S', 'A']);
    expect(meet('', '0:S<', 'ours').keeps.map(({ hash }) => hash)).toEqual(['S']);
  });

  test('what lost elsewhere is marked here, unless it is what is current here or came before that', () => {
    const lost = (generation: number, hash: string, resolved = false) => ({ generation, hash, resolved });
    const ours = '1:A< 2:C<A 2:B<A 3:D<B';
    expect(meet(ours, '3:D<B', 'ours', [lost(2, 'C')]).marks).toEqual([{ generation: 2, hash: 'C', mark: 1 }]);
    expect(meet(ours, '3:D<B', 'ours', [lost(2, 'C', true)]).marks).toEqual([{ generation: 2, hash: 'C', mark: 2 }]);
    expect(meet(ours, '3:D<B', 'ours', [lost(2, 'B'), lost(9, 'Z')]).marks).toEqual([]);
  });

  test('a long history with many conflicts costs a few looks at each version', () => {
    let looks = 0;
    const counted = (generation: number): KeptVersion => ({
      generation,
      get hash() {
        looks += 1;
        return `h${generation}`;
      },
      parent: `h${generation - 1}`,
      mark: 0,
    });
    const all = Array.from({ length: 1000 }, (_, index) => counted(index + 1));
    const conflicts = all.slice(0, 500).map(({ generation }) => ({ generation, hash: `h${generation}`, resolved: false }));
    const { marks } = receive({ versions: all, head: all.at(-1) }, { versions: [], current: all.at(-1), conflicts }, 'ours');
    expect(marks).toEqual([]);
    expect(looks).toBeLessThan(50 * all.length);
  });

  test('without the current one of the other side nothing is decided', () => {
    const store = { versions: kept('1:A< 2:B<A'), head: kept('2:B<A').at(-1) };
    const reception = receive(store, { versions: versions('2:C<A 3:E<C'), current: undefined, conflicts: [] }, 'theirs');
    expect(reception).toMatchObject({ merge: { action: 'keep' }, head: { generation: 2, hash: 'B' }, marks: [] });
    expect(reception.keeps).toHaveLength(2);
  });
});
