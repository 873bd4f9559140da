import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readNews } from '../../shared/client.ts';
import type { News } from '../../shared/contract/news.ts';
import { age, call, FLEET_KEY, type Harness, register, registration, type Start } from './harness.ts';

const url = (node_id: string) => `http://${node_id}.test:7420`;
const plan = (...names: string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) });

/** An open stream of news: `next` resolves with the one that comes next. */
async function listen(harness: Harness, query = '') {
  const leave = new AbortController();
  const headers = { authorization: `Bearer ${FLEET_KEY}` };
  const response = await harness.fetch(`/v1/news${query}`, { headers, signal: leave.signal });
  let bytes = 0;
  const news = readNews(response, () => {
    bytes += 1;
  });
  return {
    type: response.headers.get('content-type'),
    next: async (): Promise<News | undefined> => (await news.next()).value,
    heard: () => bytes,
    leave: async () => {
      leave.abort();
      await news.return(undefined).catch(() => undefined);
    },
  };
}

export function newsCases(start: Start): void {
  describe('the news of a site', () => {
    let harness: Harness;
    let stream: Awaited<ReturnType<typeof listen>> | undefined;
    beforeEach(async () => {
      harness = await start();
      for (const node_id of ['a', 'b']) await register(harness, node_id, { url: url(node_id) });
    });
    afterEach(async () => {
      await stream?.leave();
      stream = undefined;
      await harness.close();
    });
    const claim = (node_id: string, more = {}) => call(harness, 'POST /v1/leader/claim', { body: { node_id, url: url(node_id), ...more } });
    const release = (node_id: string, epoch: number, more = {}) =>
      call(harness, 'POST /v1/leader/release', { body: { node_id, epoch, ...more } });
    const publish = (generation: number, body: unknown) =>
      call(harness, 'PUT /v1/cluster/plan', { body, headers: { 'if-match': `"${generation}"` } });
    const nobody = { leader: null, plan: null, profile: null, successors: [], places: 0 };

    it('are told at once, also when there are none yet', async () => {
      stream = await listen(harness);
      expect(stream.type).toBe('text/event-stream');
      expect(await stream.next()).toEqual({ event: 'current', current: nobody });
      expect(stream.heard()).toBeGreaterThan(0);
    });

    // No clock of the harness moves on Node: nothing but the write itself can wake the stream.
    it('are told again when somebody leads, and when something is published', async () => {
      stream = await listen(harness);
      await stream.next();
      await claim('a');
      expect(await stream.next()).toEqual({ event: 'current', current: { ...nobody, leader: '1/a' } });
      await publish(0, plan('api'));
      expect(await stream.next()).toEqual({ event: 'current', current: { ...nobody, leader: '1/a', plan: 1 } });
      await call(harness, 'PUT /v1/bootstrap/profile', {
        body: { storage: { buckets: [{ name: 'x-y' }] } },
        headers: { 'if-match': '"0"' },
      });
      expect(await stream.next()).toMatchObject({ current: { plan: 1, profile: 1 } });
    });

    it('are told for each site apart', async () => {
      await claim('a', {});
      stream = await listen(harness, '?site=shop-2');
      expect(await stream.next()).toEqual({ event: 'current', current: nobody });
    });

    it('name who would take over, as soon as one has asked for its plan', async () => {
      await claim('a');
      stream = await listen(harness);
      expect(await stream.next()).toMatchObject({ current: { leader: '1/a', successors: [] } });
      await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'b' } });
      expect(await stream.next()).toMatchObject({ current: { leader: '1/a', successors: [{ node_id: 'b', url: url('b') }] } });
      await claim('b');
      await register(harness, 'b', { url: 'http://b.elsewhere.test:7420' });
      await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'b' } });
      expect(await stream.next()).toMatchObject({ current: { successors: [{ node_id: 'b', url: 'http://b.elsewhere.test:7420' }] } });
    });

    it('tell that a service has moved', async () => {
      const services = [{ name: 'api', version: '1', command: ['x'], placement: { count: 1, roles: ['worker'] } }];
      await claim('a');
      await publish(0, { services });
      await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'a' } });
      stream = await listen(harness);
      const first = await stream.next();
      expect(first).toMatchObject({ current: { places: 0 } });
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'b' } });
      await register(harness, 'c', { url: url('c') });
      await age(harness, 15_000);
      await claim('a');
      await stream.next();
      await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'c' } });
      expect(await stream.next()).toMatchObject({ current: { places: 1 } });
    });

    it('say goodbye when the leader releases its lease, also to one who listens later, until another leads', async () => {
      await claim('a');
      stream = await listen(harness);
      await stream.next();
      expect((await release('a', 1)).status).toBe(204);
      expect(await stream.next()).toEqual({ event: 'goodbye', goodbye: { node_id: 'a', epoch: 1 } });
      expect(await stream.next()).toEqual({ event: 'current', current: nobody });
      const late = await listen(harness);
      expect(await late.next()).toMatchObject({ event: 'goodbye', goodbye: { epoch: 1 } });
      await late.leave();
      await claim('b');
      expect(await stream.next()).toMatchObject({ event: 'current', current: { leader: '2/b' } });
      const later = await listen(harness);
      expect(await later.next()).toMatchObject({ event: 'current' });
      await later.leave();
    });

    it('say no goodbye when the leader yields to another, nor when its lease runs out', async () => {
      await claim('a');
      stream = await listen(harness);
      await stream.next();
      expect((await release('a', 1, { yields: true })).status).toBe(204);
      expect(await stream.next()).toEqual({ event: 'current', current: nobody });
      await claim('a');
      expect(await stream.next()).toMatchObject({ event: 'current', current: { leader: '2/a' } });
      await age(harness, 15_000);
      await register(harness, 'c');
      await publish(0, plan('api'));
      expect(await stream.next()).toMatchObject({ event: 'current', current: { leader: null, plan: 1 } });
    });

    it('need a credential of the fleet', async () => {
      expect(await call(harness, 'GET /v1/news', { as: null })).toMatchObject({ status: 401 });
      const node = await harness.fetch('/v1/news', { headers: { authorization: `Bearer ${await harness.keys.nodeCredential('a')}` } });
      expect(node.status).toBe(200);
      await node.body?.cancel();
    });
  });

  it('the news end after their time, so that a Worker is not held', async () => {
    const harness = await start({ stream_seconds: 0 });
    const stream = await listen(harness);
    expect(await stream.next()).toMatchObject({ event: 'current' });
    expect(await stream.next()).toBeUndefined();
    await harness.close();
  });

  it('a lease that was given back is not taken again by a renewal that was still under way', async () => {
    const harness = await start();
    await register(harness, 'a');
    const claim = (more = {}) => call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: url('a'), ...more } });
    await claim();
    await call(harness, 'POST /v1/leader/release', { body: { node_id: 'a', epoch: 1 } });
    expect((await claim({ epoch: 1 })).body).toMatchObject({ granted: false, epoch: 1 });
    expect((await claim()).body).toMatchObject({ granted: true, epoch: 2 });
    await harness.close();
  });

  it('a node that may not lead is no successor, and the registry says so', async () => {
    const harness = await start();
    const as = (node_id: string, more = {}) =>
      call(harness, 'POST /v1/nodes/register', { body: registration(node_id, { url: url(node_id), ...more }) });
    await as('a');
    await as('b', { lead: false });
    await as('c', { lead: true });
    await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: url('a') } });
    const { body } = await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'b' } });
    expect(body.successors).toEqual([{ node_id: 'c', url: url('c') }]);
    expect((await call(harness, 'GET /v1/nodes/b')).body.lead).toBe(false);
    expect((await call(harness, 'GET /v1/nodes/c')).body.lead).toBeUndefined();
    await as('b');
    const again = await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'b' } });
    expect(again.body.successors.map(({ node_id }: { node_id: string }) => node_id).toSorted()).toEqual(['b', 'c']);
    await harness.close();
  });
}
