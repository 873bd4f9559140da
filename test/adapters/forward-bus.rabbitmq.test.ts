import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import type { EmbeddedBus, EventBus } from '../../shared/ports/event-bus.ts';
import { createForwardBus } from '../../shared/reconcile/fall-forward/bus.ts';
import { asPublished } from '../../shared/reconcile/fall-forward/bus-message.ts';
import { eventBusSuite } from '../conformance/event-bus.suite.ts';
import { createMemoryBacklog } from '../support/memory-backlog.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type AmqpProxy, startAmqpProxy } from '../support/servers/amqp-proxy.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock } from '../support/system-clock.ts';
import { until } from '../support/until.ts';
import { rabbitBus, rabbitTests } from './event-bus.rabbitmq.support.ts';

const why = whyNoRabbitMq();
if (why !== undefined) test.skip(`falling forward to RabbitMQ (${why})`, () => {});

const NODE = fileURLToPath(new URL('forward-bus.node.ts', import.meta.url));

interface Node {
  readonly child: ChildProcess;
  /** The last that it said of itself, as `present 0`. */
  status(): string;
}

describe.skipIf(why !== undefined)('falling forward to a real RabbitMQ', () => {
  const rabbit = rabbitTests();
  let folder: string;
  let proxy: AmqpProxy;
  let running: ChildProcess[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-forward-'));
    proxy = await startAmqpProxy(rabbit.server.port);
  });
  afterEach(async () => {
    await Promise.all(running.map(kill));
    running = [];
    await proxy.stop();
    await rm(folder, { recursive: true });
  });

  function start(from: number, count: number, port = proxy.port): Node {
    const args = [join(folder, 'bus.sqlite'), rabbit.server.url({ port }), join(folder, 'told'), `${from}`, `${count}`];
    const child = spawn(process.execPath, [NODE, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    running.push(child);
    let last = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      last = chunk.toString().trimEnd().split('\n').at(-1) ?? last;
    });
    return { child, status: () => last };
  }

  const told = async () => (await readFile(join(folder, 'told'), 'utf8').catch(() => '')).trimEnd().split('\n');
  const published = async () => (await told()).filter((line) => line.startsWith('published ')).map((line) => line.slice(10));

  async function environment(bus: EventBus) {
    for (const name of ['orders', 'audit']) await bus.ensureQueue({ name, type: 'classic', arguments: {} });
    await bus.ensureExchange({ name: 'events', type: 'topic' });
    await bus.ensureBinding({ exchange: 'events', queue: 'orders', key: 'order.#', arguments: {} });
    await bus.ensureBinding({ exchange: 'events', queue: 'audit', key: '#', arguments: {} });
  }

  async function drained(bus: EventBus, queue: string) {
    const all: string[] = [];
    for (let some = await bus.receive(queue, { limit: 500 }); some.length > 0; some = await bus.receive(queue, { limit: 500 })) {
      for (const delivery of some.map(asPublished)) {
        expect(delivery).toMatchObject({ exchange: 'events', key: 'order.new', headers: {} });
        all.push(delivery.message_id);
      }
      await Promise.all(some.map(({ token }) => bus.ack(queue, token)));
    }
    return all;
  }

  /** In the order in which each came first. What was under way when the node was killed may be anywhere. */
  async function judge(bus: EventBus) {
    const wanted = await published();
    const sure = new Set(wanted);
    for (const queue of ['orders', 'audit']) {
      const found = new Set(await drained(bus, queue));
      expect(wanted.filter((id) => !found.has(id))).toEqual([]);
      const order = [...found].filter((id) => sure.has(id)).map(Number);
      expect(order).toEqual(order.toSorted((one, other) => one - other));
    }
    return wanted;
  }

  test('the node is killed and the line cut in the middle: all that it was told to keep arrives, in order', {
    timeout: 180_000,
  }, async () => {
    await environment(rabbit.open());
    // Nothing listens there: the broker is away from the beginning.
    const dead = await startAmqpProxy(rabbit.server.port);
    await dead.stop();
    const first = start(0, 3000, dead.port);
    await until('the messages', async () => (await published()).length >= 2000);
    await kill(first.child);

    for (const from of [10_000, 20_000, 30_000]) {
      const node = start(from, 1000);
      await until('the line', async () => (proxy.counts()['basic.publish'] ?? 0) > from / 20);
      proxy.cut();
      await until('more', async () => (proxy.counts()['basic.publish'] ?? 0) > from / 10);
      await kill(node.child);
    }
    const last = start(40_000, 1000);
    await until('all', async () => last.status() === 'present 0');
    last.child.stdin?.write('end');
    await until('the end', async () => last.child.exitCode !== null);
    const wanted = await judge(rabbit.open());
    // Those of the first node and of the last; how many the others came to before they were killed depends on the machine.
    expect(wanted.length).toBeGreaterThanOrEqual(3000);
  });

  test('the broker is killed while messages go over, and started again: all of them arrive, in order', async () => {
    await environment(rabbit.open());
    await rabbit.server.persist();
    const node = start(0, 4000);
    await until('some', async () => (await published()).length >= 1000);
    await rabbit.server.kill();
    await until('those that are kept', async () => (await published()).length === 4000);
    await until('what waits', async () => node.status().startsWith('away'));
    await rabbit.server.start();
    await until('all', async () => node.status() === 'present 0');
    node.child.stdin?.write('end');
    await until('the end', async () => node.child.exitCode !== null);
    expect((await told()).filter((line) => line.startsWith('failed'))).toEqual([]);
    expect(await judge(rabbit.open())).toHaveLength(4000);
  });
});

/** With an embedded bus in memory. */
function besides(external: EventBus) {
  const parts = { clock: systemClock, random: seededRandom(), log: recordingLog() };
  const fallback: EmbeddedBus = createLocalBus({ path: ':memory:', ...parts });
  const forward = createForwardBus({ external, fallback, backlog: createMemoryBacklog(), ...parts });
  const ending = new AbortController();
  return {
    forward,
    fallback,
    async start() {
      const running = forward.run(ending.signal);
      await until('the broker', async () => forward.status().presence === 'present');
      return async () => {
        ending.abort();
        await Promise.all([running, forward.port.close()]);
      };
    },
  };
}

describe.skipIf(why !== undefined)('an embedded default beside a real RabbitMQ', () => {
  let server: RabbitMq;
  beforeAll(async () => {
    server = await startRabbitMq();
  });
  afterAll(() => server.stop());

  eventBusSuite('RabbitMQ that is present, with its embedded default', async () => {
    const { forward, start } = besides(rabbitBus({ url: server.url() }));
    const dispose = await start();
    return { bus: forward.port, elapse: (ms: number) => systemClock.sleep(ms), dispose };
  });

  test('what dies of a queue there dies with the key that it had, and nothing is left of how it went over', async () => {
    const external = rabbitBus({ url: server.url(), management_url: server.management_url });
    const { forward, fallback, start } = besides(external);
    for (const bus of [external, fallback]) {
      await bus.ensureExchange({ name: 'f.events', type: 'topic' });
      await bus.ensureExchange({ name: 'f.dead', type: 'topic' });
      await bus.ensureQueue({ name: 'f.mortal', type: 'classic', dlx: 'f.dead', arguments: {} });
      await bus.ensureQueue({ name: 'f.grave', type: 'classic', arguments: {} });
      await bus.ensureBinding({ exchange: 'f.events', queue: 'f.mortal', key: 'order.#', arguments: {} });
      await bus.ensureBinding({ exchange: 'f.dead', queue: 'f.grave', key: 'order.#', arguments: {} });
    }
    const body = new TextEncoder().encode('one');
    await forward.port.publish({ exchange: 'f.events', key: 'order.new', message_id: 'one', body, headers: { tenant: 'a' } });
    const dispose = await start();
    const [delivery] = await forward.port.receive('f.mortal', { wait_ms: 30_000 });
    expect(delivery).toMatchObject({ exchange: 'f.events', key: 'order.new', message_id: 'one', headers: { tenant: 'a' } });
    await forward.port.reject('f.mortal', delivery?.token ?? '', { requeue: false });
    const [dead] = await forward.port.receive('f.grave', { wait_ms: 30_000 });
    expect(dead).toMatchObject({ exchange: 'f.dead', key: 'order.new', message_id: 'one', headers: { tenant: 'a' } });
    expect((await server.list('list_exchanges', 'name')).filter((name) => name.startsWith('bootplane.'))).toEqual([]);
    await dispose();
  });
});

function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
  return new Promise((done) => {
    child.once('exit', () => done());
    child.kill('SIGKILL');
  });
}
