import { describe, expect, test } from 'vitest';
import { createNodeRandom } from '../../runtime-node/adapters/random.ts';

const timeOf = (uuid: string) => Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16);

describe('random', () => {
  test('uuid is a UUIDv7 of the clock, different each time and in order', () => {
    let now = Date.UTC(2026, 5, 1);
    const random = createNodeRandom({ now: () => now });
    const ids: string[] = [];
    for (let step = 0; step < 2000; step += 1) {
      if (step % 100 === 0) now += 1;
      ids.push(random.uuid());
    }
    expect(new Set(ids).size).toBe(2000);
    expect([...ids].sort()).toEqual(ids);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(timeOf(ids.at(-1) ?? '')).toBe(now);
  });

  test('a small step back keeps the order, a large one takes the new time', () => {
    let now = 1_800_000_000_000;
    const random = createNodeRandom({ now: () => now });
    const first = random.uuid();
    now -= 5000;
    expect(random.uuid() > first).toBe(true);
    now -= 60_000;
    expect(timeOf(random.uuid())).toBe(now);
  });

  test.each([-1, 0, 0.7, 2 ** 60])('gives an id at the clock %d', (now) => {
    expect(createNodeRandom({ now: () => now }).uuid()).toHaveLength(36);
  });

  test('bytes are as many as asked for and differ', () => {
    const random = createNodeRandom({ now: () => 0 });
    expect(random.bytes(0)).toHaveLength(0);
    expect(random.bytes(100_000)).toHaveLength(100_000);
    expect(random.bytes(32)).not.toEqual(random.bytes(32));
  });

  test('next is in [0, 1)', () => {
    const random = createNodeRandom({ now: () => 0 });
    for (let step = 0; step < 1000; step += 1) {
      const value = random.next();
      expect(value >= 0 && value < 1).toBe(true);
    }
  });
});
