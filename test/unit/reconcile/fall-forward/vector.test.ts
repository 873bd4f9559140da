import { describe, expect, it } from 'vitest';
import { VectorError, type VectorErrorKind } from '../../../../shared/ports/vector-index.ts';
import { CLASS, type VectorWorld, vector, vectorWorld } from '../../../support/vector-world.ts';

type Node = ReturnType<VectorWorld['start']>;

async function refused(call: Promise<unknown>, kind: VectorErrorKind, ...words: string[]): Promise<void> {
  const error = await call.then(
    () => 'resolved',
    (reason: unknown) => reason,
  );
  expect(error).toEqual(expect.objectContaining({ name: 'VectorError', kind }));
  for (const word of words) expect((error as Error).message).toContain(word);
}

/** A node with its external away from the start. */
async function cutOff(options?: { inExternal?: boolean }): Promise<{ world: VectorWorld; node: Node }> {
  const world = await vectorWorld(options);
  world.server.state.isAway = true;
  const node = world.start();
  await world.clock.advance(1);
  return { world, node };
}

async function comeBack(world: VectorWorld, node: Node): Promise<void> {
  world.server.state.isAway = false;
  await world.settle(node);
}

const there = async ({ remote }: VectorWorld) => (await remote.list('Frame')).map(({ id, meta }) => [id, meta.n]);

describe('a vector index whose external is away', () => {
  it('keeps what is upserted, reads it, and says of nothing else that it is not there', async () => {
    const { node } = await cutOff();
    await node.port.upsert('frame', [vector('a', 1), vector('b', 2), vector('a', 3)]);
    expect(await node.port.get('Frame', 'a')).toEqual(vector('a', 3));
    expect((await node.port.getMany('Frame', ['b', 'a'])).map(({ id }) => id).sort()).toEqual(['a', 'b']);
    expect(node.status()).toEqual({ presence: 'away', reason: 'the connection was cut', waiting: 2, forwarded: 0, conflicts: 0 });
    const calls = [
      () => node.port.get('Frame', 'c'),
      () => node.port.getMany('Frame', ['a', 'c']),
      () => node.port.delete('Frame', 'c'),
      () => node.port.search('Frame', { vector: [1, 1] }),
      () => node.port.count('Frame'),
      () => node.port.list('Frame'),
      () => node.port.findable('Frame', [vector('a', 3)]),
      () => node.port.readClasses(['Frame']),
    ];
    for (const call of calls) await refused(call(), 'backend_away', 'the connection was cut');
  });

  it('falls over within the call that finds it away, and asks it no more after that', async () => {
    const world = await vectorWorld();
    const node = world.start();
    await world.settle(node);
    await node.port.upsert('Frame', [vector('a', 1)]);
    world.server.state.isAway = true;
    await node.port.upsert('Frame', [vector('b', 2)]);
    const asked = world.server.state.calls.filter((method) => method === 'upsert').length;
    await node.port.upsert('Frame', [vector('c', 3)]);
    expect(world.server.state.calls.filter((method) => method === 'upsert')).toHaveLength(asked);
    await comeBack(world, node);
    expect(await there(world)).toEqual([
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ]);
    expect(node.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 2, conflicts: 0 });
  });

  it('refuses what is wrong with an object at once, and what no class here can keep as away', async () => {
    const { node } = await cutOff();
    await refused(node.port.upsert('Frame', [vector('a', 1), { id: 'b', vector: [1], meta: {} }]), 'bad_dimensions');
    await refused(node.port.upsert('Other', [vector('a', 1)]), 'backend_away', 'no class Other');
    expect(node.status().waiting).toBe(0);
  });

  it('a deletion of what waits is acknowledged, read as such, and nothing of it goes over', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1), vector('b', 2)]);
    await node.port.delete('Frame', 'a');
    await node.port.delete('Frame', 'a');
    expect(await node.port.get('Frame', 'a')).toBeUndefined();
    await comeBack(world, node);
    expect(await there(world)).toEqual([['b', 2]]);
    expect(node.status()).toMatchObject({ waiting: 0, conflicts: 0 });
  });

  /** An upsert reached the external, which went away without an answer; then it was deleted. */
  async function deletedUnanswered() {
    const world = await vectorWorld();
    const node = world.start();
    await world.settle(node);
    world.server.state.cuts = ['after'];
    world.server.state.isGoneAfterCut = true;
    await node.port.upsert('Frame', [vector('a', 1)]);
    await node.port.delete('Frame', 'a');
    return { world, node };
  }

  it('a deletion takes back what had reached the external without an answer', async () => {
    const { world, node } = await deletedUnanswered();
    expect(await world.remote.get('Frame', 'a')).toBeDefined();
    await comeBack(world, node);
    expect(await there(world)).toEqual([]);
    expect(await world.conflicts()).toEqual(new Set());
  });

  it('and so it does when the node was killed after the deletion', async () => {
    const { world, node } = await deletedUnanswered();
    node.crash();
    const next = world.start();
    await world.clock.advance(1);
    expect(await next.port.get('Frame', 'a')).toBeUndefined();
    await comeBack(world, next);
    expect(await there(world)).toEqual([]);
    expect(await world.conflicts()).toEqual(new Set());
  });

  it('upserts of one object take place in the order in which they came, whichever way they go', async () => {
    const world = await vectorWorld();
    const node = world.start();
    await world.settle(node);
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const { promise: cut, resolve: end } = Promise.withResolvers<void>();
    world.server.port.upsert = async () => {
      reach();
      await cut;
      throw new VectorError('backend_away', 'the connection was cut');
    };
    const first = node.port.upsert('Frame', [vector('a', 1)]);
    await reached;
    world.server.state.isAway = true;
    await expect(node.port.get('Frame', 'b')).rejects.toThrow('cut');
    const second = node.port.upsert('Frame', [vector('a', 2)]);
    await node.port.upsert('Frame', [vector('b', 3)]);
    end();
    await Promise.all([first, second]);
    expect(await node.port.get('Frame', 'a')).toEqual(vector('a', 2));
  });
});

describe('vectors that waited', () => {
  it('wait on for their class, and go when it is there', async () => {
    const { world, node } = await cutOff({ inExternal: false });
    await node.port.upsert('Frame', [vector('a', 1)]);
    world.server.state.isAway = false;
    await world.clock.advance(60_000);
    expect(node.status()).toMatchObject({ presence: 'forwarding', waiting: 1 });
    expect(await node.port.get('Frame', 'a')).toEqual(vector('a', 1));
    await world.remote.ensureClass(CLASS);
    node.wake();
    await world.clock.advance(1);
    expect(node.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 1 });
    expect(await there(world)).toEqual([['a', 1]]);
  });

  it('wait on for a property that is not there yet', async () => {
    const { world, node } = await cutOff({ inExternal: false });
    await world.remote.ensureClass({ ...CLASS, properties: [] });
    await node.port.upsert('Frame', [vector('a', 1), { id: 'b', vector: [1, 1], meta: {} }]);
    world.server.state.isAway = false;
    await world.clock.advance(60_000);
    expect(node.status()).toMatchObject({ waiting: 1, forwarded: 1 });
    await world.remote.ensureProperties('Frame', CLASS.properties);
    await comeBack(world, node);
    expect((await there(world)).length).toBe(2);
  });

  it.each([
    ['other dimensions', { ...CLASS, dimensions: 3 }, '3'],
    ['a property of another type', { ...CLASS, properties: [{ name: 'n', type: 'text' as const }] }, 'n'],
  ])('that the class can not take for %s are conflicts, told once', async (_what, spec, word) => {
    const { world, node } = await cutOff({ inExternal: false });
    await world.remote.ensureClass(spec);
    await node.port.upsert('Frame', [vector('a', 1), vector('b', 2), vector('c', 3)]);
    await comeBack(world, node);
    await world.clock.advance(60_000);
    expect(node.status()).toMatchObject({ presence: 'present', waiting: 0, conflicts: 3 });
    const told = world.events.filter(({ kind }) => kind === 'conflict').map(({ message }) => message);
    expect(told.length).toBeLessThanOrEqual(3);
    expect(told.join(' ')).toContain(word);
    expect(await world.fallback.count('Frame')).toBe(3);
  });

  it('one that the external refuses does not hold up the others of its batch', async () => {
    const { world, node } = await cutOff({ inExternal: false });
    await world.fallback.ensureProperties('Frame', [{ name: 'word', type: 'text' }]);
    await world.remote.ensureClass({ ...CLASS, properties: [...CLASS.properties, { name: 'word', type: 'int' }] });
    const objects = Array.from({ length: 20 }, (_, n) => vector(`id-${n}`, n));
    await node.port.upsert('Frame', [...objects, { id: 'odd', vector: [1, 1], meta: { word: 'x' } }]);
    await comeBack(world, node);
    expect(await world.conflicts()).toEqual(new Set(['odd']));
    expect(await world.remote.count('Frame')).toBe(20);
  });

  it('of a class that the external fails do not hold up those of another class', async () => {
    const world = await vectorWorld();
    for (const index of [world.fallback, world.remote]) await index.ensureClass({ ...CLASS, name: 'Broken' });
    const { upsert } = world.server.port;
    world.server.port.upsert = (name, objects) =>
      name === 'Broken' ? Promise.reject(new VectorError('failed', 'its shard is read-only')) : upsert(name, objects);
    world.server.state.isAway = true;
    const node = world.start();
    await world.clock.advance(1);
    await node.port.upsert('Broken', [vector('a', 1)]);
    await node.port.upsert('Frame', [vector('b', 2)]);
    world.server.state.isAway = false;
    await world.clock.advance(60_000);
    expect(await there(world)).toEqual([['b', 2]]);
    expect(node.status()).toMatchObject({ presence: 'forwarding', waiting: 1, forwarded: 1 });
  });

  it('leave other content where it is, and tell of it once; the same content is no conflict', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1), vector('b', 2), { id: 'c', vector: [0.1, 0.2], meta: { n: 3 } }]);
    await world.remote.upsert('Frame', [vector('a', 7), vector('b', 2), { id: 'c', vector: [0.1, 0.2], meta: { n: 3 } }]);
    await comeBack(world, node);
    expect(await world.conflicts()).toEqual(new Set(['a']));
    expect(node.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 2, conflicts: 1 });
    expect(await node.port.get('Frame', 'a')).toEqual(vector('a', 7));
    expect(await world.fallback.get('Frame', 'a')).toEqual(vector('a', 1));
    await world.clock.advance(600_000);
    const told = world.events.filter(({ kind }) => kind === 'conflict');
    expect(told).toHaveLength(1);
    expect(told[0]?.message).toMatch(/Frame.* a: .*other content/);
    await node.port.upsert('Frame', [vector('a', 8)]);
    expect(await world.remote.get('Frame', 'a')).toEqual(vector('a', 8));
  });

  it('replace what had come from here without an answer', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1)]);
    // Probe, classes, look, upsert.
    world.server.state.cuts = [undefined, undefined, undefined, 'after'];
    world.server.state.isGoneAfterCut = true;
    world.server.state.isAway = false;
    while (world.server.state.cuts.length > 0) await world.clock.advance(1000);
    expect(await world.remote.get('Frame', 'a')).toEqual(vector('a', 1));
    await node.port.upsert('Frame', [vector('a', 2)]);
    await comeBack(world, node);
    expect(await there(world)).toEqual([['a', 2]]);
    expect(await world.conflicts()).toEqual(new Set());
  });

  it('are written again until searches find them', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1), vector('b', 2)]);
    world.server.state.cuts = [undefined, undefined, undefined, 'part'];
    await comeBack(world, node);
    expect(world.server.state.lost.size).toBe(0);
    expect((await node.port.search('Frame', { vector: [1, 1] })).map(({ id }) => id).sort()).toEqual(['a', 'b']);
  });

  it('and went over right before the external crashed are proved once more when it is back', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1), vector('b', 2), vector('c', 3), vector('d', 4)]);
    await comeBack(world, node);
    for (const id of ['a', 'b', 'c']) world.server.state.lost.set(id, 2);
    await node.port.upsert('Frame', [vector('b', 20)]);
    await node.port.delete('Frame', 'c');
    world.server.state.isAway = true;
    await refused(node.port.get('Frame', 'a'), 'backend_away');
    await comeBack(world, node);
    expect(await there(world)).toEqual([
      ['a', 1],
      ['b', 20],
      ['d', 4],
    ]);
    expect(world.server.state.lost.has('a')).toBe(false);
  });

  it('and could not be proved once more are looked at again', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1)]);
    await comeBack(world, node);
    world.server.state.lost.set('a', 2);
    world.server.state.isAway = true;
    await refused(node.port.get('Frame', 'a'), 'backend_away');
    const { findable } = world.server.port;
    world.server.port.findable = async () => {
      throw new VectorError('failed', 'the index is not open yet');
    };
    world.server.state.isAway = false;
    await world.clock.advance(60_000);
    expect(node.status().presence).toBe('forwarding');
    world.server.port.findable = findable;
    await comeBack(world, node);
    expect(world.server.state.lost.has('a')).toBe(false);
  });

  it('that no search will ever find are stored all the same, and that is said', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1)]);
    world.server.state.lost.set('a', 100);
    await comeBack(world, node);
    expect(node.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 1 });
    expect(world.log.lines.map(({ message }) => message).join('\n')).toContain('searches there do not find it');
  });

  it('and are lost from the embedded default are a conflict, and no answer', async () => {
    const { world, node } = await cutOff();
    await node.port.upsert('Frame', [vector('a', 1)]);
    await world.fallback.delete('Frame', 'a');
    await refused(node.port.get('Frame', 'a'), 'failed', 'lost');
    await comeBack(world, node);
    expect(await world.conflicts()).toEqual(new Set(['a']));
  });

  it('from before the external give way to what is written there since', async () => {
    const world = await vectorWorld();
    await world.fallback.upsert('Frame', [vector('a', 1), vector('b', 2), vector('c', 3), vector('d', 4)]);
    const entries = ['a', 'b', 'c', 'd'].map((key) => ({ ...world.target, place: 'Frame', key, hash: '', size: 1 }));
    await world.backlog.add(entries, { if_unknown: true });
    world.remote.dropClass('Frame');
    const node = world.start();
    await world.clock.advance(1000);
    await world.remote.ensureClass(CLASS);
    expect(node.status().presence).toBe('forwarding');
    expect(await node.port.get('Frame', 'a')).toEqual(vector('a', 1));
    await node.port.upsert('Frame', [vector('a', 9)]);
    await node.port.delete('Frame', 'b');
    expect(await node.port.get('Frame', 'a')).toEqual(vector('a', 9));
    await world.settle(node);
    expect(await there(world)).toEqual([
      ['a', 9],
      ['c', 3],
      ['d', 4],
    ]);
    expect(await world.conflicts()).toEqual(new Set());
  });
});

describe('an upsert that was under way while all that waited went over', () => {
  /** Stores in the embedded default only once `release` is called: by then the external is back, and nothing waits any more. */
  async function late() {
    const world = await vectorWorld();
    world.server.state.isAway = true;
    const held = Promise.withResolvers<void>();
    const { upsert } = world.fallback;
    Object.assign(world.fallback, { upsert: (...args: Parameters<typeof upsert>) => held.promise.then(() => upsert(...args)) });
    const node = world.start();
    await world.clock.advance(1);
    const writing = node.port.upsert('Frame', [vector('a', 1)]);
    await comeBack(world, node);
    expect(node.status()).toMatchObject({ presence: 'present', waiting: 0 });
    return { world, node, writing, release: held.resolve };
  }

  async function goesOver({ world, node }: { world: VectorWorld; node: Node }): Promise<void> {
    await world.clock.advance(60_000);
    expect(node.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 1, conflicts: 0 });
    expect(await there(world)).toEqual([['a', 1]]);
  }

  it('is acknowledged when it is noted, and goes over, though what waits can not be counted just then', async () => {
    const { writing, release, ...sides } = await late();
    failOnce(sides.world, 'counts', 'before');
    release();
    await writing;
    await goesOver(sides);
  });

  it('goes over also when the answer of the disk that it is noted got lost', async () => {
    const { writing, release, ...sides } = await late();
    failOnce(sides.world, 'add', 'after');
    release();
    await refused(writing, 'failed', 'the disk does not work');
    await goesOver(sides);
  });
});

it('a conflict of vectors is told once, though what waits can not be counted just then', async () => {
  const { world, node } = await cutOff();
  await world.remote.upsert('Frame', [vector('a', 9)]);
  await node.port.upsert('Frame', [vector('a', 1)]);
  const { settle } = world.backlog;
  const settleThenFail: typeof settle = async (...args) => {
    await settle(...args);
    failOnce(world, 'counts', 'before');
  };
  Object.assign(world.backlog, { settle: settleThenFail });
  await comeBack(world, node);
  const told = world.events.filter(({ kind }) => kind === 'conflict').map(({ message }) => message);
  expect(told).toEqual([expect.stringContaining('vectors of class Frame could not go over, a')]);
  expect(node.status()).toMatchObject({ presence: 'present', waiting: 0, conflicts: 1 });
});

/** The next call of this kind fails, before it does anything or after it has done all. */
function failOnce({ backlog }: VectorWorld, method: 'add' | 'counts', when: 'before' | 'after'): void {
  const real = backlog[method] as (...args: unknown[]) => Promise<unknown>;
  const failing = async (...args: unknown[]) => {
    Object.assign(backlog, { [method]: real });
    if (when === 'after') await real(...args);
    throw new Error('the disk does not work');
  };
  Object.assign(backlog, { [method]: failing });
}

describe('while vectors go over', () => {
  /** In the forwarding state, with `a` and `b` waiting and `x` and `y` there. */
  async function halfway() {
    const world = await vectorWorld();
    const node = world.start();
    await world.settle(node);
    await node.port.upsert('Frame', [vector('x', 10), vector('y', 20)]);
    world.server.state.isAway = true;
    await node.port.upsert('Frame', [vector('a', 1), vector('b', 2)]);
    // The external answers, but what waits can't be looked at yet.
    world.server.port.getMany = async () => new Promise(() => undefined);
    world.server.state.isAway = false;
    for (let round = 0; round < 20 && node.status().presence === 'away'; round += 1) await world.clock.advance(1000);
    expect(node.status().presence).toBe('forwarding');
    return { world, node };
  }

  it('a search finds what is here and what is there, nearest first', async () => {
    const { node } = await halfway();
    const found = async (limit: number) => (await node.port.search('Frame', { vector: [1, 1], limit })).map(({ id }) => id);
    expect(await found(10)).toEqual(['a', 'b', 'x', 'y']);
    expect(await found(3)).toEqual(['a', 'b', 'x']);
    expect((await node.port.search('Frame', { vector: [1, 1], where: { n: 20 } })).map(({ id }) => id)).toEqual(['y']);
  });

  it('what can not be told apart is not counted and not listed', async () => {
    const { node } = await halfway();
    await refused(node.port.count('Frame'), 'backend_away', 'go over');
    await refused(node.port.list('Frame'), 'backend_away', 'go over');
    await refused(node.port.removeClass('Frame', { if_empty: true }), 'not_empty');
  });
});

describe('an upsert of which a part waits', () => {
  /** `a` waits for a property that the external lacks; `Frame` itself is there. */
  async function partly() {
    const world = await vectorWorld();
    await world.fallback.ensureProperties('Frame', [{ name: 'late', type: 'int' }]);
    world.server.state.isAway = true;
    const node = world.start();
    await world.clock.advance(1);
    await node.port.upsert('Frame', [{ id: 'a', vector: [1, 1], meta: { late: 1 } }]);
    world.server.state.isAway = false;
    await world.clock.advance(60_000);
    expect(node.status()).toMatchObject({ presence: 'forwarding', waiting: 1 });
    return { world, node };
  }

  it('goes both ways, and is read as one', async () => {
    const { world, node } = await partly();
    await node.port.upsert('Frame', [vector('a', 5), vector('b', 6)]);
    expect(await world.remote.get('Frame', 'b')).toEqual(vector('b', 6));
    expect((await node.port.getMany('Frame', ['a', 'b'])).sort((one, other) => (one.id < other.id ? -1 : 1))).toEqual([
      vector('a', 5),
      vector('b', 6),
    ]);
    await world.settle(node);
    expect(await there(world)).toEqual([
      ['a', 5],
      ['b', 6],
    ]);
  });

  it('is nowhere when one of its objects is wrong, here or there', async () => {
    const { world, node } = await partly();
    await refused(node.port.upsert('Frame', [vector('a', 5), { id: 'b', vector: [1], meta: {} }]), 'bad_dimensions');
    await refused(node.port.upsert('Frame', [vector('a', 5), { id: 'b', vector: [1, 1], meta: { late: 2 } }]), 'bad_property');
    await refused(node.port.upsert('Frame', [{ id: 'a', vector: [1], meta: {} }, vector('b', 6)]), 'bad_dimensions');
    expect(await node.port.get('Frame', 'a')).toEqual({ id: 'a', vector: [1, 1], meta: { late: 1 } });
    expect(await world.remote.count('Frame')).toBe(0);
  });

  it('waits as a whole when the external goes away in it', async () => {
    const { world, node } = await partly();
    world.server.state.isAway = true;
    await node.port.upsert('Frame', [vector('a', 5), vector('b', 6)]);
    expect(node.status()).toMatchObject({ presence: 'away', waiting: 2 });
    await comeBack(world, node);
    expect(await there(world)).toEqual([
      ['a', 5],
      ['b', 6],
    ]);
  });
});
