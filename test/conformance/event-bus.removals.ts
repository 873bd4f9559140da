import { describe, expect, it } from 'vitest';
import type { Binding, Queue } from '../../shared/contract/profile.ts';
import type { BusSuite } from './event-bus.context.ts';

export function removalCases(suite: BusSuite): void {
  const { bind, drain, exchange, fresh, publish, queue, refused, takeOne, until } = suite;
  const topology = (wanted: { exchanges?: string[]; queues?: string[]; bindings?: Binding[] }) =>
    suite.bus.readTopology({ exchanges: [], queues: [], bindings: [], ...wanted });
  const exists = async (name: string) => (await topology({ queues: [name] })).queues.length > 0;
  const isEmpty = async (name: string) => {
    const { ready, unacked } = await suite.bus.queueStats(name);
    return ready + unacked === 0;
  };

  describe('removals', () => {
    it('removes an empty queue with its bindings, and one that is not there', async () => {
      const [from, doomed, other] = [await exchange('fanout'), await queue(), await queue()];
      await bind(from, doomed);
      await bind(from, other);
      await suite.bus.removeQueue(doomed, { if_empty: true, if_unused: true });
      await suite.bus.removeQueue(doomed, { if_empty: true, if_unused: true });
      await suite.bus.removeQueue(doomed);
      expect(await exists(doomed)).toBe(false);
      expect(await publish({ exchange: from, body: 'kept' })).toEqual({ routed: true });
      expect(await drain(other, 1)).toEqual(['kept']);
      await refused(suite.bus.receive(doomed), 'no_such_queue');
      await refused(suite.bus.queueStats(doomed), 'no_such_queue');
      await refused(
        suite.bus.consume(doomed, async () => {}),
        'no_such_queue',
      );
    });

    it.each(['classic', 'quorum'] as const)('refuses to remove a %s queue that holds messages, and leaves it as it was', async (type) => {
      if (!suite.bus.capabilities.queue_types.includes(type)) return;
      const doomed = await queue({ type });
      await publish({ exchange: '', key: doomed, body: 'kept' });
      await refused(suite.bus.removeQueue(doomed, { if_empty: true, if_unused: true }), 'not_empty');
      expect(await drain(doomed, 1)).toEqual(['kept']);
      await until(() => isEmpty(doomed));
      await suite.bus.removeQueue(doomed, { if_empty: true, if_unused: true });
      expect(await exists(doomed)).toBe(false);
    });

    it('who uses a queue is told as far as the backend can', async () => {
      const used = await queue();
      const before = await suite.bus.queueUse(used);
      expect(before).toMatchObject({ consumers: 0 });
      expect(before.lately === undefined).toBe(before.unread !== undefined);
      const consumer = await suite.bus.consume(used, async () => {});
      await until(async () => (await suite.bus.queueUse(used)).consumers === 1);
      await consumer.stop();
      await until(async () => (await suite.bus.queueUse(used)).consumers === 0);
      await refused(suite.bus.queueUse(fresh('missing')), 'no_such_queue');
    });

    it('a message that is handed out counts as content', async () => {
      const doomed = await queue();
      await publish({ exchange: '', key: doomed, body: 'held' });
      const { token } = await takeOne(doomed);
      await refused(suite.bus.removeQueue(doomed, { if_empty: true }), 'not_empty');
      await suite.bus.reject(doomed, token, { requeue: true });
      expect(await drain(doomed, 1)).toEqual(['held']);
    });

    it('removes a queue with what it holds, and a delivery of it is over', async () => {
      const doomed = await queue();
      for (const body of ['one', 'two']) await publish({ exchange: '', key: doomed, body });
      const { token } = await takeOne(doomed);
      await suite.bus.removeQueue(doomed);
      expect(await exists(doomed)).toBe(false);
      // By whichever name: the queue is gone, or the delivery is.
      await expect(suite.bus.ack(doomed, token)).rejects.toMatchObject({
        kind: expect.stringMatching(/^(no_such_queue|unknown_delivery)$/),
      });
      expect(await publish({ exchange: '', key: doomed, body: 'late' })).toEqual({ routed: false });
    });

    it('a queue of the same name is a new one', async () => {
      const [from, spec] = [
        await exchange('direct'),
        { name: fresh('queue'), type: 'classic', ttl_ms: 60_000, arguments: {} } satisfies Queue,
      ];
      await suite.bus.ensureQueue(spec);
      await bind(from, spec.name, 'k');
      await publish({ exchange: from, key: 'k', body: 'old' });
      await suite.bus.removeQueue(spec.name);
      const again: Queue = { name: spec.name, type: 'classic', arguments: { 'x-max-length': 9 } };
      await suite.bus.ensureQueue(again);
      const { queues, bindings } = await topology({
        queues: [spec.name],
        bindings: [{ exchange: from, queue: spec.name, key: 'k', arguments: {} }],
      });
      expect(queues).toEqual([again]);
      expect(bindings).toEqual([]);
      expect(await publish({ exchange: from, key: 'k', body: 'nowhere' })).toEqual({ routed: false });
      await publish({ exchange: '', key: spec.name, body: 'new' });
      expect(await drain(spec.name, 1)).toEqual(['new']);
    });

    it.each(['classic', 'quorum'] as const)('refuses to remove a %s queue that somebody consumes from, if asked to', async (type) => {
      if (!suite.bus.capabilities.queue_types.includes(type)) return;
      const doomed = await queue({ type });
      const consumer = await suite.bus.consume(doomed, async () => {});
      await refused(suite.bus.removeQueue(doomed, { if_unused: true }), 'in_use');
      await refused(suite.bus.removeQueue(doomed, { if_empty: true, if_unused: true }), 'in_use');
      expect(await exists(doomed)).toBe(true);
      await consumer.stop();
      await suite.bus.removeQueue(doomed, { if_empty: true, if_unused: true });
      expect(await exists(doomed)).toBe(false);
    });

    it('a consumer of a removed queue goes on with the next one of that name', async () => {
      const name = await queue();
      const seen: string[] = [];
      const consumer = await suite.bus.consume(name, async ({ body }) => void seen.push(suite.text(body)));
      await suite.bus.removeQueue(name);
      await suite.bus.ensureQueue({ name, type: 'classic', arguments: {} });
      await publish({ exchange: '', key: name, body: 'after' });
      await until(() => seen.length > 0);
      expect(seen).toEqual(['after']);
      await consumer.stop();
    });

    it('who waits for a message of a queue that is removed is not left waiting', async () => {
      const doomed = await queue();
      const waiting = suite.bus.receive(doomed, { wait_ms: 3000 }).then(
        (taken) => taken.length,
        (error: unknown) => error,
      );
      await suite.elapse(300);
      await suite.bus.removeQueue(doomed);
      const outcome = await waiting;
      if (outcome !== 0) expect(outcome).toMatchObject({ kind: 'no_such_queue' });
    });

    it('removes exactly the binding that is named, and one that is not there', async () => {
      const [from, to, other] = [await exchange('headers'), await queue(), await queue()];
      const kept = [
        { exchange: from, queue: to, key: '', arguments: { 'x-match': 'any', colour: 'red' } },
        { exchange: from, queue: other, key: '', arguments: { 'x-match': 'any', size: 3 } },
      ];
      const doomed: Binding = { exchange: from, queue: to, key: '', arguments: { 'x-match': 'any', size: 3 } };
      for (const one of [...kept, doomed]) await suite.bus.ensureBinding(one);
      await suite.bus.removeBinding(doomed);
      await suite.bus.removeBinding(doomed);
      for (const missing of [{ exchange: fresh('missing') }, { queue: fresh('missing') }, { key: 'other' }])
        await suite.bus.removeBinding({ ...doomed, ...missing });
      const { bindings } = await topology({ bindings: [...kept, doomed] });
      expect(bindings).toHaveLength(2);
      expect(bindings).toEqual(expect.arrayContaining(kept));
      await publish({ exchange: from, headers: { size: 3 }, body: 'other' });
      expect(await drain(other, 1)).toEqual(['other']);
      expect(await suite.bus.receive(to)).toEqual([]);
    });

    it('removes an exchange once nothing is bound to it, and one that is not there', async () => {
      const [doomed, other, to] = [await exchange('topic'), await exchange('topic'), await queue()];
      const binding: Binding = { exchange: doomed, queue: to, key: 'a.#', arguments: {} };
      await suite.bus.ensureBinding(binding);
      await refused(suite.bus.removeExchange(doomed), 'in_use');
      expect((await topology({ exchanges: [doomed], bindings: [binding] })).bindings).toEqual([binding]);
      await suite.bus.removeBinding(binding);
      await suite.bus.removeExchange(doomed);
      await suite.bus.removeExchange(doomed);
      expect((await topology({ exchanges: [doomed, other] })).exchanges.map(({ name }) => name)).toEqual([other]);
      await refused(publish({ exchange: doomed, body: 'late' }), 'no_such_exchange');
    });

    it.each(['', 'amq.topic', 'amq.direct'])("the broker's own exchange '%s' stays", async (name) => {
      await refused(suite.bus.removeExchange(name), 'bad_name');
    });
  });
}
