import { describe, expect, test } from 'vitest';
import type { BacklogStatus } from '../../../shared/contract/backlog.ts';
import { NO_OTHERS } from '../../../shared/reconcile/fall-forward/other-externals.ts';
import { memoryBackends } from '../../support/memory-environment.ts';
import { memoryEventBus } from '../../support/memory-event-bus.ts';
import { named, OUR_MARK, outcomes, pruneOn, pruneWorld } from '../../support/prune-world.ts';
import { bytes, code, everything, FULL, LEAVING, LESS, shrunk } from './prune.fixture.ts';

describe('what could be removed', () => {
  test('nothing while the profile names all that was made, and nothing is removed by leaving it out', async () => {
    const world = pruneWorld();
    await world.apply(FULL);
    const all = await world.preview();
    expect(named(all)).toEqual([]);
    expect(all).not.toHaveProperty('hash');
    await world.apply(LESS);
    expect(everything(world)).toEqual({ exchanges: ['events', 'dead'], queues: ['frames', 'stays'], bindings: 1 });
  });

  test('all that it made and the profile no longer names, in an order in which nothing more arrives where something goes', async () => {
    const world = await shrunk();
    expect(named(await world.preview())).toEqual(LEAVING);
  });

  test('with the same hash in whatever order a backend lists its things', async () => {
    const backends = memoryBackends();
    const { vector } = backends;
    const { readClasses } = vector;
    let isTurned = false;
    vector.readClasses = async (names: readonly string[]) => {
      isTurned = !isTurned;
      const states = await readClasses.call(vector, names);
      return isTurned ? states.toReversed() : states;
    };
    const world = pruneOn(backends);
    const profile = (...names: string[]) => ({ vector: { classes: names.map((name) => ({ name })) } });
    await world.apply(profile('One', 'Two', 'Three', 'Kept'));
    await world.apply(profile('Kept'));
    const hashes = [await world.preview(), await world.preview()].map(({ hash }) => hash);
    expect(hashes[0]).toBeDefined();
    expect(hashes[0]).toBe(hashes[1]);
  });

  test('with the hash of exactly that, and what is in it', async () => {
    const world = await shrunk();
    await world.backends.storage.put('captures', 'a', bytes('abc'));
    await world.backends.bus.publish({ exchange: 'events', key: 'a', body: bytes('x'), message_id: '1' });
    await world.backends.vector.upsert('Frame', [{ id: '1', vector: [1, 0], meta: {} }]);
    const preview = await world.preview();
    expect(preview).toMatchObject({ node_id: 'node-1', generation: 2, refused: [], expires_in_seconds: 600 });
    expect(preview.hash).toMatch(/^[0-9a-f]{64}$/);
    const evidence = Object.fromEntries(preview.components.flatMap(({ actions }) => actions.map((one) => [one.subject, one.evidence])));
    expect(evidence['bucket captures']).toMatchObject({ empty: false, holds: { objects: 1, bytes: 3 } });
    expect(evidence['queue frames']).toMatchObject({ empty: false, holds: { messages: 1 } });
    expect(evidence['class Frame']).toMatchObject({ empty: false, holds: { objects: 1 } });
    expect(evidence['exchange events']).toEqual({ empty: true, holds: {} });
  });

  test('an overflowing count says "at least"', async () => {
    const world = await shrunk();
    const { storage } = world.backends;
    storage.bucketStats = async () => ({ objects: 10_000, older_versions: 0, bytes: 5, unfinished_uploads: 0, truncated: true });
    const { components } = await world.preview();
    expect(components[1]?.actions.find(({ kind }) => kind === 'remove-bucket')?.evidence).toMatchObject({ at_least: true });
  });

  test('nothing that was there before, whatever the profile said about it since', async () => {
    const world = pruneWorld();
    const { storage, bus, vector } = world.backends;
    await storage.ensureBucket('captures');
    await storage.ensureLifecycle('captures', [{ id: 'old', prefix: 'raw/', expire_days: 30 }]);
    await storage.ensureTags('captures', { team: 'ops' });
    await bus.ensureExchange({ name: 'events', type: 'topic' });
    await bus.ensureExchange({ name: 'dead', type: 'fanout' });
    await bus.ensureQueue({ name: 'frames', type: 'classic', dlx: 'dead', arguments: {} });
    await bus.ensureBinding({ exchange: 'events', queue: 'frames', key: 'a', arguments: {} });
    await vector.ensureClass({ name: 'Frame', dimensions: 2, properties: [] });
    await world.apply(FULL);
    await world.apply(LESS);
    // The tag had another value before: it was changed, and not added.
    expect(named(await world.preview())).toEqual([
      'remove-lifecycle-rule lifecycle rule old of bucket reports',
      'remove-tag tag keep of bucket reports',
    ]);
  });

  test('a rule and a tag that were added to a bucket of somebody else, and not the bucket', async () => {
    const world = pruneWorld();
    await world.backends.storage.ensureBucket('captures');
    await world.apply(FULL);
    await world.apply(LESS);
    const found = named(await world.preview());
    expect(found).toContain('remove-lifecycle-rule lifecycle rule old of bucket captures');
    expect(found).toContain('remove-tag tag team of bucket captures');
    expect(found).not.toContain('remove-bucket bucket captures');
  });

  test('a rule, a tag, a queue and an exchange that somebody has changed since are not what was made here', async () => {
    const world = await shrunk();
    const { storage, bus } = world.backends;
    await storage.ensureTags('reports', { keep: 'no' });
    await storage.ensureLifecycle('reports', [{ id: 'old', prefix: '', expire_days: 60 }]);
    bus.dropQueue('frames');
    await bus.ensureQueue({ name: 'frames', type: 'classic', arguments: { 'x-max-length': 5 } });
    const preview = await world.preview();
    expect(named(preview)).toEqual(LEAVING.filter((one) => !/frames|reports/.test(one)));
    const kept = preview.components.flatMap((one) => one.kept.map(({ subject }) => subject));
    expect(kept).toEqual(['queue frames', 'lifecycle rule old of bucket reports', 'tag keep of bucket reports']);
  });

  test('one that extends the life of what it made still owns it', async () => {
    const world = pruneWorld();
    await world.apply(FULL);
    const longer = structuredClone(FULL);
    for (const bucket of longer.storage.buckets) for (const rule of bucket.lifecycle) rule.expire_days = 60;
    longer.storage.buckets[1] = { ...longer.storage.buckets[1], name: 'reports', tags: { team: 'ops', keep: 'later' }, lifecycle: [] };
    await world.apply(longer);
    await world.apply({ ...LESS, storage: { buckets: [{ name: 'reports' }, { name: 'captures' }] } });
    expect(named(await world.preview()).filter((one) => one.includes('bucket'))).toEqual([
      'remove-lifecycle-rule lifecycle rule old of bucket captures',
      'remove-lifecycle-rule lifecycle rule old of bucket reports',
      'remove-tag tag team of bucket captures',
      'remove-tag tag team of bucket reports',
      'remove-tag tag keep of bucket reports',
    ]);
  });

  test('what a queue or binding of the profile refers to is named by it', async () => {
    const world = pruneWorld();
    await world.apply(FULL);
    await world.apply({ ...LESS, broker: { queues: [{ name: 'frames', dlx: 'dead' }, { name: 'stays' }] } });
    expect(named(await world.preview()).filter((one) => one.includes('exchange'))).toEqual(['remove-exchange exchange events']);
  });

  test('never the exchange of the overlay, which is the node’s own', async () => {
    const world = pruneWorld();
    await world.apply({ broker: { exchanges: [{ name: 'overlay', type: 'topic' }] }, ...{ storage: LESS.storage } });
    await world.apply(LESS);
    expect(named(await world.preview())).toEqual([]);
  });

  test('what is gone by itself is forgotten: what comes there later is somebody else’s', async () => {
    const world = await shrunk({ storage: { records_maker: false }, vector: { records_maker: false } });
    const { storage, bus, vector } = world.backends;
    storage.dropBucket('captures');
    bus.dropQueue('frames');
    vector.dropClass('Frame');
    await world.preview();
    await storage.ensureBucket('captures');
    await bus.ensureQueue({ name: 'frames', type: 'classic', dlx: 'dead', arguments: {} });
    await vector.ensureClass({ name: 'Frame', dimensions: 2, properties: [] });
    const found = named(await world.preview());
    expect(found.filter((one) => /captures|frames|Frame/.test(one))).toEqual([]);
  });

  test('where the backend keeps who made a thing, that counts: made anew by somebody else it is theirs', async () => {
    const world = await shrunk();
    const { storage, vector } = world.backends;
    storage.dropBucket('captures');
    vector.dropClass('Frame');
    await storage.ensureBucket('captures');
    await vector.ensureClass({ name: 'Frame', properties: [] }, { made_by: 'bootplane:another-fleet' });
    const preview = await world.preview();
    expect(named(preview).filter((one) => /captures|Frame/.test(one))).toEqual([]);
    expect(preview.components.flatMap(({ kept }) => kept.map(({ subject }) => subject))).toEqual(['bucket captures', 'class Frame']);
  });

  test('where the backend keeps it, what another node of the fleet made is found by the names of earlier profiles', async () => {
    const world = pruneWorld();
    const { storage, vector } = world.backends;
    await storage.ensureBucket('of-the-leader-before', { made_by: OUR_MARK });
    await storage.ensureBucket('of-somebody');
    await vector.ensureClass({ name: 'Before', properties: [] }, { made_by: OUR_MARK });
    world.node.former = { buckets: ['of-the-leader-before', 'of-somebody', 'gone', 'reports'], classes: ['Before', 'Kept'] };
    await world.apply(LESS);
    expect(named(await world.preview())).toEqual(['remove-bucket bucket of-the-leader-before', 'remove-class class Before']);
  });

  test('a queue of which only the existence can be read stays, and says why', async () => {
    const world = await shrunk();
    const { bus } = world.backends;
    const { readTopology } = bus;
    bus.readTopology = async (wanted) => {
      const actual = await readTopology(wanted);
      return { ...actual, queues: actual.queues.map((queue) => ({ ...queue, unread: 'no management API' })) };
    };
    const preview = await world.preview();
    expect(named(preview)).not.toContain('remove-queue queue frames');
    expect(preview.components[0]?.kept).toContainEqual({
      subject: 'queue frames',
      detail: expect.stringContaining('RABBITMQ_MANAGEMENT_URL'),
    });
    // It still dead-letters into that exchange.
    expect(named(preview)).not.toContain('remove-exchange exchange dead');
  });
});

describe('what an apply never does by itself', () => {
  const BEFORE = {
    storage: { buckets: [{ name: 'captures', versioning: true, lifecycle: [{ id: 'old', expire_days: 30 }] }] },
    broker: { queues: [{ name: 'frames', ttl_ms: 60_000 }] },
  };
  const AFTER = {
    storage: { buckets: [{ name: 'captures', versioning: false, lifecycle: [{ id: 'old', expire_days: 7 }] }] },
    broker: { queues: [{ name: 'frames', ttl_ms: 1000 }] },
  };

  test('is done when it is approved, and the things stay ours', async () => {
    const world = pruneWorld();
    await world.apply(BEFORE);
    await world.apply(AFTER);
    const preview = await world.preview();
    expect(named(preview)).toEqual([
      'shorten-queue-ttl message TTL of queue frames',
      'suspend-versioning versioning of bucket captures',
      'tighten-lifecycle-rule lifecycle rule old of bucket captures',
    ]);
    await world.approve(preview);
    const [state] = await world.backends.storage.readBuckets(['captures']);
    expect(state).toMatchObject({ versioning: 'suspended', lifecycle: [{ id: 'old', expire_days: 7 }] });
    expect(world.backends.bus.everything().queues).toMatchObject([{ ttl_ms: 1000 }]);
    expect(named(await world.preview())).toEqual([]);
    await world.apply({ storage: { buckets: [{ name: 'captures' }] } });
    expect(named(await world.preview())).toEqual([
      'remove-queue queue frames',
      'remove-lifecycle-rule lifecycle rule old of bucket captures',
    ]);
  });

  test('on what has come to hold something since it was approved as empty, nothing is done', async () => {
    const world = pruneWorld();
    await world.apply(BEFORE);
    await world.apply(AFTER);
    const preview = await world.preview();
    const { bus } = world.backends;
    const { ensureVersioning } = world.backends.storage;
    // While the first action runs, an object arrives.
    world.backends.storage.ensureVersioning = async (...args) => {
      await world.backends.storage.put('captures', 'a', bytes('x'));
      return ensureVersioning(...args);
    };
    expect(outcomes(await world.approve(preview))).toMatchObject({
      'tighten-lifecycle-rule lifecycle rule old of bucket captures': 'kept',
    });
    expect(bus.everything().queues).toMatchObject([{ ttl_ms: 1000 }]);
  });

  test('what somebody made anew stays theirs, also when the profile changes it after that', async () => {
    const world = pruneWorld();
    const { bus } = world.backends;
    const long = { queues: [{ name: 'frames', ttl_ms: 60_000, arguments: { 'x-max-length': 5 } }, { name: 'stays' }] };
    await world.apply({ ...BEFORE, broker: long });
    bus.dropQueue('frames');
    await bus.ensureQueue({ name: 'frames', type: 'classic', ttl_ms: 1, arguments: {} });
    await world.apply({ ...BEFORE, broker: long });
    await bus.ensureQueue({ name: 'frames', type: 'classic', ttl_ms: 90_000, arguments: {} });
    await world.approve(await world.preview(), true);
    await world.apply({ ...BEFORE, broker: { queues: [{ name: 'stays' }] } });
    const preview = await world.preview();
    expect(named(preview)).toEqual([]);
    expect(preview.components.flatMap(({ kept }) => kept.map(({ subject }) => subject))).toEqual(['queue frames']);
  });

  test('a broker that can’t change a TTL says so', async () => {
    const world = pruneWorld({ bus: { alter_ttl: false } });
    await world.apply(BEFORE);
    await world.apply({ ...BEFORE, broker: AFTER.broker });
    const preview = await world.preview();
    expect(named(preview)).toEqual([]);
    expect(preview.components[0]?.kept).toMatchObject([{ subject: 'message TTL of queue frames' }]);
  });
});

describe('nothing may be removed', () => {
  test('without a profile', async () => {
    const world = pruneWorld();
    const preview = await world.preview();
    expect(preview.refused).toEqual([expect.stringContaining('no Environment Profile')]);
    expect(preview).not.toHaveProperty('hash');
    expect(preview.components).toEqual([]);
  });

  test('by a profile that names nothing at all', async () => {
    const world = pruneWorld();
    await world.apply(FULL);
    await world.apply({});
    const preview = await world.preview();
    expect(preview.refused).toEqual([expect.stringContaining('names nothing at all')]);
    expect(preview).not.toHaveProperty('hash');
  });

  test('while this node is not sure of what the fleet wants, also when that comes up between preview and approval', async () => {
    const world = await shrunk();
    const preview = await world.preview();
    world.node.doubts = ['the leader is provisional'];
    expect(await world.approve(preview)).toEqual({ refused: { code: 'prune_refused', detail: 'the leader is provisional' } });
    expect(await world.preview()).toMatchObject({ refused: ['the leader is provisional'] });
    expect(await world.preview()).not.toHaveProperty('hash');
    world.node.doubts = [];
    const lost = await world.approve(preview);
    expect(Object.values(outcomes(lost))).toContain('applied');
  });

  test('on a backend that another node reconciles', async () => {
    let leader: string | undefined;
    const world = await shrunk({ bus: { shared: true } }, { reconciledBy: (component) => (component === 'broker' ? leader : undefined) });
    const open = await world.preview();
    leader = 'node-9';
    const preview = await world.preview();
    expect(preview.components[0]).toMatchObject({ component: 'broker', actions: [], reconciled_by: 'node-9' });
    expect(code(await world.approve(open))).toBe('prune_changed');
    outcomes(await world.approve(preview));
    expect(everything(world).queues).toContain('frames');
  });

  test.each<[string, Partial<BacklogStatus>]>([
    ['its external is away', { presence: 'away', reason: 'connection refused' }],
    ['something waits to go there', { presence: 'forwarding', waiting: 3 }],
    ['something goes over', { presence: 'forwarding' }],
    ['something is in conflict', { conflicts: 1 }],
  ])('while %s', async (_, part) => {
    const calm: BacklogStatus = { presence: 'present', waiting: 0, forwarded: 0, conflicts: 0 };
    let status = calm;
    const first = pruneWorld();
    const forward = {
      external: first.backends.bus,
      fallback: memoryEventBus(first.clock),
      port: first.backends.bus,
      status: () => status,
      conflicts: { list: async () => [], find: async () => undefined, resolve: async () => ({ message: '' }) },
      others: NO_OTHERS,
      run: async () => undefined,
      wake: () => undefined,
    };
    const world = await shrunkOn(first, { broker: forward });
    expect(named(await world.preview()).filter((one) => one === 'remove-queue queue frames')).toHaveLength(2);
    status = { ...calm, ...part };
    const { components } = await world.preview();
    const brokers = components.filter(({ component }) => component === 'broker');
    expect(brokers).toHaveLength(2);
    for (const one of brokers) expect(one).toMatchObject({ actions: [], closed: expect.any(String) });
  });
});

/** A world whose broker is an external with an embedded default beside it. */
async function shrunkOn(first: ReturnType<typeof pruneWorld>, forwards: NonNullable<Parameters<typeof pruneWorld>[1]>['forwards']) {
  const world = pruneOn(first.backends, forwards === undefined ? {} : { forwards });
  await world.apply(FULL);
  await world.apply(LESS);
  return world;
}
