import { createServer, connect as dial, type Socket } from 'node:net';
import { connect } from 'amqplib';
import { type Externals, each, md5, objectsIn, serviceOf, startExternals, whyNoExternals } from '../e2e/support/externals.ts';
import { type Fleet, type Member, openFleet } from '../e2e/support/fleet-process.ts';
import { systemClock as clock } from '../support/system-clock.ts';
import { until } from '../support/until.ts';
import { weaviateCall, whyNoWeaviate } from '../support/weaviate.ts';
import type { Row } from './report.ts';

/** How much is written while the externals are away. */
export interface ForwardCounts {
  readonly objects: number;
  readonly messages: number;
  readonly vectors: number;
}

const DIMENSIONS = 8;
const BATCH = 100;
/** What is killed, each time that another part of what waits has gone over. */
const KILLS = ['node', 'servers', 'node', 'servers', 'node', 'servers', 'node', 'node'] as const;
/** Seconds for the whole of one step. */
const PATIENCE = 1200;

const objectText = (index: number) => `object ${index} `.repeat(50);
const vectorId = (index: number) => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
const vectorValues = (index: number) => Array.from({ length: DIMENSIONS }, (_, at) => Math.fround(Math.sin(index + at) + 2));
const say = (text: string) => void process.stdout.write(`${new Date().toISOString()} ${text}\n`);

/**
 * Counts of objects, messages and vectors are written to a real node whose externals are away. Then those come, and node and
 * servers are killed in the middle. Tools of others read what is there; throws where anything is missing or another.
 */
export async function provenUnderFire(counts: ForwardCounts): Promise<Row[]> {
  const why = whyNoExternals();
  if (why !== undefined) return [{ what: 'fall forward under fire', figure: 'not run', goal: why }];
  const externals = await startExternals();
  const weaviate = whyNoWeaviate() === undefined ? await lineTo(process.env.WEAVIATE_URL ?? '') : undefined;
  const className = `Kills${Date.now()}`;
  const env = { ...externals.env, ...(weaviate === undefined ? {} : { WEAVIATE_URL: weaviate.url }) };
  const fleet = await openFleet({ nodes: 1, env, args: () => ['--ttl-seconds', '3'] });
  const vectors = weaviate === undefined ? 0 : counts.vectors;
  try {
    await externals.kill();
    const site: Site = { fleet, externals, weaviate, className, counts: { ...counts, vectors } };
    await write(site);
    const took = await fire(site);
    return [{ what: 'fall forward under fire', figure: `all over after ${Math.round(took / 1000)} s` }, ...(await verify(site))];
  } finally {
    if (weaviate !== undefined) await weaviateCall('DELETE', `/v1/schema/${className}`).catch(() => undefined);
    await fleet.close();
    await externals.stop();
    await weaviate?.close();
  }
}

interface Site {
  readonly fleet: Fleet;
  readonly externals: Externals;
  readonly weaviate: Line | undefined;
  readonly className: string;
  readonly counts: ForwardCounts;
}

const nodeOf = ({ fleet }: Site) => fleet.members[0] as Member;

async function write(site: Site): Promise<void> {
  const { fleet, className, counts } = site;
  const node = nodeOf(site);
  await node.start();
  await fleet.settled();
  const profile = {
    storage: { buckets: [{ name: 'fired' }] },
    broker: {
      exchanges: [{ name: 'fired', type: 'topic' }],
      queues: [{ name: 'fired' }],
      bindings: [{ exchange: 'fired', queue: 'fired', key: '#' }],
    },
    vector: { classes: [{ name: className, dimensions: DIMENSIONS, properties: [{ name: 'number', type: 'int' }] }] },
  };
  await node.client.publish('profile', profile, { if_match: 0 });
  const { objects, messages, vectors } = await serviceOf(node, fleet.key);
  await until('the bucket', () => objects.put('fired', 'object-0', objectText(0)));
  await each(counts.objects, 32, (index) => objects.put('fired', `object-${index}`, objectText(index)));
  say(`${counts.objects} objects wait`);
  await each(counts.messages, 64, (index) => messages.publish('fired', { key: 'k', message_id: `m${index}`, body: `${index}` }));
  say(`${counts.messages} messages wait`);
  await each(Math.ceil(counts.vectors / BATCH), 4, (batch) => {
    const numbers = Array.from({ length: Math.min(BATCH, counts.vectors - batch * BATCH) }, (_, index) => batch * BATCH + index);
    return vectors.upsert(
      className,
      numbers.map((number) => ({ id: vectorId(number), vector: vectorValues(number), meta: { number } })),
    );
  });
  say(`${counts.vectors} vectors wait`);
}

/** How much waits on the node, of each kind together. Undefined while it does not answer. */
async function waiting(node: Member): Promise<number | undefined> {
  const backlog = (await node.health())?.backlog;
  return backlog && Object.values(backlog).reduce((sum, one) => sum + one.waiting, 0);
}

/** Milliseconds until nothing waited any more. */
async function fire(site: Site): Promise<number> {
  const { externals, weaviate } = site;
  const node = nodeOf(site);
  const all = (await waiting(node)) ?? 0;
  const started = performance.now();
  await externals.start();
  weaviate?.open();
  for (const [number, what] of KILLS.entries()) {
    const target = all * (1 - (number + 1) / (KILLS.length + 1));
    const left = await until(
      'more to go over',
      async () => ((await waiting(node)) ?? all) <= target && ((await waiting(node)) ?? 0),
      PATIENCE,
    );
    say(`${left} of ${all} wait: the ${what} ${what === 'node' ? 'is' : 'are'} killed`);
    if (what === 'node') {
      await node.process?.end('SIGKILL');
      await node.start();
    } else {
      weaviate?.cut();
      await externals.kill();
      await clock.sleep(2000);
      await externals.start();
      weaviate?.open();
    }
  }
  await until(
    'nothing to wait',
    async () => {
      const backlog = Object.values((await node.health())?.backlog ?? {});
      return backlog.length > 0 && backlog.every(({ presence, waiting }) => presence === 'present' && waiting === 0);
    },
    PATIENCE,
  );
  return performance.now() - started;
}

async function verify(site: Site): Promise<Row[]> {
  const { counts, externals } = site;
  const backlog = (await nodeOf(site).health())?.backlog ?? {};
  for (const [component, { conflicts }] of Object.entries(backlog))
    if (conflicts > 0) throw new Error(`${conflicts} conflicts of ${component}`);
  return [await verifyObjects(counts.objects, externals), await verifyMessages(counts.messages, externals), await verifyVectors(site)];
}

async function verifyObjects(count: number, { store }: Externals): Promise<Row> {
  const found = await objectsIn(store, 'fired');
  for (let index = 0; index < count; index += 1)
    if (found.get(`object-${index}`) !== md5(objectText(index))) throw new Error(`object-${index} is missing or another`);
  if (found.size !== count) throw new Error(`${found.size} objects are there`);
  return { what: `${count} objects`, figure: 'all there, by the MD5 that aws lists' };
}

async function verifyMessages(count: number, { broker }: Externals): Promise<Row> {
  const model = await connect(broker.url());
  const channel = await model.createChannel();
  const seen = new Map<string, number>();
  let total = 0;
  await channel.consume(
    'fired',
    (message) => {
      const id: string = message?.properties.messageId ?? '';
      if (message?.content.toString() !== id.slice(1)) throw new Error(`message ${id} has another body`);
      seen.set(id, (seen.get(id) ?? 0) + 1);
      total += 1;
    },
    { noAck: true },
  );
  for (let before = -1; before !== total; await clock.sleep(2000)) before = total;
  await model.close();
  for (let index = 0; index < count; index += 1) if (!seen.has(`m${index}`)) throw new Error(`message m${index} is missing`);
  if (seen.size !== count) throw new Error(`${seen.size} ids are there`);
  return { what: `${count} messages`, figure: `all there, by a bare consumer; ${total - seen.size} came once more with the same id` };
}

async function verifyVectors({ counts: { vectors: count }, className }: Site): Promise<Row> {
  if (count === 0) return { what: 'vectors', figure: 'not run', goal: whyNoWeaviate() ?? 'none asked for' };
  let seen = 0;
  for (let after = ''; ; ) {
    const path = `/v1/objects?class=${className}&limit=1000&include=vector${after === '' ? '&after=' : `&after=${after}`}`;
    const { objects } = (await weaviateCall('GET', path)) as {
      objects: { id: string; vector: number[]; properties: { number: number } }[];
    };
    for (const { id, vector, properties } of objects) {
      const wanted = vectorValues(properties.number);
      if (id !== vectorId(properties.number) || vector.some((value, at) => Math.fround(value) !== wanted[at]))
        throw new Error(`${id} is another`);
      seen += 1;
    }
    const last = objects.at(-1);
    if (last === undefined) break;
    after = last.id;
  }
  if (seen !== count) throw new Error(`${seen} vectors are there`);
  return { what: `${count} vectors`, figure: "all there, each component, by Weaviate's own lists" };
}

/** A line to a server that can be cut. It is cut at the start. */
interface Line {
  readonly url: string;
  open(): void;
  cut(): void;
  close(): Promise<void>;
}

async function lineTo(target: string): Promise<Line> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let isOpen = false;
  const server = createServer((client) => {
    client.on('error', () => undefined);
    if (!isOpen) return void client.destroy();
    const there = dial(Number(port), hostname);
    for (const socket of [client, there]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        client.destroy();
        there.destroy();
      });
    }
    client.pipe(there).pipe(client);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const cut = () => {
    isOpen = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    open: () => {
      isOpen = true;
    },
    cut,
    close: () => {
      cut();
      return new Promise((done) => void server.close(() => done()));
    },
  };
}
