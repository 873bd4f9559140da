import { describe, expect, it } from 'vitest';
import type { BusSuite } from './event-bus.context.ts';

export function routingCases(suite: BusSuite): void {
  const { bind, drain, exchange, fresh, publish, queue, refused } = suite;

  describe('routing', () => {
    it('sends by queue name through the exchange ""', async () => {
      const [one, two] = [await queue(), await queue()];
      expect(await publish({ exchange: '', key: one, body: 'direct' })).toEqual({ routed: true });
      expect(await drain(one, 1)).toEqual(['direct']);
      expect(await suite.bus.receive(two)).toEqual([]);
    });

    it('says when a message went nowhere', async () => {
      expect(await publish({ exchange: '', key: fresh('missing') })).toEqual({ routed: false });
      const from = await exchange('direct');
      await bind(from, await queue(), 'other');
      expect(await publish({ exchange: from, key: 'nobody' })).toEqual({ routed: false });
      await refused(publish({ exchange: fresh('missing') }), 'no_such_exchange');
    });

    it('routes by the exact key on a direct exchange', async () => {
      const from = await exchange('direct');
      const [red, both, blue] = [await queue(), await queue(), await queue()];
      await bind(from, red, 'red');
      await bind(from, both, 'red');
      await bind(from, both, 'blue');
      await bind(from, blue, 'blue');
      await publish({ exchange: from, key: 'red', body: '1' });
      await publish({ exchange: from, key: 'blue', body: '2' });
      await publish({ exchange: from, key: 'red.blue', body: '3' });
      expect(await drain(red, 1)).toEqual(['1']);
      expect(await drain(both, 2)).toEqual(['1', '2']);
      expect(await drain(blue, 1)).toEqual(['2']);
    });

    it('ignores the key on a fanout exchange', async () => {
      const from = await exchange('fanout');
      const [one, two] = [await queue(), await queue()];
      await bind(from, one, 'ignored');
      await bind(from, two);
      await publish({ exchange: from, key: 'any', body: 'all' });
      expect(await drain(one, 1)).toEqual(['all']);
      expect(await drain(two, 1)).toEqual(['all']);
    });

    it('matches * with one word and # with any number on a topic exchange', async () => {
      const from = await exchange('topic');
      const keys = ['a', 'b', 'a.b', 'a.c', 'a.b.c', 'a.b.b.c', 'x.a.y', 'a..c', 'ab'];
      const expected: Record<string, string[]> = {
        a: ['a'],
        '*': ['a', 'b', 'ab'],
        '#': keys,
        'a.*': ['a.b', 'a.c'],
        'a.#': ['a', 'a.b', 'a.c', 'a.b.c', 'a.b.b.c', 'a..c'],
        '#.c': ['a.c', 'a.b.c', 'a.b.b.c', 'a..c'],
        '*.*': ['a.b', 'a.c'],
        'a.*.c': ['a.b.c', 'a..c'],
        'a.#.c': ['a.c', 'a.b.c', 'a.b.b.c', 'a..c'],
        'a.*.#': ['a.b', 'a.c', 'a.b.c', 'a.b.b.c', 'a..c'],
        '#.a.#': ['a', 'a.b', 'a.c', 'a.b.c', 'a.b.b.c', 'x.a.y', 'a..c'],
        '#.b.#.c': ['a.b.c', 'a.b.b.c'],
        'a.b*': [],
      };
      const queues = new Map<string, string>();
      for (const pattern of Object.keys(expected)) {
        queues.set(pattern, await queue());
        await bind(from, queues.get(pattern)!, pattern);
      }
      for (const key of keys) await publish({ exchange: from, key, body: key });
      for (const [pattern, matching] of Object.entries(expected)) {
        expect([pattern, await drain(queues.get(pattern)!, matching.length)]).toEqual([pattern, matching]);
      }
    });

    it('matches all or any of the headers on a headers exchange', async () => {
      const from = await exchange('headers');
      const [all, any, implied, wide] = [await queue(), await queue(), await queue(), await queue()];
      await bind(from, all, '', { 'x-match': 'all', colour: 'red', size: 3 });
      await bind(from, any, '', { 'x-match': 'any', colour: 'red', size: 3 });
      await bind(from, implied, '', { colour: 'red', urgent: true });
      await bind(from, wide, '', { 'x-match': 'all' });
      await publish({ exchange: from, headers: { colour: 'red', size: 3, other: 'x' }, body: 'both' });
      await publish({ exchange: from, headers: { colour: 'red', size: 4 }, body: 'colour' });
      await publish({ exchange: from, headers: { colour: 'red', urgent: true }, body: 'urgent' });
      await publish({ exchange: from, headers: { colour: 'blue' }, body: 'none' });
      await publish({ exchange: from, body: 'bare' });
      expect(await drain(all, 1)).toEqual(['both']);
      expect(await drain(any, 3)).toEqual(['both', 'colour', 'urgent']);
      expect(await drain(implied, 1)).toEqual(['urgent']);
      expect(await drain(wide, 5)).toEqual(['both', 'colour', 'urgent', 'none', 'bare']);
    });

    it('leaves headers that start with x- out of the match', async () => {
      const from = await exchange('headers');
      const bound = await queue();
      await bind(from, bound, '', { 'x-match': 'all', 'x-tenant': 'a', colour: 'red' });
      await publish({ exchange: from, headers: { colour: 'red' }, body: 'matched without it' });
      expect(await drain(bound, 1)).toEqual(['matched without it']);
    });

    it('puts a message into a queue once, however many bindings lead there', async () => {
      const from = await exchange('topic');
      const bound = await queue();
      for (const pattern of ['a.b', 'a.*', '#', 'a.#']) await bind(from, bound, pattern);
      await publish({ exchange: from, key: 'a.b', body: 'once' });
      expect(await drain(bound, 1)).toEqual(['once']);
    });

    it('routes by a binding from the moment it is made', async () => {
      const from = await exchange('topic');
      const bound = await queue();
      expect(await publish({ exchange: from, key: 'k' })).toEqual({ routed: false });
      await bind(from, bound, 'k');
      expect(await publish({ exchange: from, key: 'k', body: 'after' })).toEqual({ routed: true });
      expect(await drain(bound, 1)).toEqual(['after']);
    });
  });
}
