import { describe, expect, test } from 'vitest';
import { named, outcomes, pruneWorld } from '../../support/prune-world.ts';
import { bytes, FULL, LEAVING, LESS, shrunk } from './prune.fixture.ts';

describe('what somebody removed and somebody made anew is theirs', () => {
  test('a bucket with the rules and tags that it has', async () => {
    const world = await shrunk();
    const { storage } = world.backends;
    storage.dropBucket('captures');
    await storage.ensureBucket('captures');
    await storage.ensureLifecycle('captures', [{ id: 'old', prefix: 'raw/', expire_days: 30 }]);
    await storage.ensureTags('captures', { team: 'vision' });
    expect(named(await world.preview()).filter((one) => one.includes('captures'))).toEqual([]);
    expect(named(await world.preview()).filter((one) => one.includes('captures'))).toEqual([]);
  });

  test('also one that the profile names, and a rule that an apply adds to it is ours again', async () => {
    const world = await shrunk();
    const { storage } = world.backends;
    storage.dropBucket('reports');
    await storage.ensureBucket('reports');
    await storage.ensureTags('reports', { team: 'vision', keep: 'yes' });
    expect(named(await world.preview()).filter((one) => one.includes('reports'))).toEqual([]);
    await world.apply(FULL);
    await world.apply(LESS);
    expect(named(await world.preview()).filter((one) => one.includes('reports'))).toEqual([
      'remove-lifecycle-rule lifecycle rule old of bucket reports',
    ]);
  });

  test('a queue with the bindings that it has, and it does not become ours by being made once more as we had made it', async () => {
    const world = await shrunk();
    const { bus } = world.backends;
    bus.dropQueue('frames');
    await bus.ensureQueue({ name: 'frames', type: 'classic', arguments: { 'x-max-length': 5 } });
    await bus.ensureBinding({ exchange: 'events', queue: 'frames', key: 'a', arguments: {} });
    const preview = await world.preview();
    expect(named(preview).filter((one) => one.includes('frames'))).toEqual([]);
    expect(preview.components[0]?.kept.map(({ subject }) => subject)).toEqual(['queue frames']);
    // Their binding keeps it.
    expect(outcomes(await world.approve(preview))).toMatchObject({ 'remove-exchange exchange events': 'kept' });
    bus.dropQueue('frames');
    await bus.ensureQueue({ name: 'frames', type: 'classic', dlx: 'dead', arguments: {} });
    expect(named(await world.preview()).filter((one) => one.includes('frames'))).toEqual([]);
  });

  test('an exchange of another type with what is bound to it', async () => {
    const world = pruneWorld();
    const { bus } = world.backends;
    await world.apply(FULL);
    await world.apply({ ...LESS, broker: { queues: [{ name: 'stays' }, { name: 'frames', dlx: 'dead' }] } });
    await bus.removeBinding({ exchange: 'events', queue: 'frames', key: 'a', arguments: {} });
    await bus.removeExchange('events');
    await bus.ensureExchange({ name: 'events', type: 'fanout' });
    await bus.ensureBinding({ exchange: 'events', queue: 'frames', key: 'a', arguments: {} });
    expect(named(await world.preview()).filter((one) => one.includes('events'))).toEqual([]);
  });

  test('a queue with another TTL, where the broker does not change that of an existing one', async () => {
    const world = await shrunk({ bus: { alter_ttl: false } });
    const { bus } = world.backends;
    bus.dropQueue('frames');
    await bus.ensureQueue({ name: 'frames', type: 'classic', dlx: 'dead', ttl_ms: 1000, arguments: {} });
    expect(named(await world.preview()).filter((one) => one.includes('queue frames'))).toEqual([]);
  });

  test('also while the approved run is under way: a bucket, a class, and a queue with messages', async () => {
    const world = await shrunk();
    const { storage, bus, vector } = world.backends;
    await storage.put('captures', 'a', bytes('x'));
    await bus.publish({ exchange: '', key: 'frames', body: bytes('x'), message_id: '1' });
    await vector.upsert('Frame', [{ id: '1', vector: [1, 0], meta: {} }]);
    const preview = await world.preview();
    const { removeBinding } = bus;
    bus.removeBinding = async (binding) => {
      await removeBinding(binding);
      storage.dropBucket('captures');
      await storage.ensureBucket('captures');
      await storage.put('captures', 'theirs', bytes('y'));
      bus.dropQueue('frames');
      await bus.ensureQueue({ name: 'frames', type: 'classic', arguments: { 'x-max-length': 5 } });
      await bus.publish({ exchange: '', key: 'frames', body: bytes('y'), message_id: '2' });
      vector.dropClass('Frame');
      await vector.ensureClass({ name: 'Frame', properties: [] });
    };
    expect(outcomes(await world.approve(preview, true))).toMatchObject({
      'remove-queue queue frames': 'kept',
      'remove-bucket bucket captures': 'kept',
      'remove-class class Frame': 'kept',
    });
    expect(await storage.head('captures', 'theirs')).toMatchObject({ key: 'theirs' });
    expect(await bus.queueStats('frames')).toMatchObject({ ready: 1 });
  });
});

describe('where a backend can’t refuse to remove what has just come to hold something', () => {
  const UNGUARDED = { bus: { removes_if_empty: [] }, vector: { removes_if_empty: false } };
  const SECOND = ['remove-queue queue frames', 'remove-class class Frame'];

  test('what is empty needs the second flag too, and says so', async () => {
    const world = await shrunk(UNGUARDED);
    const preview = await world.preview();
    const unguarded = preview.components.flatMap(({ actions }) => actions.filter(({ evidence }) => evidence.unguarded === true));
    expect(unguarded.map(({ kind, subject }) => `${kind} ${subject}`)).toEqual(SECOND);
    const kept = outcomes(await world.approve(preview));
    for (const one of SECOND) expect(kept[one]).toBe('kept');
    expect(await world.backends.bus.queueStats('frames')).toMatchObject({ ready: 0 });
    const done = outcomes(await world.approve(await world.preview(), true));
    for (const one of SECOND) expect(done[one]).toBe('applied');
    expect(named(await world.preview())).toEqual([]);
  });

  test('and is looked at all the same: what came since is not removed', async () => {
    const world = await shrunk(UNGUARDED);
    const preview = await world.preview();
    const { removeBinding } = world.backends.bus;
    world.backends.bus.removeBinding = async (binding) => {
      await removeBinding(binding);
      await world.backends.bus.publish({ exchange: '', key: 'frames', body: bytes('x'), message_id: '1' });
    };
    expect(named(preview)).toEqual(LEAVING);
    expect(outcomes(await world.approve(preview, true))).toMatchObject({ 'remove-queue queue frames': 'kept' });
  });
});

describe('a removal that takes too long', () => {
  test('is told to end: it must not go on while others use the bucket again', async () => {
    const world = await shrunk({}, { removal_limit_ms: 1000 });
    const { storage } = world.backends;
    await storage.put('captures', 'a', bytes('x'));
    const preview = await world.preview();
    // Hashes are made outside of the event loop: the limit runs from when the removal began, however long they took.
    const begun = Promise.withResolvers<AbortSignal | undefined>();
    storage.removeBucket = (_, { signal } = {}) => {
      begun.resolve(signal);
      return new Promise(() => undefined);
    };
    const answer = world.approve(preview, true);
    const given = await begun.promise;
    await world.clock.advance(1000);
    expect(outcomes(await answer)).toMatchObject({ 'remove-bucket bucket captures': 'failed' });
    expect(given?.aborted).toBe(true);
  });
});
