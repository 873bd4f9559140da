import { describe, expect, test } from 'vitest';
import { APPROVAL_MS } from '../../../shared/reconcile/prune/approvals.ts';
import { named, outcomes } from '../../support/prune-world.ts';
import { bytes, code, everything, LEAVING, LESS, shrunk } from './prune.fixture.ts';

describe('an approved removal', () => {
  test('removes exactly that, once, and tells who approved it', async () => {
    const world = await shrunk();
    const preview = await world.preview();
    const answer = await world.approve(preview);
    expect(outcomes(answer)).toEqual(Object.fromEntries(LEAVING.map((one) => [one, 'applied'])));
    expect(answer).toMatchObject({ node_id: 'node-1', generation: 2, hash: preview.hash, approved_by: 'fleet-key (operator)' });
    expect(everything(world)).toEqual({ exchanges: [], queues: ['stays'], bindings: 0 });
    expect(await world.backends.storage.readBuckets(['captures', 'reports'])).toMatchObject([
      { name: 'reports', tags: { team: 'vision' }, lifecycle: [] },
    ]);
    expect(named(await world.preview())).toEqual([]);
    const events = world.events.filter(({ action }) => action.startsWith('prune '));
    expect(events).toHaveLength(LEAVING.length);
    expect(events[0]).toMatchObject({
      component: 'broker',
      action: 'prune binding events to frames "a"',
      status: 'applied',
      generation: 2,
      message: expect.stringMatching(/^remove-binding on \S+ at \S+, approved by fleet-key \(operator\)$/),
    });
    expect(new Set(events.map(({ action, attempt, idempotency_key }) => `${action} ${attempt} ${idempotency_key}`)).size).toBe(
      LEAVING.length,
    );
    expect(world.log.lines.filter(({ message }) => message.startsWith('prune: '))).toMatchObject([
      { level: 'warn', fields: { approved_by: 'fleet-key (operator)', hash: preview.hash, generation: 2 } },
      { level: 'warn', fields: { applied: LEAVING.length, failed: 0 } },
    ]);
    expect(code(await world.approve(preview))).toBe('prune_expired');
  });

  test('leaves what is not empty, and what needs it, unless that is approved too', async () => {
    const world = await shrunk();
    await world.backends.storage.put('captures', 'a', bytes('abc'));
    await world.backends.bus.publish({ exchange: 'events', key: 'a', body: bytes('x'), message_id: '1' });
    const first = outcomes(await world.approve(await world.preview()));
    expect(first).toMatchObject({
      'remove-binding binding events to frames "a"': 'applied',
      'remove-queue queue frames': 'kept',
      'remove-exchange exchange dead': 'not_tried',
      'remove-bucket bucket captures': 'kept',
      'remove-class class Frame': 'applied',
    });
    expect(everything(world).queues).toContain('frames');
    const second = outcomes(await world.approve(await world.preview(), true));
    expect(new Set(Object.values(second))).toEqual(new Set(['applied']));
    expect(everything(world)).toEqual({ exchanges: [], queues: ['stays'], bindings: 0 });
  });

  test('a hash that was never shown, or too long ago, runs nothing', async () => {
    const world = await shrunk();
    const unknown = await world.prune.run({ hash: 'a'.repeat(64) }, 'me');
    expect(code(unknown)).toBe('prune_expired');
    const preview = await world.preview();
    await world.clock.advance(APPROVAL_MS);
    expect(code(await world.approve(preview))).toBe('prune_expired');
    expect(everything(world).queues).toContain('frames');
  });

  test.each([
    [
      'messages have come into a queue that was empty',
      (world: Awaited<ReturnType<typeof shrunk>>) =>
        world.backends.bus.publish({ exchange: 'events', key: 'a', body: bytes('x'), message_id: '1' }),
    ],
    ['something has gone by itself', async (world: Awaited<ReturnType<typeof shrunk>>) => world.backends.storage.dropBucket('captures')],
    [
      'a bucket was made anew by somebody else',
      async (world: Awaited<ReturnType<typeof shrunk>>) => {
        world.backends.storage.dropBucket('captures');
        await world.backends.storage.ensureBucket('captures');
      },
    ],
    [
      'the bucket has other tags',
      (world: Awaited<ReturnType<typeof shrunk>>) => world.backends.storage.ensureTags('captures', { mine: 'now' }),
    ],
    ['another profile has come', (world: Awaited<ReturnType<typeof shrunk>>) => world.apply(LESS)],
  ])('when %s, nothing runs', async (_, change) => {
    const world = await shrunk();
    const preview = await world.preview();
    await change(world);
    const before = everything(world);
    expect(code(await world.approve(preview))).toBe('prune_changed');
    expect(everything(world)).toEqual(before);
  });

  test('a queue in which messages keep coming holds its hash', async () => {
    const world = await shrunk();
    const publish = (message_id: string) => world.backends.bus.publish({ exchange: 'events', key: 'a', body: bytes('x'), message_id });
    await publish('1');
    const preview = await world.preview();
    await publish('2');
    expect(outcomes(await world.approve(preview, true))).toMatchObject({ 'remove-queue queue frames': 'applied' });
  });

  test('what fills up, or is used, just before it would go, stays', async () => {
    const world = await shrunk();
    const { removeBinding } = world.backends.bus;
    world.backends.bus.removeBinding = async (binding) => {
      await world.backends.bus.publish({ exchange: 'events', key: 'a', body: bytes('x'), message_id: '1' });
      await removeBinding(binding);
    };
    const results = outcomes(await world.approve(await world.preview()));
    expect(results).toMatchObject({ 'remove-queue queue frames': 'kept', 'remove-exchange exchange dead': 'not_tried' });
    expect(world.events.find(({ action }) => action === 'prune queue frames')).toMatchObject({ status: 'skipped' });
  });

  test('an exchange that somebody has bound something to stays', async () => {
    const world = await shrunk();
    await world.backends.bus.ensureBinding({ exchange: 'events', queue: 'stays', key: 'mine', arguments: {} });
    expect(outcomes(await world.approve(await world.preview()))).toMatchObject({ 'remove-exchange exchange events': 'kept' });
  });

  test('one that fails stops those that need it, and no others', async () => {
    const world = await shrunk();
    world.backends.bus.removeBinding = () => Promise.reject(new Error('the broker says no'));
    const results = outcomes(await world.approve(await world.preview()));
    expect(results).toMatchObject({
      'remove-binding binding events to frames "a"': 'failed',
      'remove-queue queue frames': 'not_tried',
      'remove-exchange exchange events': 'not_tried',
      'remove-bucket bucket captures': 'applied',
      'remove-class class Frame': 'applied',
    });
  });

  test('a backend that can’t be read has nothing to approve, and keeps the others from nothing', async () => {
    const world = await shrunk();
    world.backends.bus.readTopology = () => Promise.reject(new Error('connection refused'));
    const preview = await world.preview();
    expect(preview.components[0]).toMatchObject({ component: 'broker', actions: [], failed: 'connection refused' });
    expect(named(preview)).toContain('remove-bucket bucket captures');
    expect(outcomes(await world.approve(preview))).toMatchObject({ 'remove-bucket bucket captures': 'applied' });
  });

  test('no apply runs beside it', async () => {
    const world = await shrunk();
    const preview = await world.preview();
    const order: string[] = [];
    const { removeClass } = world.backends.vector;
    world.backends.vector.removeClass = async (...args) => {
      await removeClass(...args);
      order.push('pruned');
    };
    const removing = world.approve(preview);
    const applying = world.apply(LESS).then(() => order.push('applied'));
    await Promise.all([removing, applying]);
    expect(order.at(-1)).toBe('applied');
  });

  test('once another profile has come, no further action of what was approved runs', async () => {
    const world = await shrunk();
    const preview = await world.preview();
    const { removeBinding } = world.backends.bus;
    world.backends.bus.removeBinding = async (binding) => {
      await removeBinding(binding);
      if (world.node.profile !== undefined) world.node.profile = { ...world.node.profile, generation: 3 };
    };
    const results = outcomes(await world.approve(preview));
    expect(Object.values(results).filter((one) => one === 'applied')).toHaveLength(1);
    expect(everything(world).queues).toContain('frames');
  });
});
