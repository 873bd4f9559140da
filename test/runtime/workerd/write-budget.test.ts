import { createScheduledController } from 'cloudflare:test';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Bindings } from '../../../functions/compose.ts';
import worker from '../../../functions/worker.ts';
import { FLEET_KEY, registration } from '../harness.ts';
import { bindings, freshD1 } from './harness.ts';

const SITES = 20;

async function send(given: Bindings, path: string, body: object) {
  const headers = { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json' };
  const request = new Request(`http://worker.test${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  const response = await worker.fetch(request as Parameters<typeof worker.fetch>[0], given);
  return JSON.parse(await response.text());
}

/** The TTL that a Worker with these settings hands out when 20 sites renew their leases there. */
async function ttlWith(more: Record<string, unknown>): Promise<number> {
  const given: Bindings = { DB: bindings.DB, BOOTPLANE_API_KEY: FLEET_KEY, ...more };
  await send(given, '/v1/nodes/register', registration('a', { site: 'site-0' }));
  const claim = (site: number, epoch?: number) =>
    send(given, `/v1/leader/claim?site=site-${site}`, { node_id: 'a', url: 'http://a.test:1', epoch });
  for (let site = 0; site < SITES; site += 1) await claim(site);
  await worker.scheduled(createScheduledController(), given);
  return Math.ceil((await claim(0, 1)).expires_in_ms / 1000);
}

describe('the write budget of the Worker', () => {
  beforeEach(async () => void (await freshD1()));
  afterAll(freshD1);

  it.each([
    ['what the free plan has room for, when nothing is set', {}, 88],
    ['what is set', { BOOTPLANE_WRITE_BUDGET: '1600000' }, 15],
  ])('stretches the TTL to %s', async (_what, more, seconds) => {
    expect(await ttlWith(more)).toBe(seconds);
  });

  it('has to be a number that makes sense', async () => {
    expect(await send({ DB: bindings.DB, BOOTPLANE_API_KEY: FLEET_KEY, BOOTPLANE_WRITE_BUDGET: '5' }, '/v1/nodes/leave', {})).toMatchObject(
      {
        code: 'unavailable',
        detail: expect.stringContaining('BOOTPLANE_WRITE_BUDGET is "5": use a whole number from 1000'),
      },
    );
  });
});
