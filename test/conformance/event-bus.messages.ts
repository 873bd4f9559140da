import { describe, expect, it } from 'vitest';
import type { Delivery, OutgoingMessage } from '../../shared/ports/event-bus.ts';
import type { BusSuite } from './event-bus.context.ts';

export function messageCases(suite: BusSuite): void {
  const { bind, drain, exchange, fresh, publish, queue, refused, take, takeOne, text, until } = suite;

  describe('messages', () => {
    it('delivers what was published, field by field', async () => {
      const from = await exchange('direct');
      const bound = await queue();
      await bind(from, bound, 'the.key');
      const message: OutgoingMessage = {
        exchange: from,
        key: 'the.key',
        body: Uint8Array.from({ length: 256 }, (_, byte) => byte),
        message_id: 'id-1',
        content_type: 'application/octet-stream',
        headers: { text: 'grün ✓', whole: -7, large: 9_007_199_254_740_991, fraction: 0.25, yes: true, no: false, empty: '' },
      };
      await suite.bus.publish(message);
      const delivery = await takeOne(bound);
      expect(delivery).toMatchObject({ ...message, body: expect.anything(), queue: bound, redelivered: false });
      expect([...delivery.body]).toEqual([...message.body]);
      expect(delivery.headers).toEqual(message.headers);
      expect(delivery.body).toBeInstanceOf(Uint8Array);
      await suite.bus.ack(bound, delivery.token);
    });

    it('keeps what is absent absent, and an empty body empty', async () => {
      const bound = await queue();
      await suite.bus.publish({ exchange: '', key: bound, body: new Uint8Array(), message_id: 'bare' });
      const delivery = await takeOne(bound);
      expect(delivery.body).toHaveLength(0);
      expect(delivery.headers).toEqual({});
      expect('content_type' in delivery).toBe(false);
      await suite.bus.ack(bound, delivery.token);
    });

    it('carries a body of one mebibyte', async () => {
      const bound = await queue();
      const body = Uint8Array.from({ length: 1_048_576 }, (_, index) => (index * 31) % 251);
      await suite.bus.publish({ exchange: '', key: bound, body, message_id: 'large' });
      const delivery = await takeOne(bound);
      expect(Buffer.compare(delivery.body, body)).toBe(0);
      await suite.bus.ack(bound, delivery.token);
    });

    it('keeps the order within a queue', async () => {
      const bound = await queue();
      const bodies = Array.from({ length: 30 }, (_, index) => `${index}`);
      for (const body of bodies) await publish({ exchange: '', key: bound, body });
      expect(await drain(bound, 30)).toEqual(bodies);
    });

    it('confirms many publishes at once, each message being there', async () => {
      const bound = await queue();
      const bodies = Array.from({ length: 200 }, (_, index) => `${index}`);
      const answers = await Promise.all(bodies.map((body) => publish({ exchange: '', key: bound, body })));
      expect(answers.every(({ routed }) => routed)).toBe(true);
      expect((await drain(bound, 200)).sort()).toEqual(bodies.sort());
    });

    it('stores a repeated message_id once, or each time where it says that it cannot', async () => {
      const [one, two] = [await queue(), await queue()];
      const from = await exchange('fanout');
      await bind(from, one);
      const first = { exchange: from, message_id: 'same', body: 'first' };
      await publish(first);
      expect(await publish(first)).toEqual({ routed: true });
      await bind(from, two);
      await publish({ exchange: '', key: one, message_id: 'same', body: 'through another exchange' });
      const copies = suite.bus.capabilities.deduplicates ? ['first'] : ['first', 'first'];
      expect(await drain(one, copies.length + 1)).toEqual([...copies, 'through another exchange']);
    });

    it('counts a publish again that had gone nowhere', async () => {
      const from = await exchange('direct');
      const bound = await queue();
      expect(await publish({ exchange: from, key: 'k', message_id: 'retry' })).toEqual({ routed: false });
      await bind(from, bound, 'k');
      expect(await publish({ exchange: from, key: 'k', message_id: 'retry', body: 'arrived' })).toEqual({ routed: true });
      expect(await drain(bound, 1)).toEqual(['arrived']);
    });

    it('counts what is ready and what is handed out', async () => {
      const bound = await queue();
      const counts = (ready: number, unacked: number) =>
        until(async () => {
          const stats = await suite.bus.queueStats(bound);
          return stats.ready === ready && stats.unacked === unacked;
        });
      await counts(0, 0);
      for (const body of ['1', '2', '3']) await publish({ exchange: '', key: bound, body });
      await counts(3, 0);
      const [first, second] = await take(bound, 2);
      await counts(1, 2);
      await suite.bus.ack(bound, first!.token);
      await counts(1, 1);
      await suite.bus.reject(bound, second!.token, { requeue: true });
      await counts(2, 0);
    });
  });

  describe('receiving and settling', () => {
    it('answers at once with nothing where nothing is', async () => {
      expect(await suite.bus.receive(await queue())).toEqual([]);
      expect(await suite.bus.receive(await queue(), { limit: 1000 })).toEqual([]);
    });

    it('waits for a message that comes later, and ends the wait where none comes', async () => {
      const bound = await queue();
      const waiting = suite.bus.receive(bound, { wait_ms: 10_000 });
      await publish({ exchange: '', key: bound, body: 'later' });
      const [delivery] = await waiting;
      expect(text(delivery!.body)).toBe('later');
      await suite.bus.ack(bound, delivery!.token);

      let answer: Delivery[] | undefined;
      const ending = suite.bus.receive(bound, { wait_ms: 100 }).then((deliveries) => {
        answer = deliveries;
      });
      await until(() => answer !== undefined);
      await ending;
      expect(answer).toEqual([]);
    });

    it('ends the wait with the signal, and takes nothing after it', async () => {
      const bound = await queue();
      const ending = new AbortController();
      let answer: Delivery[] | undefined;
      const waiting = suite.bus.receive(bound, { wait_ms: 3_600_000, signal: ending.signal }).then((deliveries) => {
        answer = deliveries;
      });
      await suite.elapse(100);
      expect(answer).toBeUndefined();
      ending.abort();
      await until(() => answer !== undefined);
      await waiting;
      expect(answer).toEqual([]);
      await publish({ exchange: '', key: bound, body: 'later' });
      expect(await drain(bound, 1)).toEqual(['later']);
    });

    it('hands a message to one receiver at a time', async () => {
      const bound = await queue();
      for (const body of ['1', '2', '3', '4']) await publish({ exchange: '', key: bound, body });
      const taken = (await Promise.all([1, 2, 3, 4].map(() => takeOne(bound)))).map(({ body }) => text(body));
      expect(taken.sort()).toEqual(['1', '2', '3', '4']);
      expect(await suite.bus.receive(bound)).toEqual([]);
    });

    it('removes what is acknowledged, and only that', async () => {
      const bound = await queue();
      for (const body of ['1', '2', '3']) await publish({ exchange: '', key: bound, body });
      const deliveries = await take(bound, 3);
      await suite.bus.ack(bound, deliveries[1]!.token);
      await suite.bus.reject(bound, deliveries[2]!.token, { requeue: true });
      await suite.bus.reject(bound, deliveries[0]!.token, { requeue: true });
      expect((await drain(bound, 2)).sort()).toEqual(['1', '3']);
    });

    it('delivers again, marked, what was put back', async () => {
      const bound = await queue();
      await publish({ exchange: '', key: bound, body: 'again' });
      const first = await takeOne(bound);
      await suite.bus.reject(bound, first.token, { requeue: true });
      const second = await takeOne(bound);
      expect([first.redelivered, second.redelivered]).toEqual([false, true]);
      expect(second.message_id).toBe(first.message_id);
      expect(second.token).not.toBe(first.token);
      await suite.bus.ack(bound, second.token);
    });

    it('delivers again, marked, what was not settled in time, and refuses the late ack', async () => {
      const bound = await queue();
      await publish({ exchange: '', key: bound, body: 'slow' });
      const first = await takeOne(bound, { visibility_ms: 3_000 });
      expect(await suite.bus.receive(bound)).toEqual([]);
      await suite.elapse(3_200);
      const second = await takeOne(bound);
      expect(second).toMatchObject({ message_id: first.message_id, redelivered: true });
      await refused(suite.bus.ack(bound, first.token), 'unknown_delivery');
      await suite.bus.ack(bound, second.token);
      expect(await suite.bus.receive(bound)).toEqual([]);
    });

    it('settles a delivery once', async () => {
      const [bound, other] = [await queue(), await queue()];
      await publish({ exchange: '', key: bound });
      const { token } = await takeOne(bound);
      await refused(suite.bus.ack(other, token), 'unknown_delivery');
      await suite.bus.ack(bound, token);
      await refused(suite.bus.ack(bound, token), 'unknown_delivery');
      await refused(suite.bus.reject(bound, token, { requeue: true }), 'unknown_delivery');
      await refused(suite.bus.ack(bound, 'no-such-token'), 'unknown_delivery');
    });

    it('names a queue that is not there', async () => {
      const missing = fresh('missing');
      await refused(suite.bus.receive(missing), 'no_such_queue');
      await refused(suite.bus.queueStats(missing), 'no_such_queue');
      await refused(
        suite.bus.consume(missing, async () => {}),
        'no_such_queue',
      );
    });
  });
}
