import { describe, expect, it } from 'vitest';
import type { Binding, Queue } from '../../shared/contract/profile.ts';
import type { BusSuite } from './event-bus.context.ts';

export function topologyCases(suite: BusSuite): void {
  const { bind, drain, exchange, fresh, publish, queue, refused } = suite;

  describe('topology', () => {
    it('reads back what was declared, and only what was asked for', async () => {
      const exchanges = await Promise.all((['direct', 'topic', 'fanout', 'headers'] as const).map(exchange));
      const ttl: Queue = {
        name: fresh('queue'),
        type: 'classic',
        ttl_ms: 60_000,
        dlx: exchanges[0]!,
        arguments: { 'x-max-length': 5000 },
      };
      await suite.bus.ensureQueue(ttl);
      const plain = await queue();
      const one: Binding = { exchange: exchanges[1]!, queue: plain, key: 'a.#', arguments: {} };
      const two: Binding = { exchange: exchanges[3]!, queue: plain, key: '', arguments: { 'x-match': 'any', colour: 'red', size: 3 } };
      await suite.bus.ensureBinding(one);
      await suite.bus.ensureBinding(two);
      const missing = fresh('missing');

      const topology = await suite.bus.readTopology({
        exchanges: [...exchanges, missing],
        queues: [ttl.name, missing],
        bindings: [one, two, { ...one, key: 'b' }, { ...two, arguments: {} }, { ...one, exchange: missing }],
      });

      expect(topology.exchanges.map(({ type }) => type).sort()).toEqual(['direct', 'fanout', 'headers', 'topic']);
      expect(topology.queues).toEqual([ttl]);
      expect(topology.bindings).toHaveLength(2);
      expect(topology.bindings).toEqual(expect.arrayContaining([one, two]));
    });

    it('reads nothing where nothing is asked for', async () => {
      const topology = await suite.bus.readTopology({ exchanges: [], queues: [], bindings: [] });
      expect(topology).toMatchObject({ exchanges: [], queues: [], bindings: [] });
    });

    it('declares the same twice without change', async () => {
      const name = fresh('twice');
      const wanted: Queue = { name, type: 'classic', ttl_ms: 5000, arguments: { 'x-max-length': 10, 'x-overflow': 'drop-head' } };
      await suite.bus.ensureExchange({ name, type: 'topic' });
      await suite.bus.ensureQueue(wanted);
      await bind(name, name, 'k');
      await publish({ exchange: name, key: 'k', body: 'kept' });

      await suite.bus.ensureExchange({ name, type: 'topic' });
      await suite.bus.ensureQueue({ ...wanted, arguments: { 'x-overflow': 'drop-head', 'x-max-length': 10 } });
      await bind(name, name, 'k');

      expect((await suite.bus.readTopology({ exchanges: [], queues: [name], bindings: [] })).queues).toEqual([wanted]);
      expect(await drain(name, 1)).toEqual(['kept']);
    });

    it('refuses an exchange of another type and leaves it as it was', async () => {
      const name = await exchange('topic');
      await refused(suite.bus.ensureExchange({ name, type: 'fanout' }), 'incompatible');
      expect((await suite.bus.readTopology({ exchanges: [name], queues: [], bindings: [] })).exchanges).toEqual([{ name, type: 'topic' }]);
    });

    it.each([
      ['dlx', { dlx: 'elsewhere' }],
      ['arguments', { arguments: { 'x-max-length': 2 } }],
    ])('refuses a queue with another %s and leaves it as it was', async (_what, difference) => {
      const existing: Queue = { name: fresh('queue'), type: 'classic', arguments: { 'x-max-length': 1 } };
      await suite.bus.ensureQueue(existing);
      await refused(suite.bus.ensureQueue({ ...existing, ...difference }), 'incompatible');
      expect((await suite.bus.readTopology({ exchanges: [], queues: [existing.name], bindings: [] })).queues).toEqual([existing]);
    });

    it('changes the lifetime of a queue, or refuses where it says that it cannot', async () => {
      const existing: Queue = { name: fresh('queue'), type: 'classic', ttl_ms: 60_000, arguments: {} };
      const longer = { ...existing, ttl_ms: 120_000 };
      await suite.bus.ensureQueue(existing);
      if (suite.bus.capabilities.alter_ttl) await suite.bus.ensureQueue(longer);
      else await refused(suite.bus.ensureQueue(longer), 'incompatible');
      const { queues } = await suite.bus.readTopology({ exchanges: [], queues: [existing.name], bindings: [] });
      expect(queues).toEqual([suite.bus.capabilities.alter_ttl ? longer : existing]);
    });

    it.each(['classic', 'quorum'] as const)('declares %s queues, or refuses where it says that it cannot', async (type) => {
      const wanted: Queue = { name: fresh(type), type, arguments: {} };
      if (!suite.bus.capabilities.queue_types.includes(type)) return refused(suite.bus.ensureQueue(wanted), 'unsupported');
      await suite.bus.ensureQueue(wanted);
      expect((await suite.bus.readTopology({ exchanges: [], queues: [wanted.name], bindings: [] })).queues).toEqual([wanted]);
      await publish({ exchange: '', key: wanted.name, body: type });
      expect(await drain(wanted.name, 1)).toEqual([type]);
      const other = suite.bus.capabilities.queue_types.find((one) => one !== type);
      if (other !== undefined) await refused(suite.bus.ensureQueue({ ...wanted, type: other }), 'incompatible');
    });

    it('turns confirms on', async () => {
      await suite.bus.ensureConfirms();
      await suite.bus.ensureConfirms();
      expect((await suite.bus.readTopology({ exchanges: [], queues: [], bindings: [] })).confirms).toBe(true);
    });

    it('names what is missing when it binds', async () => {
      const [from, to] = [await exchange('direct'), await queue()];
      await refused(bind(fresh('missing'), to), 'no_such_exchange');
      await refused(bind(from, fresh('missing')), 'no_such_queue');
    });

    it.each(['', 'amq.mine', 'x'.repeat(256), 'with space'])('refuses the name "%s"', async (bad) => {
      await refused(suite.bus.ensureExchange({ name: bad, type: 'direct' }), 'bad_name');
      await refused(suite.bus.ensureQueue({ name: bad, type: 'classic', arguments: {} }), 'bad_name');
    });
  });
}
