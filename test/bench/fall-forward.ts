import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { Client } from 'minio';
import { createSqliteBacklog } from '../../runtime-node/adapters/backlog/index.ts';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { createRabbitBus } from '../../runtime-node/adapters/bus-rabbitmq/index.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import { BusError, type EventBus } from '../../shared/ports/event-bus.ts';
import { type ObjectStorage, StorageError } from '../../shared/ports/object-storage.ts';
import { VectorError, type VectorIndex } from '../../shared/ports/vector-index.ts';
import { createForwardBus } from '../../shared/reconcile/fall-forward/bus.ts';
import { createForwardStorage } from '../../shared/reconcile/fall-forward/storage.ts';
import type { FallForward } from '../../shared/reconcile/fall-forward/types.ts';
import { createForwardIndex } from '../../shared/reconcile/fall-forward/vector.ts';
import { openS3 } from '../adapters/object-storage.s3.support.ts';
import { each } from '../e2e/support/externals.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type Ceph, startCeph, whyNoCeph } from '../support/servers/ceph.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock as clock } from '../support/system-clock.ts';
import { openWeaviate, weaviateCall, whyNoWeaviate } from '../support/weaviate.ts';
import { type ForwardCounts, provenUnderFire } from './fall-forward-kills.ts';
import type { Row } from './report.ts';

const MEASURED: ForwardCounts = { objects: 1000, messages: 20_000, vectors: 5000 };
const UNDER_FIRE: ForwardCounts = { objects: 10_000, messages: 100_000, vectors: 100_000 };
const WIDTH = 8;
const WINDOW = 256;
const DIMENSIONS = 32;
const BODY = Buffer.alloc(16 * 1024, 'x');
const SMALL = Buffer.alloc(256, 'x');

/**
 * What waits on a node goes over: through the fall forward, which compares and verifies, against the plain client that
 * copies the same to the same server. `--objects=N --messages=N --vectors=N` set how many. With `--kills` a real node and
 * its servers are killed in the middle instead, and all of it is verified.
 */
export async function benchFallForward(flags: readonly string[]): Promise<Row[]> {
  const isUnderFire = flags.includes('--kills');
  const counts = read(flags, isUnderFire ? UNDER_FIRE : MEASURED);
  if (isUnderFire) return provenUnderFire(counts);
  const folder = mkdtempSync(join(tmpdir(), 'bootplane-forward-'));
  try {
    return [
      await benchObjects(folder, counts.objects),
      await benchMessages(folder, counts.messages),
      await benchVectors(folder, counts.vectors),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function read(flags: readonly string[], counts: ForwardCounts): ForwardCounts {
  const given = flags.flatMap((flag) => /^--(objects|messages|vectors)=(\d+)$/.exec(flag)?.slice(1, 3) ?? []);
  const pairs = Array.from({ length: given.length / 2 }, (_, index) => [given[2 * index], Number(given[2 * index + 1])]);
  return { ...counts, ...Object.fromEntries(pairs) };
}

async function benchObjects(folder: string, count: number): Promise<Row> {
  const what = `${count} objects of ${BODY.length / 1024} KiB go over to Ceph`;
  const why = whyNoCeph();
  if (why !== undefined) return { what, figure: 'not run', goal: why };
  const store = await startCeph();
  const line = lineTo<ObjectStorage>(openS3(store), new StorageError('backend_away', 'the bench has not begun'));
  const fallback = await createFsStorage({ root: join(folder, 'storage'), clock, random: seededRandom(), log: recordingLog() });
  const deps = forwardDeps(folder, 'storage');
  const forward = createForwardStorage({ ...deps, external: line.port, fallback });
  try {
    for (const bucket of ['ours', 'theirs']) await line.direct.ensureBucket(bucket);
    await fallback.ensureBucket('ours');
    await each(count, 32, (index) => forward.port.put('ours', `object-${index}`, Buffer.concat([BODY, Buffer.from(`${index}`)])));
    const mine = await goesOver(forward, line.open);
    const theirs = await timed(() => copyObjects(fallback, store, count));
    return rowOf(what, { count, mine, theirs, client: 'minio client', unit: 'objects/s' });
  } finally {
    await forward.port.close();
    await deps.backlog.close();
    await store.stop();
  }
}

/** The same objects from the same place, as many at a time, with nothing compared and nothing verified. */
async function copyObjects(from: ObjectStorage, { endpoint, access_key, secret_key }: Ceph, count: number): Promise<void> {
  const { hostname, port } = new URL(endpoint);
  const client = new Client({
    endPoint: hostname,
    port: Number(port),
    useSSL: false,
    accessKey: access_key,
    secretKey: secret_key,
    region: 'us-east-1',
  });
  await each(count, WIDTH, async (index) => {
    const { body } = await from.get('ours', `object-${index}`);
    await client.putObject('theirs', `object-${index}`, Buffer.from(await new Response(body).arrayBuffer()));
  });
}

async function benchMessages(folder: string, count: number): Promise<Row> {
  const what = `${count} messages of ${SMALL.length} bytes go over to RabbitMQ, confirmed and in order`;
  const why = whyNoRabbitMq();
  if (why !== undefined) return { what, figure: 'not run', goal: why };
  const server = await startRabbitMq();
  const options = { clock, random: seededRandom(), log: recordingLog() };
  const external = createRabbitBus({ url: server.url(), management_url: server.management_url, ...options });
  const line = lineTo<EventBus>(external, new BusError('backend_away', 'the bench has not begun'));
  const fallback = createLocalBus({ path: join(folder, 'bus.sqlite'), ...options });
  const deps = forwardDeps(folder, 'bus');
  const forward = createForwardBus({ ...deps, external: line.port, fallback });
  try {
    for (const bus of [line.direct, fallback]) await bus.ensureQueue({ name: 'ours', type: 'classic', arguments: {} });
    await line.direct.ensureQueue({ name: 'theirs', type: 'classic', arguments: {} });
    await each(count, WINDOW, (index) => forward.port.publish({ exchange: '', key: 'ours', message_id: `${index}`, body: SMALL }));
    const mine = await goesOver(forward, line.open);
    const { ready } = await line.direct.queueStats('ours');
    if (ready !== count) throw new Error(`${ready} of ${count} messages arrived`);
    const theirs = await timed(() => publishBare(server, count));
    return rowOf(what, { count, mine, theirs, client: 'amqplib', unit: 'messages/s' });
  } finally {
    await forward.port.close();
    await deps.backlog.close();
    await server.stop();
  }
}

/** Out of memory, with confirms. */
async function publishBare(server: RabbitMq, count: number): Promise<void> {
  const model = await connect(server.url());
  const channel = await model.createConfirmChannel();
  for (let sent = 0; sent < count; sent += WINDOW) {
    for (let index = sent; index < Math.min(count, sent + WINDOW); index += 1)
      channel.sendToQueue('theirs', SMALL, { persistent: true, messageId: `${index}` });
    await channel.waitForConfirms();
  }
  await model.close();
}

async function benchVectors(folder: string, count: number): Promise<Row> {
  const what = `${count} vectors of ${DIMENSIONS} dimensions go over to Weaviate`;
  const why = whyNoWeaviate();
  if (why !== undefined) return { what, figure: 'not run', goal: why };
  const [ours, theirs] = [`Ours${Date.now()}`, `Theirs${Date.now()}`];
  const line = lineTo<VectorIndex>(openWeaviate(), new VectorError('backend_away', 'the bench has not begun'));
  const fallback = createEmbeddedIndex({ path: join(folder, 'vector.sqlite'), log: recordingLog() });
  const deps = forwardDeps(folder, 'vector');
  const forward = createForwardIndex({ ...deps, external: line.port, fallback });
  try {
    const spec = (name: string) => ({ name, dimensions: DIMENSIONS, properties: [{ name: 'camera', type: 'text' as const }] });
    for (const name of [ours, theirs]) await line.direct.ensureClass(spec(name));
    await fallback.ensureClass(spec(ours));
    for (const batch of batches(count)) await forward.port.upsert(ours, batch);
    const mine = await goesOver(forward, line.open);
    const bare = await timed(async () => {
      for (const batch of batches(count)) await sendBare(theirs, batch);
    });
    return rowOf(what, { count, mine, theirs: bare, client: 'batches of its REST API', unit: 'vectors/s' });
  } finally {
    for (const name of [ours, theirs]) await weaviateCall('DELETE', `/v1/schema/${name}`).catch(() => undefined);
    await forward.port.close();
    await deps.backlog.close();
  }
}

type Vector = Parameters<VectorIndex['upsert']>[1][number];

function* batches(count: number): Generator<Vector[]> {
  for (let start = 0; start < count; start += WINDOW)
    yield Array.from({ length: Math.min(WINDOW, count - start) }, (_, index) => vectorOf(start + index));
}

function vectorOf(number: number): Vector {
  const id = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  return { id, vector: Array.from({ length: DIMENSIONS }, (_, at) => Math.sin(number + at)), meta: { camera: 'door' } };
}

async function sendBare(name: string, batch: readonly Vector[]): Promise<void> {
  await weaviateCall('POST', '/v1/batch/objects', {
    objects: batch.map(({ id, vector, meta }) => ({ class: name, id, vector, properties: meta })),
  });
}

/** An external that is away until it is opened. `direct` is there all the time. */
function lineTo<Port extends object>(direct: Port, error: Error) {
  let isOpen = false;
  const port = new Proxy(direct, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => (isOpen || name === 'close' ? value.apply(target, args) : Promise.reject(error));
    },
  });
  const open = () => {
    isOpen = true;
  };
  return { direct, port, open };
}

function forwardDeps(folder: string, name: string) {
  const log = recordingLog();
  return { clock, random: seededRandom(), log, backlog: createSqliteBacklog({ path: join(folder, `${name}-backlog.sqlite`), clock, log }) };
}

/** Milliseconds from the moment at which the external answers until nothing waits. */
async function goesOver(forward: FallForward<unknown>, open: () => void): Promise<number> {
  const ending = new AbortController();
  open();
  const started = performance.now();
  const running = forward.run(ending.signal);
  while (forward.status().presence === 'away') await clock.sleep(1);
  forward.wake();
  while (forward.status().presence !== 'present' || forward.status().waiting > 0) await clock.sleep(5);
  const took = performance.now() - started;
  ending.abort();
  await running;
  const { conflicts } = forward.status();
  if (conflicts > 0) throw new Error(`${conflicts} conflicts`);
  return took;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

interface Measured {
  readonly count: number;
  readonly mine: number;
  readonly theirs: number;
  readonly client: string;
  readonly unit: string;
}

function rowOf(what: string, { count, mine, theirs, client, unit }: Measured): Row {
  const rate = (ms: number) => Math.round((count / ms) * 1000);
  return { what, figure: `${rate(mine)} ${unit}, ${client} ${rate(theirs)}`, ratio: (theirs / mine).toFixed(2) };
}
