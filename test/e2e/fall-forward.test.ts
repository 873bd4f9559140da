import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { helloService } from './support/example-plan.ts';
import {
  backlogOf,
  type Externals,
  each,
  md5,
  messagesIn,
  objectsIn,
  serviceOf,
  startExternals,
  whyNoExternals,
} from './support/externals.ts';
import { type Fleet, type Member, openFleet } from './support/fleet-process.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';

const PROFILE = parse(readFileSync(resolve('docs/examples/profile.yaml'), 'utf8'));
const why = whyNoExternals();
const OBJECTS = 300;
const MESSAGES = 2000;

if (why !== undefined) test.skip(`fall forward onto RabbitMQ and S3 (${why})`, () => {});

const text = (index: number) => `object ${index} `.repeat(100);
const objectKeys = (count: number) => Array.from({ length: count }, (_, index) => `raw/${index}`);
/** At least once: what came again may stand there twice, in a row of its own. */
const inOrder = (ids: readonly string[]) => [...new Set(ids)];

/** A node with the profile and the service of the examples. */
async function openNode(env: Readonly<Record<string, string>>): Promise<{ fleet: Fleet; node: Member; ask: Ask; close(): Promise<void> }> {
  const seeds = await mkdtemp(join(tmpdir(), 'bootplane-seeds-'));
  const port = await freePort();
  await writeFile(`${seeds}/plan.json`, JSON.stringify({ ttl_seconds: 3, services: [helloService(port)] }));
  await writeFile(`${seeds}/profile.json`, JSON.stringify(PROFILE));
  const fleet = await openFleet({ nodes: 1, env, args: () => ['--plan', `${seeds}/plan.json`, '--profile', `${seeds}/profile.json`] });
  const [node] = fleet.members as [Member];
  await node.start();
  const close = async () => {
    await node.process?.end('SIGTERM');
    await fleet.close();
    await rm(seeds, { recursive: true, force: true });
  };
  return { fleet, node, close, ask: askAt(port) };
}

// biome-ignore lint/suspicious/noExplicitAny: what the example service answers
type Ask = (path: string, init?: RequestInit) => Promise<any>;

const askAt =
  (port: number): Ask =>
  async (path, init) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, init);
    const body = await answer.json();
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(body)}`);
    return body;
  };

/** Waits until a part of what waits has gone over and another has not. */
async function middleOf(node: Member, component: 'storage' | 'broker'): Promise<void> {
  const before = (await backlogOf(node, component))?.waiting ?? 0;
  const { waiting } = await until(`some of ${component} to go over`, async () => {
    const status = await backlogOf(node, component);
    return status !== undefined && status.waiting < before ? status : undefined;
  });
  expect(waiting).toBeGreaterThan(0);
}

const isRunning = async (node: Member) => {
  const health = await node.health();
  return health?.services?.[0]?.state === 'running' && health.status !== 'starting' ? health : undefined;
};

describe.skipIf(why !== undefined)('a node whose externals are away', () => {
  let externals: Externals;
  let opened: Awaited<ReturnType<typeof openNode>>;
  beforeAll(async () => {
    externals = await startExternals();
    await externals.kill();
    opened = await openNode(externals.env);
  });
  afterAll(async () => {
    await opened?.close();
    await externals?.stop();
  });
  const service = () => serviceOf(opened.node, opened.fleet.key);

  it('starts, runs its services, and says what is away', async () => {
    const health = await until('its service', () => isRunning(opened.node));
    expect(health).toMatchObject({
      status: 'degraded',
      adapters: { storage: 's3', broker: 'rabbitmq', vector: 'embedded' },
      components: { storage: { status: 'pending' }, broker: { status: 'pending' }, vector: { status: 'applied' } },
      backlog: { storage: { presence: 'away', waiting: 0 }, broker: { presence: 'away' } },
    });
    expect(health.waiting_for).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^storage: s3 at http.* is away/),
        expect.stringMatching(/^broker: rabbitmq at amqp.* is away/),
      ]),
    );
    expect(JSON.stringify(health)).not.toContain(externals.store.secret_key);
  });

  it('gives its services buckets and queues meanwhile', async () => {
    const { key } = await until('the first picture', () => opened.ask('/frames?camera=door', { method: 'POST', body: 'a door' }));
    const { hits } = await until('its vector', async () => {
      const found = await opened.ask(`/alike?to=${encodeURIComponent(key)}`);
      return found.hits.length === 1 ? found : undefined;
    });
    expect(hits[0]).toMatchObject({ key, camera: 'door' });
  });

  it('never says of what it can not know that it is not there', async () => {
    const { objects, messages } = await service();
    const unknown = [() => objects.get('captures', 'nobody-knows'), () => objects.list('captures'), () => messages.pull('alerts')];
    for (const ask of unknown) await expect(ask()).rejects.toMatchObject({ problem: { code: 'backend_away', status: 503 } });
  });

  it('lets all go over when they answer, also where it is killed and they go away again in the middle', async () => {
    const { objects, messages } = await service();
    await Promise.all([
      each(OBJECTS, 16, (index) => objects.put('captures', `raw/${index}`, text(index))),
      // One after the other is what makes an order.
      each(MESSAGES, 1, (index) => messages.publish('cameras', { key: 'alert.fire', message_id: `m${index}` })),
    ]);
    expect(await backlogOf(opened.node, 'storage')).toMatchObject({ waiting: OBJECTS + 1, forwarded: 0 });

    const { store, broker } = externals;
    const isAway = (component: 'storage' | 'broker') =>
      until('that it is away', async () => (await backlogOf(opened.node, component))?.presence === 'away');
    const restart = async () => {
      await opened.node.process?.end('SIGKILL');
      await opened.node.start();
    };

    await store.startGateway();
    await middleOf(opened.node, 'storage');
    await store.killGateway();
    await isAway('storage');
    const late = await service();
    await late.objects.put('captures', 'raw/late', 'late');
    await late.messages.publish('cameras', { key: 'alert.fire', message_id: 'late' });
    expect(await (await late.objects.get('captures', 'raw/late'))?.text()).toBe('late');
    await store.startGateway();
    await middleOf(opened.node, 'storage');
    await restart();

    await broker.start();
    await middleOf(opened.node, 'broker');
    await broker.kill();
    await isAway('broker');
    await broker.start();
    await middleOf(opened.node, 'broker');
    await restart();
    const health = await until('health ok', async () => {
      const now = await opened.node.health();
      const isThere = Object.values(now?.backlog ?? {}).every(({ presence }) => presence === 'present');
      return now?.status === 'ok' && isThere ? now : undefined;
    });
    expect(health.backlog).toMatchObject({
      storage: { presence: 'present', waiting: 0, conflicts: 0 },
      broker: { presence: 'present', waiting: 0, conflicts: 0 },
    });
    expect(health.components).toMatchObject({
      storage: { status: expect.stringMatching(/applied|unchanged/) },
      broker: { status: expect.stringMatching(/applied|unchanged/) },
    });
  });

  it('after which tools of others find all of it there, and it is told', async () => {
    const found = await objectsIn(externals.store, 'captures');
    for (const [index, key] of objectKeys(OBJECTS).entries()) expect(found.get(key), key).toBe(md5(text(index)));
    expect(found.get('raw/late')).toBe(md5('late'));
    const ids = inOrder(await messagesIn(externals.broker, 'alerts'));
    expect(ids).toEqual([...Array.from({ length: MESSAGES }, (_, index) => `m${index}`), 'late']);
    const { objects } = await service();
    expect(await objects.get('captures', 'nobody-knows')).toBeUndefined();
    expect(await (await objects.get('captures', 'raw/7'))?.text()).toBe(text(7));
    const { body } = await opened.node.client.events();
    const told = body.events.filter(({ data }) => data.action === 'fall-forward').map(({ data }) => `${data.component} ${data.status}`);
    expect(told).toEqual(expect.arrayContaining(['storage pending', 'storage applied', 'broker pending', 'broker applied']));
  });
});

describe('a node whose externals take calls and never answer', () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.resume();
  });
  let close: (() => Promise<void>) | undefined;
  afterEach(async () => {
    await close?.();
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => void server.close(done));
  });

  it('starts as fast as with none, keeps what is written, and stops', async () => {
    await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
    const address = server.address();
    const origin = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
    const env = {
      MINIO_ENDPOINT: `http://${origin}`,
      MINIO_ACCESS_KEY: 'a',
      MINIO_SECRET_KEY: 'a secret',
      AMQP_URL: `amqp://${origin}`,
      WEAVIATE_URL: `http://${origin}`,
    };
    const opened = await openNode(env);
    close = opened.close;
    // A call to one of them takes 30 s to give up, so nothing can have waited for that.
    await until('its service', () => isRunning(opened.node), 28);
    const { objects, messages, vectors } = await serviceOf(opened.node, opened.fleet.key);
    await objects.put('captures', 'k', 'kept');
    await messages.publish('cameras', { key: 'alert.fire', message_id: 'm' });
    await vectors.upsert('Frame', [
      { id: '00000000-0000-4000-8000-000000000001', vector: new Array(384).fill(1), meta: { camera: 'door' } },
    ]);
    expect(await (await objects.get('captures', 'k'))?.text()).toBe('kept');
    expect((await messages.pull('alerts'))[0]?.message_id).toBe('m');
    expect(await opened.node.process?.end('SIGTERM')).toBe(0);
  });
});

describe.skipIf(why !== undefined)('a node that gets externals after it worked without', () => {
  const KEY = 'a fleet key that is only for tests';
  let externals: Externals;
  let dataDir: string;
  let node: NodeProcess | undefined;
  beforeAll(async () => {
    externals = await startExternals();
    dataDir = await mkdtemp(join(tmpdir(), 'bootplane-before-'));
    await writeFile(`${dataDir}/profile.seed.json`, JSON.stringify(PROFILE));
  });
  afterAll(async () => {
    await node?.end('SIGKILL');
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    await externals?.stop();
  });
  const start = async (env: Readonly<Record<string, string>> = {}) => {
    const args = ['--no-mdns', '--node-id', 'node-1', '--profile', `${dataDir}/profile.seed.json`];
    node = await startNodeProcess({ dataDir, args, env: { BOOTPLANE_API_KEY: KEY, ...env } });
    return { node, ...(await serviceOf({ url: node.url, node_id: 'node-1' }, KEY)) };
  };

  it('lets what it held go over, and never says meanwhile that it is not there', async () => {
    const before = await start();
    await until('its bucket', () => before.objects.put('captures', 'raw/0', text(0)));
    await each(OBJECTS, 16, (index) => before.objects.put('captures', `raw/${index}`, text(index)));
    await each(50, 1, (index) => before.messages.publish('cameras', { key: 'alert.fire', message_id: `m${index}` }));
    expect(await before.node.end('SIGTERM')).toBe(0);

    const after = await start(externals.env);
    await until('all of it to go over', async () => {
      // It is there, or that is not known yet.
      const found = await after.objects.get('captures', 'raw/7').then(
        (object) => object !== undefined,
        (error) => error.problem?.code === 'backend_away',
      );
      expect(found).toBe(true);
      const { body } = await after.node.client.health();
      return body.status === 'ok' && body.backlog?.storage?.forwarded === OBJECTS && body.backlog.broker?.presence === 'present';
    });
    const found = await objectsIn(externals.store, 'captures');
    for (const [index, key] of objectKeys(OBJECTS).entries()) expect(found.get(key), key).toBe(md5(text(index)));
    expect(inOrder(await messagesIn(externals.broker, 'alerts'))).toEqual(Array.from({ length: 50 }, (_, index) => `m${index}`));
  });
});

describe.skipIf(why !== undefined)('two nodes whose shared externals are away', () => {
  const OWN = {
    storage: { buckets: [{ name: 'of-both' }] },
    broker: {
      exchanges: [{ name: 'both', type: 'topic' }],
      queues: [{ name: 'of-both' }],
      bindings: [{ exchange: 'both', queue: 'of-both', key: '#' }],
    },
  };
  let externals: Externals;
  let fleet: Fleet;
  beforeAll(async () => {
    externals = await startExternals();
    await externals.kill();
    fleet = await openFleet({ nodes: 2, env: externals.env, args: () => ['--ttl-seconds', '6'] });
    for (const member of fleet.members) await member.start();
  });
  afterAll(async () => {
    await fleet?.close();
    await externals?.stop();
  });

  it('both keep what is written, and let it go over when the leader has brought them to the profile', async () => {
    const leader = await fleet.settled();
    await leader.client.publish('profile', OWN, { if_match: 0 });
    for (const [number, member] of fleet.members.entries()) {
      const { objects, messages } = await serviceOf(member, fleet.key);
      await until('its embedded default', () => objects.put('of-both', `of-${number}`, text(number)));
      await each(20, 4, (index) => objects.put('of-both', `of-${number}-${index}`, text(index)));
      await each(20, 1, (index) => messages.publish('both', { key: 'k', message_id: `n${number}-${index}` }));
    }
    await externals.start();
    for (const member of fleet.members)
      await until(`${member.node_id} is well`, async () => {
        const health = await member.health();
        const waiting = Object.values(health?.backlog ?? {}).some(({ waiting, presence }) => waiting > 0 || presence !== 'present');
        return health?.status === 'ok' && !waiting;
      });
    const now = await fleet.settled();
    for (const member of fleet.members) {
      const { components } = (await member.health()) ?? {};
      const status = expect.stringMatching(member === now ? /applied|unchanged/ : /skipped/);
      expect(components).toMatchObject({ storage: { status }, broker: { status } });
    }
    expect((await objectsIn(externals.store, 'of-both')).size).toBe(42);
    const ids = inOrder(await messagesIn(externals.broker, 'of-both'));
    for (const number of [0, 1])
      expect(ids.filter((id) => id.startsWith(`n${number}-`))).toEqual(Array.from({ length: 20 }, (_, index) => `n${number}-${index}`));
  });
});
