import { describe, expect, it } from 'vitest';
import type { Queue } from '../../shared/contract/profile.ts';
import type { BusSuite } from './event-bus.context.ts';

export function lifetimeCases(suite: BusSuite): void {
  const { bind, drain, exchange, fresh, publish, queue, takeOne, text, until } = suite;

  describe('lifetimes and dead letters', () => {
    const expiring = async (options: Partial<Queue> = {}) => await queue({ ttl_ms: 200, ...options });

    it('removes what has outlived its queue’s ttl_ms', async () => {
      const [short, long] = [await expiring(), await queue({ ttl_ms: 3_600_000 })];
      const from = await exchange('fanout');
      await bind(from, short);
      await bind(from, long);
      await publish({ exchange: from, body: 'kept where it may' });
      await suite.elapse(400);
      await until(async () => (await suite.bus.queueStats(short)).ready === 0);
      expect(await suite.bus.receive(short)).toEqual([]);
      expect(await drain(long, 1)).toEqual(['kept where it may']);
    });

    it('lets nothing expire that is handed out', async () => {
      // Time enough to take it before it expires, also from a real broker on a busy machine.
      const bound = await expiring({ ttl_ms: 3_000 });
      await publish({ exchange: '', key: bound });
      const { token } = await takeOne(bound, { visibility_ms: 60_000 });
      await suite.elapse(3_300);
      await suite.bus.ack(bound, token);
    });

    it('sends what expires to the dead-letter exchange, with its key and where it died', async () => {
      const [dlx, grave] = [await exchange('topic'), await queue()];
      await bind(dlx, grave, 'orders.#');
      const from = await exchange('direct');
      const bound = await expiring({ dlx });
      await bind(from, bound, 'orders.new');
      await publish({
        exchange: from,
        key: 'orders.new',
        body: 'late',
        message_id: 'o-1',
        content_type: 'text/plain',
        headers: { tenant: 'a' },
      });
      await suite.elapse(400);
      const dead = await takeOne(grave);
      expect(text(dead.body)).toBe('late');
      expect(dead).toMatchObject({ exchange: dlx, key: 'orders.new', message_id: 'o-1', content_type: 'text/plain', redelivered: false });
      expect(dead.headers).toMatchObject({
        tenant: 'a',
        'x-first-death-queue': bound,
        'x-first-death-reason': 'expired',
        'x-first-death-exchange': from,
      });
      await suite.bus.ack(grave, dead.token);
    });

    it('sends what is rejected to the dead-letter exchange', async () => {
      const [dlx, grave] = [await exchange('fanout'), await queue()];
      await bind(dlx, grave);
      const bound = await queue({ dlx });
      await publish({ exchange: '', key: bound, body: 'bad' });
      await suite.bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
      const dead = await takeOne(grave);
      expect([text(dead.body), dead.headers['x-first-death-reason']]).toEqual(['bad', 'rejected']);
      expect(await suite.bus.receive(bound)).toEqual([]);
      await suite.bus.ack(grave, dead.token);
    });

    it('uses x-dead-letter-routing-key in place of the key', async () => {
      const [dlx, grave] = [await exchange('direct'), await queue()];
      await bind(dlx, grave, 'failed');
      const bound = await queue({ dlx, arguments: { 'x-dead-letter-routing-key': 'failed' } });
      await publish({ exchange: '', key: bound });
      await suite.bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
      const dead = await takeOne(grave);
      expect(dead.key).toBe('failed');
      await suite.bus.ack(grave, dead.token);
    });

    it('drops what is rejected where there is no dead-letter exchange', async () => {
      for (const bound of [await queue(), await queue({ dlx: fresh('missing') })]) {
        await publish({ exchange: '', key: bound });
        await suite.bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
        await until(async () => (await suite.bus.queueStats(bound)).ready === 0);
        expect(await suite.bus.receive(bound)).toEqual([]);
      }
    });

    it('ends a round of expiries that nobody asked for', async () => {
      const dlx = await exchange('fanout');
      const [one, two] = [await expiring({ dlx }), await expiring({ dlx })];
      await bind(dlx, one);
      await publish({ exchange: '', key: one });
      await suite.elapse(800);
      await until(async () => (await suite.bus.queueStats(one)).ready === 0);
      await bind(dlx, two);
      await publish({ exchange: '', key: one, body: 'one round through two' });
      await suite.elapse(1600);
      await until(async () => (await suite.bus.queueStats(one)).ready + (await suite.bus.queueStats(two)).ready === 0);
    });

    it('goes on with a round that a consumer asks for by rejecting', async () => {
      const dlx = await exchange('fanout');
      const bound = await queue({ dlx });
      await bind(dlx, bound);
      await publish({ exchange: '', key: bound, body: 'round' });
      for (const _round of [1, 2, 3]) await suite.bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
      expect(await drain(bound, 1)).toEqual(['round']);
    });
  });
}
