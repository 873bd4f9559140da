import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countIntervalMs, isBeyondBudget, LONGEST_STRETCH_SECONDS, stretchSeconds, ttlInForce } from '../../../shared/decide/stretch.ts';

const FREE = 80_000;
const PAID = 1_600_000;
const NODE = 172_800_000;

describe('how far the TTL is stretched', () => {
  it.each([
    [10, FREE, 36],
    [1_000, FREE, 600],
    [100_000, FREE, 600],
    [10, PAID, 2],
    [1_000, PAID, 192],
    [100_000, PAID, 600],
    [10, NODE, 0],
    [1_000, NODE, 2],
    [100_000, NODE, 176],
  ])('%i writers with %i rows a day: %i s', (writers, budget, seconds) => {
    expect(stretchSeconds({ writers, budget, stretch_seconds: 0 })).toBe(seconds);
  });

  it.each([
    [10, 15],
    [1_000, 15],
    [100_000, 176],
  ])('a node that leads %i nodes hands out %i s, unless its plan wants more', (writers, seconds) => {
    const stretch = stretchSeconds({ writers, budget: NODE, stretch_seconds: 0 });
    expect(ttlInForce(15, stretch)).toBe(seconds);
    expect(ttlInForce(900, stretch)).toBe(900);
  });

  it('says when no TTL is long enough', () => {
    expect(isBeyondBudget(166, FREE)).toBe(false);
    expect(isBeyondBudget(167, FREE)).toBe(true);
  });

  const writers = fc.integer({ min: 0, max: 10_000_000 });
  const budget = fc.integer({ min: 1_000, max: 1e12 });
  const stretch_seconds = fc.integer({ min: 0, max: LONGEST_STRETCH_SECONDS });

  it('is a whole number from 0 to the longest', () => {
    fc.assert(
      fc.property(writers, budget, stretch_seconds, (...[count, rows, now]) => {
        const seconds = stretchSeconds({ writers: count, budget: rows, stretch_seconds: now });
        expect(Number.isInteger(seconds) && seconds >= 0 && seconds <= LONGEST_STRETCH_SECONDS).toBe(true);
      }),
    );
  });

  it('keeps within the budget, as long as that is possible', () => {
    fc.assert(
      fc.property(writers, budget, stretch_seconds, (count, rows, now) => {
        fc.pre(!isBeyondBudget(count, rows));
        const seconds = ttlInForce(1, stretchSeconds({ writers: count, budget: rows, stretch_seconds: now }));
        expect((count * 10 * 86_400) / (3 * seconds)).toBeLessThanOrEqual(rows * 1.000_001);
      }),
    );
  });

  it('never falls when there are more writers, and never rises with a larger budget', () => {
    fc.assert(
      fc.property(writers, writers, budget, budget, stretch_seconds, (a, b, rows, more, now) => {
        const at = (count: number, given: number) => stretchSeconds({ writers: count, budget: given, stretch_seconds: now });
        expect(at(Math.max(a, b), rows)).toBeGreaterThanOrEqual(at(Math.min(a, b), rows));
        expect(at(a, Math.max(rows, more))).toBeLessThanOrEqual(at(a, Math.min(rows, more)));
      }),
    );
  });

  it('does not flap: while a fifth of the nodes comes and goes it only rises, or only falls, to where it stays', () => {
    const shares = fc.array(fc.double({ min: 0.8, max: 1, noNaN: true }), { maxLength: 50 });
    fc.assert(
      fc.property(writers, budget, stretch_seconds, shares, (most, rows, before, given) => {
        const levels = [before];
        for (const share of given) {
          const now = levels.at(-1) ?? 0;
          levels.push(stretchSeconds({ writers: Math.ceil(most * share), budget: rows, stretch_seconds: now }));
        }
        const sorted = levels.toSorted((a, b) => a - b);
        expect([sorted, sorted.toReversed()]).toContainEqual(levels);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('how often the writers are counted', () => {
  it('every ten minutes, and more seldom the more there are to read: at most 1,440,000 rows a day', () => {
    expect(countIntervalMs(0)).toBe(600_000);
    expect(countIntervalMs(10_000)).toBe(600_000);
    expect(countIntervalMs(100_000)).toBe(6_000_000);
    fc.assert(fc.property(fc.integer({ min: 1, max: 10_000_000 }), (rows) => (86_400_000 / countIntervalMs(rows)) * rows <= 1_440_001));
  });
});
