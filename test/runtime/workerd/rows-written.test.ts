import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { age, call, type Harness, heartbeat, register } from '../harness.ts';
import { countingD1 } from './count-rows.ts';
import { freshD1, startOnWorkerd } from './harness.ts';

/** What D1 itself says that it wrote: index rows counted, as it bills them. */
describe('rows that D1 counts as written', () => {
  let harness: Harness;
  let rows: ReturnType<typeof countingD1>;
  beforeEach(async () => {
    rows = countingD1(await freshD1());
    harness = await startOnWorkerd({ wrap: () => rows.database, unwritten_share: 0.7 });
    await register(harness, 'a');
    await register(harness, 'b');
    await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://a.test:1' } });
    await age(harness, 12_000);
    await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') });
  });
  afterEach(() => harness.close());
  const written = async (request: string, body: unknown, headers = {}) => {
    rows.reset();
    const reply = await call(harness, request, { body, headers });
    expect(reply.status).toBeLessThan(300);
    return rows.counts.written;
  };
  const token = { 'bootplane-epoch': '1/a' };

  it.each([
    ['without a token', {}],
    ['with one', token],
  ])('a heartbeat %s: none while it says nothing new, one when it does, one when its share of the TTL is over', async (_how, headers) => {
    const beat = (more = {}) => written('POST /v1/nodes/heartbeat', heartbeat('a', { metrics: { sent: 1 }, ...more }), headers);
    await beat();
    await age(harness, 5_000);
    expect(await beat()).toBe(0);
    expect(await beat({ metrics: { sent: 2 } })).toBe(0);
    expect(await beat({ role: 'leader' })).toBe(1);
    await age(harness, 11_000);
    expect(await beat({ role: 'leader' })).toBe(1);
  });

  it('a batch of heartbeats: one for each node that has something new to say', async () => {
    const heartbeats = [heartbeat('a', { role: 'leader' }), heartbeat('b')];
    expect(await written('POST /v1/nodes/heartbeats', { heartbeats })).toBe(2);
    expect(await written('POST /v1/nodes/heartbeats', { heartbeats })).toBe(0);
  });

  it('a renewal: the lease; a lost race: none', async () => {
    expect(await written('POST /v1/leader/claim', { node_id: 'a', url: 'http://a.test:1', epoch: 1 })).toBe(1);
    expect(await written('POST /v1/leader/claim', { node_id: 'b', url: 'http://b.test:1' })).toBe(0);
  });

  it('a plan poll: the placement once, then none', async () => {
    await written('POST /v1/nodes/plan', { node_id: 'b' });
    expect(await written('POST /v1/nodes/plan', { node_id: 'b' })).toBe(0);
  });
});
