import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_EPOCH_JUMP } from '../../../shared/contract/leader.ts';
import { compareLeaders, fence, isEpochJump, type ProvedLeader } from '../../../shared/decide/leadership.ts';

const leader = (more: Partial<ProvedLeader>): ProvedLeader => ({ node_id: 'm', epoch: 5, confirmed: false, nodes_heard: 3, ...more });
const winner = (a: ProvedLeader, b: ProvedLeader) => [a, b].sort(compareLeaders)[0];

describe('two leaders that meet', () => {
  test.each([
    ['confirmed', { confirmed: true, nodes_heard: 1, epoch: 1, node_id: 'z' }, {}],
    ['nodes heard', { nodes_heard: 4, epoch: 1, node_id: 'z' }, {}],
    ['epoch', { epoch: 6, node_id: 'z' }, {}],
    ['smaller node_id', { node_id: 'a' }, {}],
  ])('%s decides before all that follows it', (_, better, worse) => {
    expect(winner(leader(worse), leader(better))).toEqual(leader(better));
    expect(winner(leader(better), leader(worse))).toEqual(leader(better));
  });

  const leaders = fc.record({
    node_id: fc.constantFrom('a', 'b', 'B', 'c'),
    epoch: fc.nat(3),
    confirmed: fc.boolean(),
    nodes_heard: fc.nat(2),
  });

  test('the order is total: antisymmetric, transitive, and even only for the same', () => {
    fc.assert(
      fc.property(leaders, leaders, leaders, (a, b, c) => {
        expect(Math.sign(compareLeaders(a, b))).toBe(0 - Math.sign(compareLeaders(b, a)));
        if (compareLeaders(a, b) <= 0 && compareLeaders(b, c) <= 0) expect(compareLeaders(a, c)).toBeLessThanOrEqual(0);
        if (compareLeaders(a, b) === 0) expect(a).toEqual(b);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('epochs', () => {
  test('a jump of more than the limit is not believed', () => {
    expect(isEpochJump(10, 10 + MAX_EPOCH_JUMP)).toBe(false);
    expect(isEpochJump(10, 11 + MAX_EPOCH_JUMP)).toBe(true);
    expect(isEpochJump(10, 3)).toBe(false);
  });
});

describe('fencing', () => {
  const lease = { epoch: 5, node_id: 'm' };

  test.each([
    ['no token', undefined, 'accept'],
    ['the same', { epoch: 5, node_id: 'm' }, 'accept'],
    ['an older leader', { epoch: 4, node_id: 'm' }, 'stale'],
    ['another leader at the same epoch', { epoch: 5, node_id: 'n' }, 'stale'],
    ['a newer leader, which is a hint', { epoch: 6, node_id: 'n' }, 'accept'],
  ] as const)('%s: %s', (_, token, expected) => {
    expect(fence(token, lease)).toBe(expected);
  });

  test('nobody leads: everything goes through', () => {
    expect(fence({ epoch: 1, node_id: 'm' }, undefined)).toBe('accept');
  });
});
