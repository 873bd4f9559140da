import { beforeEach, describe, expect, it } from 'vitest';
import { ADDRESS_PER_SECOND, CREDENTIAL_PER_SECOND } from '../../../shared/contract/rate-limit.ts';
import { inMemoryLimits } from '../../../shared/supervisor/rate-limits.ts';
import { createTokenBucket } from '../../../shared/supervisor/token-bucket.ts';
import { call, FOREIGN_KEY, register } from '../../runtime/harness.ts';
import { startOnNode } from '../../runtime/node-harness.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

describe('a token bucket', () => {
  it('lets a burst through, then as many as flow in', async () => {
    const clock = new SimulatedClock();
    const limit = createTokenBucket({ clock, per_second: 10, burst: 3 });
    expect([1, 2, 3].map(() => limit.take('a'))).toEqual([0, 0, 0]);
    expect(limit.take('a')).toBeCloseTo(100);
    await clock.advance(100);
    expect(limit.take('a')).toBe(0);
    expect(limit.take('a')).toBeCloseTo(100);
    await clock.advance(3_600_000);
    expect([1, 2, 3, 4].map(() => limit.take('a') === 0)).toEqual([true, true, true, false]);
  });

  it('tells callers apart, and forgets the one that it has known longest when there are too many', () => {
    const limit = createTokenBucket({ clock: new SimulatedClock(), per_second: 1, burst: 1, keys: 2 });
    for (const key of ['a', 'b']) expect(limit.take(key)).toBe(0);
    for (const key of ['a', 'b']) expect(limit.take(key)).toBeGreaterThan(0);
    expect(limit.take('c')).toBe(0);
    expect(limit.take('b')).toBeGreaterThan(0);
    expect(limit.take('a')).toBe(0);
  });
});

describe('the limits of a Supervisor', () => {
  const setup = async () => {
    const clock = new SimulatedClock();
    const where: { from: string | undefined } = { from: '192.0.2.7' };
    const harness = await startOnNode({ limits: { ...inMemoryLimits(clock), addressOf: () => where.from } });
    const many = (count: number, ask: () => Promise<{ status: number }>) =>
      Array.from({ length: count }).reduce<Promise<number[]>>(
        async (before) => [...(await before), (await ask()).status],
        Promise.resolve([]),
      );
    const until = async (status: number, ask: () => Promise<{ status: number }>) => {
      for (let count = 1; count <= 10_000; count += 1) if ((await ask()).status === status) return count;
      return Number.POSITIVE_INFINITY;
    };
    return { clock, harness, where, many, until };
  };
  let world: Awaited<ReturnType<typeof setup>>;
  beforeEach(async () => {
    world = await setup();
    return () => world.harness.close();
  });

  it('answer 429 with when to try again, to one credential and not to the next', async () => {
    const { harness, clock, until } = world;
    await register(harness, 'a');
    const as = await harness.keys.nodeCredential('a');
    const ask = () => call(harness, 'GET /v1/leader', { as });
    expect(await until(429, ask)).toBe(CREDENTIAL_PER_SECOND * 4 + 1);
    const refused = await ask();
    expect(refused).toMatchObject({ status: 429, body: { code: 'too_many_requests', detail: 'too many requests: try again in 1 s' } });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect((await call(harness, 'GET /v1/state')).status).toBe(200);
    await clock.advance(1000);
    expect((await ask()).body.code).toBe('no_leader');
  });

  it('count who has no right credential by address, also one that guesses', async () => {
    const { harness, where, many, until } = world;
    const guess = () => call(harness, 'GET /v1/state', { as: FOREIGN_KEY });
    expect(new Set(await many(ADDRESS_PER_SECOND * 4, guess))).toEqual(new Set([401]));
    expect((await guess()).status).toBe(429);
    expect((await call(harness, 'GET /healthz', { as: null })).status).toBe(429);
    expect((await call(harness, 'GET /v1/state')).status).toBe(200);
    where.from = '192.0.2.8';
    expect((await call(harness, 'GET /healthz', { as: null })).status).toBe(200);
    expect(await until(429, () => call(harness, 'GET /healthz', { as: null }))).toBe(ADDRESS_PER_SECOND * 4);
  });

  it('leave the machine itself alone', async () => {
    const { harness, where, many } = world;
    where.from = undefined;
    const statuses = await many(ADDRESS_PER_SECOND * 5, () => call(harness, 'GET /healthz', { as: null }));
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});
