import { describe, expect, it } from 'vitest';
import { workerLimits } from '../../../functions/adapters/rate-limits.ts';
import { ADDRESS_PER_SECOND } from '../../../shared/contract/rate-limit.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const from = (address?: string) =>
  new Request('https://cloud.example/v1/state', { headers: address === undefined ? {} : { 'cf-connecting-ip': address } });

describe('the rate limits of the Worker', () => {
  it('are what the bindings count', async () => {
    const asked: string[] = [];
    const binding = (success: boolean) => ({
      limit: async ({ key }: { key: string }) => {
        asked.push(key);
        return { success };
      },
    });
    const limits = workerLimits({ CALLERS: binding(true), STRANGERS: binding(false) }, new SimulatedClock());
    expect(await limits.credential.take('default node a')).toBe(0);
    expect(await limits.address.take('192.0.2.7')).toBe(10_000);
    expect(asked).toEqual(['default node a', '192.0.2.7']);
  });

  it('limit nobody while the binding fails', async () => {
    const limits = workerLimits({ CALLERS: { limit: () => Promise.reject(new Error('internal error')) } }, new SimulatedClock());
    expect(await limits.credential.take('default node a')).toBe(0);
  });

  it('are counted in the isolate where there is no binding', () => {
    const { address } = workerLimits({}, new SimulatedClock());
    const waits = Array.from({ length: ADDRESS_PER_SECOND * 4 + 1 }, () => address.take('192.0.2.7'));
    expect(waits.filter((wait) => wait === 0)).toHaveLength(ADDRESS_PER_SECOND * 4);
  });

  it('take the address that Cloudflare saw, and no one of the machine itself', () => {
    const { addressOf } = workerLimits({}, new SimulatedClock());
    expect(['203.0.113.5', '2001:db8::1'].map((one) => addressOf(from(one)))).toEqual(['203.0.113.5', '2001:db8::1']);
    expect([from(), from('::1'), from('127.0.0.1')].map(addressOf)).toEqual([undefined, undefined, undefined]);
  });
});
