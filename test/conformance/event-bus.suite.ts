import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Binding, BusValue, Exchange, ExchangeType, Queue } from '../../shared/contract/profile.ts';
import type { BusErrorKind, Delivery, EventBus, OutgoingMessage, ReceiveOptions } from '../../shared/ports/event-bus.ts';

/** What a backend gives to be tested. */
export interface BusHarness {
  readonly bus: EventBus;
  /** Lets `ms` milliseconds pass: moves a simulated clock, or really waits. */
  elapse(ms: number): Promise<void>;
  /** Closes the bus and removes what was made for it. */
  dispose(): Promise<void>;
}

type Message = Partial<OutgoingMessage> & Pick<OutgoingMessage, 'exchange'>;

/**
 * The promises of shared/ports/event-bus.ts. Runs unchanged against each backend: every test uses
 * names of its own, and what a backend cannot do (`capabilities`) is tested as a refusal.
 */
export function eventBusSuite(name: string, makeHarness: () => Promise<BusHarness>): void {
  let harness: BusHarness;
  let bus: EventBus;
  const run = crypto.randomUUID().slice(0, 8);
  let made = 0;

  const fresh = (word: string) => {
    made += 1;
    return `t.${run}.${word}-${made}`;
  };
  const text = (body: Uint8Array) => new TextDecoder().decode(body);
  const publish = ({ body, ...message }: Omit<Message, 'body'> & { body?: string | Uint8Array }) =>
    bus.publish({
      key: '',
      message_id: crypto.randomUUID(),
      ...message,
      body: typeof body === 'string' ? new TextEncoder().encode(body) : (body ?? new Uint8Array()),
    });
  const queue = async (options: Partial<Queue> = {}) => {
    const declared: Queue = { name: fresh('queue'), type: 'classic', arguments: {}, ...options };
    await bus.ensureQueue(declared);
    return declared.name;
  };
  const exchange = async (type: ExchangeType) => {
    const declared: Exchange = { name: fresh(type), type };
    await bus.ensureExchange(declared);
    return declared.name;
  };
  const bind = async (from: string, to: string, key = '', values: Record<string, BusValue> = {}) =>
    bus.ensureBinding({ exchange: from, queue: to, key, arguments: values });
  const until = async (condition: () => boolean | Promise<boolean>) => {
    for (let round = 0; round < 200; round += 1) {
      if (await condition()) return;
      await harness.elapse(25);
    }
    throw new Error('The awaited condition did not come true within 5 seconds');
  };
  /** Takes exactly `count` messages, in as many calls as the backend needs. */
  const take = async (from: string, count: number, options: ReceiveOptions = {}) => {
    const taken: Delivery[] = [];
    await until(async () => {
      if (taken.length < count) taken.push(...(await bus.receive(from, { ...options, limit: count - taken.length })));
      return taken.length === count;
    });
    return taken;
  };
  const takeOne = async (from: string, options: ReceiveOptions = {}) => {
    const [delivery] = await take(from, 1, options);
    if (delivery === undefined) throw new Error('unreachable: take waits for the count');
    return delivery;
  };
  /** The bodies that a queue holds, settled. */
  const drain = async (from: string, count: number) => {
    const deliveries = await take(from, count);
    await Promise.all(deliveries.map(({ token }) => bus.ack(from, token)));
    expect(await bus.receive(from)).toEqual([]);
    return deliveries.map(({ body }) => text(body));
  };
  const rejection = (kind: BusErrorKind) => expect.objectContaining({ name: 'BusError', kind });
  const refused = async (call: Promise<unknown>, kind: BusErrorKind) => {
    const error = await call.then(
      () => 'resolved',
      (reason: unknown) => reason,
    );
    expect(error).toEqual(rejection(kind));
    expect((error as Error).message).not.toBe('');
  };

  describe(`event bus: ${name}`, () => {
    beforeAll(async () => {
      harness = await makeHarness();
      bus = harness.bus;
    });
    afterAll(() => harness.dispose());

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
        await bus.ensureQueue(ttl);
        const plain = await queue();
        const one: Binding = { exchange: exchanges[1]!, queue: plain, key: 'a.#', arguments: {} };
        const two: Binding = { exchange: exchanges[3]!, queue: plain, key: '', arguments: { 'x-match': 'any', colour: 'red', size: 3 } };
        await bus.ensureBinding(one);
        await bus.ensureBinding(two);
        const missing = fresh('missing');

        const topology = await bus.readTopology({
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
        const topology = await bus.readTopology({ exchanges: [], queues: [], bindings: [] });
        expect(topology).toMatchObject({ exchanges: [], queues: [], bindings: [] });
      });

      it('declares the same twice without change', async () => {
        const name = fresh('twice');
        const wanted: Queue = { name, type: 'classic', ttl_ms: 5000, arguments: { 'x-max-length': 10, 'x-overflow': 'drop-head' } };
        await bus.ensureExchange({ name, type: 'topic' });
        await bus.ensureQueue(wanted);
        await bind(name, name, 'k');
        await publish({ exchange: name, key: 'k', body: 'kept' });

        await bus.ensureExchange({ name, type: 'topic' });
        await bus.ensureQueue({ ...wanted, arguments: { 'x-overflow': 'drop-head', 'x-max-length': 10 } });
        await bind(name, name, 'k');

        expect((await bus.readTopology({ exchanges: [], queues: [name], bindings: [] })).queues).toEqual([wanted]);
        expect(await drain(name, 1)).toEqual(['kept']);
      });

      it('refuses an exchange of another type and leaves it as it was', async () => {
        const name = await exchange('topic');
        await refused(bus.ensureExchange({ name, type: 'fanout' }), 'incompatible');
        expect((await bus.readTopology({ exchanges: [name], queues: [], bindings: [] })).exchanges).toEqual([{ name, type: 'topic' }]);
      });

      it.each([
        ['dlx', { dlx: 'elsewhere' }],
        ['arguments', { arguments: { 'x-max-length': 2 } }],
      ])('refuses a queue with another %s and leaves it as it was', async (_what, difference) => {
        const existing: Queue = { name: fresh('queue'), type: 'classic', arguments: { 'x-max-length': 1 } };
        await bus.ensureQueue(existing);
        await refused(bus.ensureQueue({ ...existing, ...difference }), 'incompatible');
        expect((await bus.readTopology({ exchanges: [], queues: [existing.name], bindings: [] })).queues).toEqual([existing]);
      });

      it('changes the lifetime of a queue, or refuses where it says that it cannot', async () => {
        const existing: Queue = { name: fresh('queue'), type: 'classic', ttl_ms: 60_000, arguments: {} };
        const longer = { ...existing, ttl_ms: 120_000 };
        await bus.ensureQueue(existing);
        if (bus.capabilities.alter_ttl) await bus.ensureQueue(longer);
        else await refused(bus.ensureQueue(longer), 'incompatible');
        const { queues } = await bus.readTopology({ exchanges: [], queues: [existing.name], bindings: [] });
        expect(queues).toEqual([bus.capabilities.alter_ttl ? longer : existing]);
      });

      it.each(['classic', 'quorum'] as const)('declares %s queues, or refuses where it says that it cannot', async (type) => {
        const wanted: Queue = { name: fresh(type), type, arguments: {} };
        if (!bus.capabilities.queue_types.includes(type)) return refused(bus.ensureQueue(wanted), 'unsupported');
        await bus.ensureQueue(wanted);
        expect((await bus.readTopology({ exchanges: [], queues: [wanted.name], bindings: [] })).queues).toEqual([wanted]);
        await publish({ exchange: '', key: wanted.name, body: type });
        expect(await drain(wanted.name, 1)).toEqual([type]);
        const other = bus.capabilities.queue_types.find((one) => one !== type);
        if (other !== undefined) await refused(bus.ensureQueue({ ...wanted, type: other }), 'incompatible');
      });

      it('turns confirms on', async () => {
        await bus.ensureConfirms();
        await bus.ensureConfirms();
        expect((await bus.readTopology({ exchanges: [], queues: [], bindings: [] })).confirms).toBe(true);
      });

      it('names what is missing when it binds', async () => {
        const [from, to] = [await exchange('direct'), await queue()];
        await refused(bind(fresh('missing'), to), 'no_such_exchange');
        await refused(bind(from, fresh('missing')), 'no_such_queue');
      });

      it.each(['', 'amq.mine', 'x'.repeat(256), 'with space'])('refuses the name "%s"', async (bad) => {
        await refused(bus.ensureExchange({ name: bad, type: 'direct' }), 'bad_name');
        await refused(bus.ensureQueue({ name: bad, type: 'classic', arguments: {} }), 'bad_name');
      });
    });

    describe('routing', () => {
      it('sends by queue name through the exchange ""', async () => {
        const [one, two] = [await queue(), await queue()];
        expect(await publish({ exchange: '', key: one, body: 'direct' })).toEqual({ routed: true });
        expect(await drain(one, 1)).toEqual(['direct']);
        expect(await bus.receive(two)).toEqual([]);
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
        await bus.publish(message);
        const delivery = await takeOne(bound);
        expect(delivery).toMatchObject({ ...message, body: expect.anything(), queue: bound, redelivered: false });
        expect([...delivery.body]).toEqual([...message.body]);
        expect(delivery.headers).toEqual(message.headers);
        expect(delivery.body).toBeInstanceOf(Uint8Array);
        await bus.ack(bound, delivery.token);
      });

      it('keeps what is absent absent, and an empty body empty', async () => {
        const bound = await queue();
        await bus.publish({ exchange: '', key: bound, body: new Uint8Array(), message_id: 'bare' });
        const delivery = await takeOne(bound);
        expect(delivery.body).toHaveLength(0);
        expect(delivery.headers).toEqual({});
        expect('content_type' in delivery).toBe(false);
        await bus.ack(bound, delivery.token);
      });

      it('carries a body of one mebibyte', async () => {
        const bound = await queue();
        const body = Uint8Array.from({ length: 1_048_576 }, (_, index) => (index * 31) % 251);
        await bus.publish({ exchange: '', key: bound, body, message_id: 'large' });
        const delivery = await takeOne(bound);
        expect(Buffer.compare(delivery.body, body)).toBe(0);
        await bus.ack(bound, delivery.token);
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
        const copies = bus.capabilities.deduplicates ? ['first'] : ['first', 'first'];
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
            const stats = await bus.queueStats(bound);
            return stats.ready === ready && stats.unacked === unacked;
          });
        await counts(0, 0);
        for (const body of ['1', '2', '3']) await publish({ exchange: '', key: bound, body });
        await counts(3, 0);
        const [first, second] = await take(bound, 2);
        await counts(1, 2);
        await bus.ack(bound, first!.token);
        await counts(1, 1);
        await bus.reject(bound, second!.token, { requeue: true });
        await counts(2, 0);
      });
    });

    describe('receiving and settling', () => {
      it('answers at once with nothing where nothing is', async () => {
        expect(await bus.receive(await queue())).toEqual([]);
        expect(await bus.receive(await queue(), { limit: 1000 })).toEqual([]);
      });

      it('waits for a message that comes later, and ends the wait where none comes', async () => {
        const bound = await queue();
        const waiting = bus.receive(bound, { wait_ms: 10_000 });
        await publish({ exchange: '', key: bound, body: 'later' });
        const [delivery] = await waiting;
        expect(text(delivery!.body)).toBe('later');
        await bus.ack(bound, delivery!.token);

        let answer: Delivery[] | undefined;
        const ending = bus.receive(bound, { wait_ms: 100 }).then((deliveries) => {
          answer = deliveries;
        });
        await until(() => answer !== undefined);
        await ending;
        expect(answer).toEqual([]);
      });

      it('hands a message to one receiver at a time', async () => {
        const bound = await queue();
        for (const body of ['1', '2', '3', '4']) await publish({ exchange: '', key: bound, body });
        const taken = (await Promise.all([1, 2, 3, 4].map(() => takeOne(bound)))).map(({ body }) => text(body));
        expect(taken.sort()).toEqual(['1', '2', '3', '4']);
        expect(await bus.receive(bound)).toEqual([]);
      });

      it('removes what is acknowledged, and only that', async () => {
        const bound = await queue();
        for (const body of ['1', '2', '3']) await publish({ exchange: '', key: bound, body });
        const deliveries = await take(bound, 3);
        await bus.ack(bound, deliveries[1]!.token);
        await bus.reject(bound, deliveries[2]!.token, { requeue: true });
        await bus.reject(bound, deliveries[0]!.token, { requeue: true });
        expect((await drain(bound, 2)).sort()).toEqual(['1', '3']);
      });

      it('delivers again, marked, what was put back', async () => {
        const bound = await queue();
        await publish({ exchange: '', key: bound, body: 'again' });
        const first = await takeOne(bound);
        await bus.reject(bound, first.token, { requeue: true });
        const second = await takeOne(bound);
        expect([first.redelivered, second.redelivered]).toEqual([false, true]);
        expect(second.message_id).toBe(first.message_id);
        expect(second.token).not.toBe(first.token);
        await bus.ack(bound, second.token);
      });

      it('delivers again, marked, what was not settled in time, and refuses the late ack', async () => {
        const bound = await queue();
        await publish({ exchange: '', key: bound, body: 'slow' });
        const first = await takeOne(bound, { visibility_ms: 1000 });
        expect(await bus.receive(bound)).toEqual([]);
        await harness.elapse(1200);
        const second = await takeOne(bound);
        expect(second).toMatchObject({ message_id: first.message_id, redelivered: true });
        await refused(bus.ack(bound, first.token), 'unknown_delivery');
        await bus.ack(bound, second.token);
        expect(await bus.receive(bound)).toEqual([]);
      });

      it('settles a delivery once', async () => {
        const [bound, other] = [await queue(), await queue()];
        await publish({ exchange: '', key: bound });
        const { token } = await takeOne(bound);
        await refused(bus.ack(other, token), 'unknown_delivery');
        await bus.ack(bound, token);
        await refused(bus.ack(bound, token), 'unknown_delivery');
        await refused(bus.reject(bound, token, { requeue: true }), 'unknown_delivery');
        await refused(bus.ack(bound, 'no-such-token'), 'unknown_delivery');
      });

      it('names a queue that is not there', async () => {
        const missing = fresh('missing');
        await refused(bus.receive(missing), 'no_such_queue');
        await refused(bus.queueStats(missing), 'no_such_queue');
        await refused(
          bus.consume(missing, async () => {}),
          'no_such_queue',
        );
      });
    });

    describe('lifetimes and dead letters', () => {
      const expiring = async (options: Partial<Queue> = {}) => await queue({ ttl_ms: 200, ...options });

      it('removes what has outlived its queue’s ttl_ms', async () => {
        const [short, long] = [await expiring(), await queue({ ttl_ms: 3_600_000 })];
        const from = await exchange('fanout');
        await bind(from, short);
        await bind(from, long);
        await publish({ exchange: from, body: 'kept where it may' });
        await harness.elapse(400);
        await until(async () => (await bus.queueStats(short)).ready === 0);
        expect(await bus.receive(short)).toEqual([]);
        expect(await drain(long, 1)).toEqual(['kept where it may']);
      });

      it('lets nothing expire that is handed out', async () => {
        const bound = await expiring();
        await publish({ exchange: '', key: bound });
        const { token } = await takeOne(bound, { visibility_ms: 60_000 });
        await harness.elapse(500);
        await bus.ack(bound, token);
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
        await harness.elapse(400);
        const dead = await takeOne(grave);
        expect(text(dead.body)).toBe('late');
        expect(dead).toMatchObject({ exchange: dlx, key: 'orders.new', message_id: 'o-1', content_type: 'text/plain', redelivered: false });
        expect(dead.headers).toMatchObject({
          tenant: 'a',
          'x-first-death-queue': bound,
          'x-first-death-reason': 'expired',
          'x-first-death-exchange': from,
        });
        await bus.ack(grave, dead.token);
      });

      it('sends what is rejected to the dead-letter exchange', async () => {
        const [dlx, grave] = [await exchange('fanout'), await queue()];
        await bind(dlx, grave);
        const bound = await queue({ dlx });
        await publish({ exchange: '', key: bound, body: 'bad' });
        await bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
        const dead = await takeOne(grave);
        expect([text(dead.body), dead.headers['x-first-death-reason']]).toEqual(['bad', 'rejected']);
        expect(await bus.receive(bound)).toEqual([]);
        await bus.ack(grave, dead.token);
      });

      it('uses x-dead-letter-routing-key in place of the key', async () => {
        const [dlx, grave] = [await exchange('direct'), await queue()];
        await bind(dlx, grave, 'failed');
        const bound = await queue({ dlx, arguments: { 'x-dead-letter-routing-key': 'failed' } });
        await publish({ exchange: '', key: bound });
        await bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
        const dead = await takeOne(grave);
        expect(dead.key).toBe('failed');
        await bus.ack(grave, dead.token);
      });

      it('drops what is rejected where there is no dead-letter exchange', async () => {
        for (const bound of [await queue(), await queue({ dlx: fresh('missing') })]) {
          await publish({ exchange: '', key: bound });
          await bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
          await until(async () => (await bus.queueStats(bound)).ready === 0);
          expect(await bus.receive(bound)).toEqual([]);
        }
      });

      it('ends a round of expiries that nobody asked for', async () => {
        const dlx = await exchange('fanout');
        const [one, two] = [await expiring({ dlx }), await expiring({ dlx })];
        await bind(dlx, one);
        await publish({ exchange: '', key: one });
        await harness.elapse(800);
        await until(async () => (await bus.queueStats(one)).ready === 0);
        await bind(dlx, two);
        await publish({ exchange: '', key: one, body: 'one round through two' });
        await harness.elapse(1600);
        await until(async () => (await bus.queueStats(one)).ready + (await bus.queueStats(two)).ready === 0);
      });

      it('goes on with a round that a consumer asks for by rejecting', async () => {
        const dlx = await exchange('fanout');
        const bound = await queue({ dlx });
        await bind(dlx, bound);
        await publish({ exchange: '', key: bound, body: 'round' });
        for (const _round of [1, 2, 3]) await bus.reject(bound, (await takeOne(bound)).token, { requeue: false });
        expect(await drain(bound, 1)).toEqual(['round']);
      });
    });

    describe('consumers', () => {
      it('handles each message once and acknowledges it', async () => {
        const bound = await queue();
        const seen: string[] = [];
        await publish({ exchange: '', key: bound, body: '0' });
        const consumer = await bus.consume(bound, async ({ body }) => {
          seen.push(text(body));
        });
        for (const body of ['1', '2', '3']) await publish({ exchange: '', key: bound, body });
        await until(() => seen.length === 4);
        await consumer.stop();
        expect(seen).toEqual(['0', '1', '2', '3']);
        expect(await bus.queueStats(bound)).toEqual({ ready: 0, unacked: 0 });
      });

      it('delivers again, marked, what a handler failed at', async () => {
        const bound = await queue();
        const seen: boolean[] = [];
        const consumer = await bus.consume(bound, async ({ redelivered }) => {
          seen.push(redelivered);
          if (seen.length < 3) throw new Error('not yet');
        });
        await publish({ exchange: '', key: bound });
        await until(() => seen.length === 3);
        await consumer.stop();
        expect(seen).toEqual([false, true, true]);
        expect(await bus.receive(bound)).toEqual([]);
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
        const consumer = await bus.consume(
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
        await harness.elapse(100);
        expect(most).toBe(2);

        let stopped = false;
        const stopping = consumer.stop().then(() => {
          stopped = true;
        });
        await harness.elapse(50);
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
        const consumers = [await bus.consume(bound, handler), await bus.consume(bound, handler, { prefetch: 5 })];
        const bodies = Array.from({ length: 20 }, (_, index) => `${index}`);
        await Promise.all(bodies.map((body) => publish({ exchange: '', key: bound, body })));
        await until(() => seen.length >= 20);
        await Promise.all(consumers.map((consumer) => consumer.stop()));
        expect(seen.sort()).toEqual(bodies.sort());
      });

      it('takes nothing more after stop', async () => {
        const bound = await queue();
        let seen = 0;
        const consumer = await bus.consume(bound, async () => {
          seen += 1;
        });
        await consumer.stop();
        await publish({ exchange: '', key: bound, body: 'left' });
        await harness.elapse(100);
        expect(seen).toBe(0);
        expect(await drain(bound, 1)).toEqual(['left']);
      });
    });

    it('refuses calls after close, and closes twice without error', async () => {
      const other = await makeHarness();
      await other.bus.close();
      await other.bus.close();
      await refused(other.bus.receive('any'), 'failed');
      await refused(other.bus.publish({ exchange: '', key: 'any', body: new Uint8Array(), message_id: 'm' }), 'failed');
      await other.dispose();
    });
  });
}
