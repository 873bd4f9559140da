import { describe, expect, it } from 'vitest';
import type { Delivery } from '../../shared/ports/event-bus.ts';
import type { BusSuite } from './event-bus.context.ts';

export function consumerCases(suite: BusSuite): void {
  const { drain, publish, queue, text, until } = suite;

  describe('consumers', () => {
    it('handles each message once and acknowledges it', async () => {
      const bound = await queue();
      const seen: string[] = [];
      await publish({ exchange: '', key: bound, body: '0' });
      const consumer = await suite.bus.consume(bound, async ({ body }) => {
        seen.push(text(body));
      });
      for (const body of ['1', '2', '3']) await publish({ exchange: '', key: bound, body });
      await until(() => seen.length === 4);
      await consumer.stop();
      expect(seen).toEqual(['0', '1', '2', '3']);
      expect(await suite.bus.queueStats(bound)).toEqual({ ready: 0, unacked: 0 });
    });

    it('delivers again, marked, what a handler failed at', async () => {
      const bound = await queue();
      const seen: boolean[] = [];
      const consumer = await suite.bus.consume(bound, async ({ redelivered }) => {
        seen.push(redelivered);
        if (seen.length < 3) throw new Error('not yet');
      });
      await publish({ exchange: '', key: bound });
      await until(() => seen.length === 3);
      await consumer.stop();
      expect(seen).toEqual([false, true, true]);
      expect(await suite.bus.receive(bound)).toEqual([]);
    });

    it('has at most prefetch handlers under way, and stop waits for them', async () => {
      const bound = await queue();
      for (const body of ['1', '2', '3', '4', '5']) await publish({ exchange: '', key: bound, body });
      let active = 0;
      let most = 0;
      let finish = () => {};
      const gate = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const consumer = await suite.bus.consume(
        bound,
        async () => {
          active += 1;
          most = Math.max(most, active);
          await gate;
          active -= 1;
        },
        { prefetch: 2 },
      );
      await until(() => active === 2);
      await suite.elapse(100);
      expect(most).toBe(2);

      let stopped = false;
      const stopping = consumer.stop().then(() => {
        stopped = true;
      });
      await suite.elapse(50);
      expect(stopped).toBe(false);
      finish();
      await until(() => stopped);
      await stopping;
      expect(active).toBe(0);
      expect((await drain(bound, 3)).length).toBe(3);
    });

    it('shares the messages of a queue among its consumers', async () => {
      const bound = await queue();
      const seen: string[] = [];
      const handler = async ({ body }: Delivery) => {
        seen.push(text(body));
      };
      const consumers = [await suite.bus.consume(bound, handler), await suite.bus.consume(bound, handler, { prefetch: 5 })];
      const bodies = Array.from({ length: 20 }, (_, index) => `${index}`);
      await Promise.all(bodies.map((body) => publish({ exchange: '', key: bound, body })));
      await until(() => seen.length >= 20);
      await Promise.all(consumers.map((consumer) => consumer.stop()));
      expect(seen.sort()).toEqual(bodies.sort());
    });

    it('takes nothing more after stop', async () => {
      const bound = await queue();
      let seen = 0;
      const consumer = await suite.bus.consume(bound, async () => {
        seen += 1;
      });
      await consumer.stop();
      await publish({ exchange: '', key: bound, body: 'left' });
      await suite.elapse(100);
      expect(seen).toBe(0);
      expect(await drain(bound, 1)).toEqual(['left']);
    });
  });
}
