import { describe, expect, test } from 'vitest';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import { createAttempts } from '../../shared/reconcile/attempts.ts';
import { createEnvironmentReconciler } from '../../shared/reconcile/reconciler.ts';
import { desiredProfile, memoryBackends } from '../support/memory-environment.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { recordingLog } from '../support/recording-log.ts';
import { startAmqpProxy } from '../support/servers/amqp-proxy.ts';
import { whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock } from '../support/system-clock.ts';
import { rabbitTests } from './event-bus.rabbitmq.support.ts';

const why = whyNoRabbitMq();
if (why !== undefined) test.skip(`the topology of RabbitMQ (${why})`, () => {});

/** A reconciler whose broker is `bus`, as after the start of a node. */
function reconcilerOn(bus: EventBus) {
  const { storage, vector } = memoryBackends();
  const log = recordingLog();
  const clock = systemClock;
  const attempts = createAttempts({ files: memoryStateFiles(), clock, log });
  const reconciler = createEnvironmentReconciler({ node_id: 'node-1', storage, bus, vector, clock, log, attempts, report: () => {} });
  return {
    apply: async (broker: object) => (await reconciler.apply(await desiredProfile({ broker }))).broker,
  };
}

const WANTED = (name: string) => ({
  exchanges: [
    { name: `${name}.events`, type: 'topic' as const },
    { name: `${name}.dead`, type: 'fanout' as const },
  ],
  queues: [
    { name: `${name}.frames`, ttl_ms: 60_000, dlx: `${name}.dead`, arguments: { 'x-max-length': 1000 } },
    { name: `${name}.orders`, type: 'quorum' as const },
    { name: `${name}.grave` },
  ],
  bindings: [
    { exchange: `${name}.events`, queue: `${name}.frames`, key: 'frame.#' },
    { exchange: `${name}.events`, queue: `${name}.orders`, key: 'order.*', arguments: { note: 'a', size: 3 } },
    { exchange: `${name}.dead`, queue: `${name}.grave` },
  ],
});

describe.skipIf(why !== undefined)('the topology of a real RabbitMQ', () => {
  const rabbit = rabbitTests();

  const declaresNothing = (counts: Readonly<Record<string, number>>) =>
    expect(['exchange.declare', 'queue.declare', 'queue.bind', 'exchange.delete', 'queue.delete'].filter((name) => name in counts)).toEqual(
      [],
    );

  test("is what the broker's own tools see, and a second apply declares nothing", async () => {
    const proxy = await startAmqpProxy(rabbit.server.port);
    const { apply } = reconcilerOn(rabbit.openManaged({ url: rabbit.server.url({ port: proxy.port }) }));
    expect(await apply(WANTED('tools'))).toMatchObject({ status: 'applied', incompatible: [] });

    const queues = await rabbit.server.list('list_queues', 'name', 'type', 'durable', 'arguments');
    expect(queues.filter((line) => line.startsWith('tools.')).toSorted()).toEqual([
      expect.stringMatching(
        /^tools\.frames\tclassic\ttrue\t.*"x-max-length",1000.*"x-message-ttl",60000.*"x-dead-letter-exchange","tools\.dead"/,
      ),
      expect.stringMatching(/^tools\.grave\tclassic\ttrue\t/),
      expect.stringMatching(/^tools\.orders\tquorum\ttrue\t/),
    ]);
    const exchanges = await rabbit.server.list('list_exchanges', 'name', 'type', 'durable');
    expect(exchanges).toEqual(expect.arrayContaining(['tools.events\ttopic\ttrue', 'tools.dead\tfanout\ttrue']));
    const bindings = await rabbit.server.list('list_bindings', 'source_name', 'destination_name', 'routing_key', 'arguments');
    expect(bindings.filter((line) => line.startsWith('tools.')).toSorted()).toEqual([
      expect.stringMatching(/^tools\.dead\ttools\.grave\t\t/),
      expect.stringMatching(/^tools\.events\ttools\.frames\tframe\.#\t/),
      expect.stringMatching(/^tools\.events\ttools\.orders\torder\.\*\t.*"note","a".*"size",3/),
    ]);

    proxy.reset();
    expect((await apply(WANTED('tools')))?.status).toBe('unchanged');
    declaresNothing(proxy.counts());
    // After a restart too.
    const again = reconcilerOn(rabbit.openManaged({ url: rabbit.server.url({ port: proxy.port }) }));
    expect(await again.apply(WANTED('tools'))).toMatchObject({ incompatible: [] });
    declaresNothing(proxy.counts());
    await proxy.stop();
  });

  test.each([
    ['with the management interface', true],
    ['by AMQP alone', false],
  ])('foreign things stay, conflicts are shown and everything else is applied (%s)', async (_, managed) => {
    const name = managed ? 'mixed' : 'blind';
    const foreign = rabbit.openManaged();
    await foreign.ensureExchange({ name: `${name}.foreign`, type: 'headers' });
    await foreign.ensureQueue({ name: `${name}.foreign`, type: 'classic', arguments: { 'x-max-priority': 4 } });
    await foreign.ensureBinding({ exchange: `${name}.foreign`, queue: `${name}.foreign`, key: 'k', arguments: { colour: 'red' } });
    // In the way of what is wanted: an exchange of another type, a queue with other arguments.
    await foreign.ensureExchange({ name: `${name}.dead`, type: 'direct' });
    await foreign.ensureQueue({ name: `${name}.frames`, type: 'classic', arguments: { 'x-max-length': 7 } });
    const others = async () => (await rabbit.server.list('list_queues', 'name', 'arguments')).filter((line) => /foreign|frames/.test(line));
    const before = await others();

    const { apply } = reconcilerOn(managed ? rabbit.openManaged() : rabbit.open());
    const first = await apply(WANTED(name));
    expect(first?.status).toBe('applied');
    expect(first?.incompatible.map(({ subject }) => subject)).toEqual(
      expect.arrayContaining([`exchange ${name}.dead`, `queue ${name}.frames`]),
    );
    expect(await others()).toEqual(before);
    const bindings = await rabbit.server.list('list_bindings', 'source_name', 'destination_name', 'routing_key');
    expect(bindings).toEqual(
      expect.arrayContaining([
        `${name}.foreign\t${name}.foreign\tk`,
        `${name}.events\t${name}.frames\tframe.#`,
        `${name}.events\t${name}.orders\torder.*`,
        `${name}.dead\t${name}.grave\t`,
      ]),
    );
    // Both are known now, and nothing is left to do.
    const second = await apply(WANTED(name));
    expect(second?.incompatible.map(({ subject }) => subject)).toEqual(
      expect.arrayContaining([`exchange ${name}.dead`, `queue ${name}.frames`]),
    );
  });

  test('what was taken away by hand comes back at the next apply', async () => {
    const bus = rabbit.openManaged();
    const { apply } = reconcilerOn(bus);
    await apply(WANTED('drift'));
    await rabbit.server.ctl('delete_queue', 'drift.grave');
    expect(await apply(WANTED('drift'))).toMatchObject({ status: 'applied', message: expect.stringContaining('restored 2') });
    const names = { exchanges: [], queues: ['drift.grave'], bindings: [{ ...WANTED('drift').bindings[2]!, key: '', arguments: {} }] };
    expect(await bus.readTopology(names)).toMatchObject({ queues: [{ name: 'drift.grave' }], bindings: [{ queue: 'drift.grave' }] });
  });

  test('a queue that a profile cannot describe is told apart: not durable, exclusive to somebody, of another type', async () => {
    const put = (path: string, body: unknown) =>
      fetch(`${rabbit.server.management_url}/api/${path}`, {
        method: 'PUT',
        headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    await put('queues/%2F/odd.fleeting', { durable: false, auto_delete: true });
    await put('exchanges/%2F/odd.internal', { type: 'topic', internal: true });
    const { apply } = reconcilerOn(rabbit.openManaged());
    const told = await apply({ exchanges: [{ name: 'odd.internal', type: 'topic' }], queues: [{ name: 'odd.fleeting' }] });
    expect(told?.incompatible).toEqual([
      { subject: 'exchange odd.internal', detail: expect.stringContaining('(not durable, internal)') },
      { subject: 'queue odd.fleeting', detail: expect.stringContaining('(not durable, auto-delete)') },
    ]);
  });

  test('arguments that the broker refuses are told as unsupported, and cost nothing else', async () => {
    const bus = rabbit.open();
    const refused = bus.ensureQueue({ name: 'refused', type: 'quorum', arguments: { 'x-max-priority': 3 } });
    const fine = bus.ensureQueue({ name: 'fine', type: 'classic', arguments: {} });
    await expect(refused).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('x-max-priority') });
    await fine;
  });

  test('a user of the management interface who is no administrator reads the same by lists', async () => {
    await rabbit.server.ctl('add_user', 'reader', 'a secret/word');
    await rabbit.server.ctl('set_user_tags', 'reader', 'management');
    await rabbit.server.ctl('set_permissions', 'reader', '.*', '.*', '.*');
    const bus = rabbit.openManaged({ url: rabbit.server.url({ user: 'reader', password: 'a secret/word' }) });
    const { apply } = reconcilerOn(bus);
    await apply(WANTED('lists'));
    const other = rabbit.openManaged({ url: rabbit.server.url({ user: 'reader', password: 'a secret/word' }) });
    const bindings = WANTED('lists').bindings.map((binding) => ({ key: '', arguments: {}, ...binding }));
    const read = await other.readTopology({ exchanges: ['lists.events'], queues: ['lists.orders', 'lists.frames'], bindings });
    expect(read.bindings).toHaveLength(3);
    expect(read.exchanges).toEqual([{ name: 'lists.events', type: 'topic' }]);
    expect(read.bindings_unread).toBeUndefined();
    expect(JSON.stringify(rabbit.lines)).not.toContain('a secret');
  });

  test.each([
    ['that nothing listens at', 'http://127.0.0.1:1', 'ECONNREFUSED'],
    ['that is the port of AMQP', 'amqp', ''],
    ['with other credentials', 'credentials', 'refuses the user nobody'],
  ])('a management interface %s is said once, and AMQP alone takes its place', async (_, which, said) => {
    const { port, management_url } = rabbit.server;
    const url =
      which === 'amqp' ? `http://127.0.0.1:${port}` : which === 'credentials' ? management_url.replace('//', '//nobody:secret@') : which;
    const bus = rabbit.open({ management_url: url });
    await bus.ensureQueue({ name: 'known', type: 'classic', arguments: {} });
    for (const _round of [1, 2]) {
      const read = await bus.readTopology({ exchanges: [], queues: ['known', 'unknown'], bindings: [] });
      expect(read.queues).toEqual([{ name: 'known', type: 'classic', arguments: {} }]);
      expect(read.bindings_unread).toContain('RABBITMQ_MANAGEMENT_URL');
    }
    const warnings = rabbit.lines.filter(({ level }) => level === 'warn');
    expect(warnings).toHaveLength(1);
    expect(JSON.stringify(warnings)).toContain(said);
    expect(JSON.stringify(rabbit.lines)).not.toContain('secret');
  });

  test('by AMQP alone, what others made is compared by declaring it, once', async () => {
    await rabbit.openManaged().ensureQueue({ name: 'elsewhere', type: 'classic', arguments: {} });
    const { apply } = reconcilerOn(rabbit.open());
    const wanted = { queues: [{ name: 'elsewhere' }] };
    expect(await apply(wanted)).toMatchObject({ status: 'applied', incompatible: [] });
    const proxied = await startAmqpProxy(rabbit.server.port);
    const bus = rabbit.open({ url: rabbit.server.url({ port: proxied.port }) });
    const one = await bus.readTopology({ exchanges: [], queues: ['elsewhere'], bindings: [] });
    expect(one.queues).toEqual([expect.objectContaining({ name: 'elsewhere', unread: expect.stringContaining('management') })]);
    await bus.ensureQueue({ name: 'elsewhere', type: 'classic', arguments: {} });
    const two = await bus.readTopology({ exchanges: [], queues: ['elsewhere'], bindings: [] });
    expect(two.queues).toEqual([{ name: 'elsewhere', type: 'classic', arguments: {} }]);
    await proxied.stop();
  });
});
