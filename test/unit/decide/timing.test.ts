import { describe, expect, test } from 'vitest';
import { backoffCeilingMs, backoffMs } from '../../../shared/decide/backoff.ts';
import { heartbeatDelayMs, jittered } from '../../../shared/decide/jitter.ts';
import { heartbeatIntervalMs, leaseEndsAtMs, leaseHolds, livenessOf, lookIntervalMs, renewAtMs } from '../../../shared/decide/ttl.ts';

const ALMOST_ONE = 1 - 2 ** -53;

describe('backoff', () => {
  const policy = { base_ms: 100, cap_ms: 5000 };

  test('the ceiling doubles with each attempt up to the cap', () => {
    expect([0, 1, 2, 3, 4, 5, 6, 1000].map((attempt) => backoffCeilingMs(policy, attempt))).toEqual([
      100, 200, 400, 800, 1600, 3200, 5000, 5000,
    ]);
  });

  test('the wait lies anywhere below the ceiling', () => {
    expect(backoffMs(policy, 3, 0)).toBe(0);
    expect(backoffMs(policy, 3, 0.5)).toBe(400);
    expect(backoffMs(policy, 3, ALMOST_ONE)).toBe(799);
  });

  test('an attempt below zero counts as the first', () => {
    expect(backoffCeilingMs(policy, -3)).toBe(100);
  });
});

describe('jitter', () => {
  test('spreads around the interval', () => {
    expect(jittered(1000, 0)).toBe(900);
    expect(jittered(1000, 0.5)).toBe(1000);
    expect(jittered(1000, 1, 0.5)).toBe(1500);
  });

  test('a heartbeat is never later than a third of the TTL and at most a fifth earlier', () => {
    expect(heartbeatIntervalMs(15)).toBe(5000);
    expect(heartbeatDelayMs(15, 0)).toBe(5000);
    expect(heartbeatDelayMs(15, ALMOST_ONE)).toBeCloseTo(4000);
  });
});

describe('looking for something better', () => {
  test.each([
    ['a node that follows nobody', undefined, 60_000],
    ['one with a confirmed leader', { provisional: false }, 60_000],
    ['one with a leader that the cloud has yet to confirm', { provisional: true }, 15_000],
  ])('%s', (_, followed, expected) => {
    expect(lookIntervalMs(followed, 15)).toBe(expected);
  });
});

describe('liveness', () => {
  test.each([
    [-10, 'online'],
    [0, 'online'],
    [15_000, 'online'],
    [15_001, 'late'],
    [45_000, 'late'],
    [45_001, 'lost'],
  ] as const)('heard %i ms ago with a TTL of 15 s: %s', (age_ms, expected) => {
    expect(livenessOf(age_ms, 15)).toBe(expected);
  });

  test('a node that said goodbye has left, whenever that was', () => {
    expect(livenessOf(0, 15, true)).toBe('left');
    expect(livenessOf(1e9, 15, true)).toBe('left');
  });
});

describe('lease', () => {
  const lease = { sent_at_ms: 1000, expires_in_ms: 15_000 };

  test('is renewed after a third and runs out measured from the moment of sending', () => {
    expect(renewAtMs(lease)).toBe(6000);
    expect(leaseEndsAtMs(lease)).toBe(16_000);
    expect(leaseHolds(lease, 15_999)).toBe(true);
    expect(leaseHolds(lease, 16_000)).toBe(false);
  });

  test('two renewals may fail before it runs out', () => {
    const thirdTry = renewAtMs(lease) + 2 * (renewAtMs(lease) - lease.sent_at_ms);
    expect(thirdTry).toBeLessThanOrEqual(leaseEndsAtMs(lease));
  });
});
