import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { S3Storage } from '../../runtime-node/adapters/storage-s3/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { memoryOwnership } from '../support/memory-ownership.ts';
import { named, outcomes, pruneOn } from '../support/prune-world.ts';
import { recordingLog } from '../support/recording-log.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { until } from '../support/until.ts';
import { rabbitBus } from './event-bus.rabbitmq.support.ts';
import { CEPH, openS3, type Store } from './object-storage.s3.support.ts';

vi.setConfig({ testTimeout: 120_000 });
const why = whyNoRabbitMq() ?? CEPH.missing;
if (why !== undefined) test.skip(`prune on RabbitMQ and S3 (${why})`, () => {});

describe.skipIf(why !== undefined)('prune on RabbitMQ and S3', () => {
  let broker: RabbitMq;
  let store: Store;
  let storage: S3Storage;
  let bus: EventBus;
  let vector: VectorIndex;
  let id: string;
  beforeAll(async () => {
    [broker, store] = await Promise.all([startRabbitMq(), CEPH.start()]);
    storage = openS3(store);
    bus = rabbitBus({ url: broker.url(), management_url: broker.management_url });
    vector = createEmbeddedIndex({ log: recordingLog() });
  });
  afterAll(async () => {
    await Promise.all([storage?.close(), bus?.close(), vector?.close()]);
    await Promise.all([broker?.stop(), store?.stop()]);
  });
  beforeEach(() => {
    id = randomUUID().slice(0, 8);
  });

  const all = () => ({
    storage: {
      buckets: [
        { name: `made-${id}`, tags: { team: 'vision' } },
        { name: `filled-${id}` },
        { name: `stays-${id}`, tags: { team: 'vision' }, lifecycle: [{ id: 'old', expire_days: 30 }] },
      ],
    },
    broker: {
      exchanges: [{ name: `events-${id}`, type: 'topic' as const }],
      queues: [
        { name: `made-${id}` },
        { name: `quorum-${id}`, type: 'quorum' as const },
        { name: `filled-${id}` },
        { name: `theirs-${id}` },
      ],
      bindings: [
        { exchange: `events-${id}`, queue: `made-${id}`, key: 'a.#' },
        { exchange: `events-${id}`, queue: `filled-${id}`, key: 'b' },
      ],
    },
  });
  const less = () => ({ storage: { buckets: [{ name: `stays-${id}` }] } });
  const backends = () => ({ storage, bus, vector });
  const queues = async () => {
    const names = ['made', 'quorum', 'filled', 'theirs'].map((name) => `${name}-${id}`);
    return (await bus.readTopology({ exchanges: [], queues: names, bindings: [] })).queues.map(({ name }) => name).toSorted();
  };
  const short = (names: readonly string[]) => names.map((name) => name.replaceAll(`-${id}`, ''));

  async function shrunk() {
    await bus.ensureQueue({ name: `theirs-${id}`, type: 'classic', arguments: {} });
    await storage.ensureBucket(`stays-${id}`);
    await storage.ensureTags(`stays-${id}`, { theirs: 'kept' });
    await storage.ensureLifecycle(`stays-${id}`, [{ id: 'theirs', prefix: 'x/', expire_days: 9 }]);
    const node = pruneOn(backends());
    await node.apply(all());
    await storage.put(`filled-${id}`, 'key', new TextEncoder().encode('abc'));
    await bus.publish({ exchange: `events-${id}`, key: 'b', body: new TextEncoder().encode('x'), message_id: id });
    await node.apply(less());
    return node;
  }

  test('shows what was made here, removes what is empty, and what is not only when that is approved', async () => {
    const node = await shrunk();
    const preview = await node.preview();
    expect(preview.components.filter(({ failed }) => failed !== undefined)).toEqual([]);
    expect(short(named(preview)).toSorted()).toEqual(
      [
        'remove-binding binding events to made "a.#"',
        'remove-binding binding events to filled "b"',
        'remove-queue queue made',
        'remove-queue queue quorum',
        'remove-queue queue filled',
        'remove-exchange exchange events',
        'remove-lifecycle-rule lifecycle rule old of bucket stays',
        'remove-tag tag team of bucket stays',
        'remove-bucket bucket made',
        'remove-bucket bucket filled',
      ].toSorted(),
    );
    const results = outcomes(await node.approve(preview));
    expect(results).toMatchObject({ [`remove-queue queue filled-${id}`]: 'kept', [`remove-bucket bucket filled-${id}`]: 'kept' });
    // RabbitMQ can't refuse to remove a quorum queue to which a message has just come.
    expect(results).toMatchObject({ [`remove-queue queue quorum-${id}`]: 'kept' });
    expect(Object.values(results).filter((one) => one === 'applied')).toHaveLength(7);
    expect(short(await queues())).toEqual(['filled', 'quorum', 'theirs']);
    const rest = await node.preview();
    expect(short(named(rest)).toSorted()).toEqual([
      'remove-bucket bucket filled',
      'remove-queue queue filled',
      'remove-queue queue quorum',
    ]);
    expect(new Set(Object.values(outcomes(await node.approve(rest, true))))).toEqual(new Set(['applied']));
    expect(short(await queues())).toEqual(['theirs']);
    expect(await storage.readBuckets([`made-${id}`, `filled-${id}`, `stays-${id}`])).toEqual([
      expect.objectContaining({
        name: `stays-${id}`,
        tags: { theirs: 'kept' },
        lifecycle: [{ id: 'theirs', prefix: 'x/', expire_days: 9 }],
      }),
    ]);
  });

  test('a queue that somebody takes from without being a consumer is shown as used, and stays unless that is approved', async () => {
    const node = await shrunk();
    const others = rabbitBus({ url: broker.url() });
    await others.receive(`made-${id}`);
    await until('the figures', async () => (await bus.queueUse(`made-${id}`)).lately?.asked_in_vain === 1);
    const preview = await node.preview();
    const shown = preview.components.flatMap(({ actions }) => actions).find(({ subject }) => subject === `queue made-${id}`);
    expect(shown?.evidence).toMatchObject({ empty: true, used: true, use: { consumers: 0, lately: { taken: 0, asked_in_vain: 1 } } });
    expect(outcomes(await node.approve(preview))).toMatchObject({ [`remove-queue queue made-${id}`]: 'kept' });
    expect(outcomes(await node.approve(await node.preview(), true))).toMatchObject({ [`remove-queue queue made-${id}`]: 'applied' });
    await others.close();
  });

  test('a leader that takes over finds by their marks the buckets of the one before, and none of its queues', async () => {
    await shrunk();
    const next = pruneOn(backends(), { ownership: memoryOwnership(), node_id: 'node-2' });
    next.node.former = { buckets: all().storage.buckets.map(({ name }) => name), classes: [] };
    await next.apply(less());
    expect(short(named(await next.preview())).toSorted()).toEqual(['remove-bucket bucket filled', 'remove-bucket bucket made']);
  });

  test('a bucket and a queue that somebody made anew between preview and approval survive', async () => {
    const node = await shrunk();
    const preview = await node.preview();
    await storage.removeBucket(`made-${id}`);
    await storage.ensureBucket(`made-${id}`);
    await bus.removeQueue(`made-${id}`);
    await bus.ensureQueue({ name: `made-${id}`, type: 'classic', arguments: { 'x-max-length': 5 } });
    expect(await node.approve(preview, true)).toMatchObject({ refused: { code: 'prune_changed' } });
    const fresh = await node.preview();
    expect(short(named(fresh))).not.toContain('remove-bucket bucket made');
    expect(short(named(fresh))).not.toContain('remove-queue queue made');
    await node.approve(fresh, true);
    expect(short(await queues())).toEqual(['made', 'theirs']);
    expect(await storage.readBuckets([`made-${id}`])).toHaveLength(1);
  });

  test('without the management API a queue of which nobody can tell whose it is stays', async () => {
    const node = await shrunk();
    const passive = rabbitBus({ url: broker.url() });
    const blind = pruneOn({ ...backends(), bus: passive }, { ownership: node.ownership });
    await blind.apply(less());
    const preview = await blind.preview();
    expect(short(named(preview)).filter((one) => /queue|exchange/.test(one.split(' ')[0] ?? ''))).toEqual([]);
    expect(preview.components[0]?.kept.map(({ subject }) => subject)).toContain(`queue made-${id}`);
    await passive.close();
  });
});
