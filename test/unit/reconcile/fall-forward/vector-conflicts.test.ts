import { describe, expect, it } from 'vitest';
import type { BacklogConflict } from '../../../../shared/contract/backlog-conflict.ts';
import { type VectorWorld, vector, vectorWorld } from '../../../support/vector-world.ts';

type Node = ReturnType<VectorWorld['start']>;

/** A node with one conflict: `a` was upserted with 1 while the external was away, which holds it with 7. */
async function inConflict(): Promise<{ world: VectorWorld; node: Node; conflict: BacklogConflict }> {
  const world = await vectorWorld();
  world.server.state.isAway = true;
  const node = world.start();
  await world.clock.advance(1);
  await node.port.upsert('Frame', [vector('a', 1)]);
  await world.remote.upsert('Frame', [vector('a', 7)]);
  await comeBack(world, node);
  return { world, node, conflict: await only(node) };
}

async function comeBack(world: VectorWorld, node: Node): Promise<void> {
  world.server.state.isAway = false;
  await world.settle(node);
}

async function only({ conflicts }: Node): Promise<BacklogConflict> {
  const [conflict, second] = await conflicts.list(10);
  expect(second).toBeUndefined();
  return conflict ?? expect.fail('there is no conflict');
}

const keepOurs = ({ id, tag }: BacklogConflict) => ({ id, keep: 'ours' as const, tag: tag ?? expect.fail('ours can not be kept') });
const keepExternal = ({ id }: BacklogConflict) => ({ id, keep: 'external' as const });

async function ended(node: Node): Promise<void> {
  expect(node.status()).toMatchObject({ waiting: 0, conflicts: 0 });
  expect(await node.conflicts.list(10)).toEqual([]);
  node.crash();
}

describe('a conflict of vectors', () => {
  it('is shown with the hashes of both contents', async () => {
    const { node, conflict } = await inConflict();
    expect(conflict).toMatchObject({ component: 'vector', kind: 'vector', place: 'Frame', key: 'a', ours: { hash: expect.any(String) } });
    expect(conflict.theirs).toMatchObject({ holds: true, hash: expect.any(String) });
    expect(conflict.theirs).not.toMatchObject({ hash: conflict.ours.hash });
    expect(await node.conflicts.find(conflict.id)).toEqual(conflict);
    node.crash();
  });

  it('ends with what the external holds, and ours stays in the embedded default', async () => {
    const { world, node, conflict } = await inConflict();
    expect(await node.conflicts.resolve(keepExternal(conflict))).toEqual({ message: expect.stringContaining('a of Frame') });
    expect(await node.port.get('Frame', 'a')).toEqual(vector('a', 7));
    expect(await world.fallback.get('Frame', 'a')).toEqual(vector('a', 1));
    await ended(node);
  });

  it('ends with ours in the place of what was shown, stored and found', async () => {
    const { world, node, conflict } = await inConflict();
    expect(await node.conflicts.resolve(keepOurs(conflict))).toEqual({ message: expect.stringContaining('holds ours now') });
    expect(await world.remote.get('Frame', 'a')).toEqual(vector('a', 1));
    expect((await node.port.search('Frame', { vector: [1, 1] })).map(({ id }) => id)).toEqual(['a']);
    await ended(node);
  });

  it('stays when other content is there by then', async () => {
    const { world, node, conflict } = await inConflict();
    await world.remote.upsert('Frame', [vector('a', 8)]);
    expect(await node.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'conflict_changed' } });
    expect(await world.remote.get('Frame', 'a')).toEqual(vector('a', 8));
    await node.conflicts.resolve(keepOurs(await only(node)));
    expect(await world.remote.get('Frame', 'a')).toEqual(vector('a', 1));
    await ended(node);
  });

  it('is written again where the connection is cut, until it is found', async () => {
    const { world, node, conflict } = await inConflict();
    // The look, then the write: stored, and its answer is lost.
    world.server.state.cuts = [undefined, 'after'];
    expect(await node.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'backend_away' } });
    await comeBack(world, node);
    const now = await only(node);
    expect(now.theirs).toMatchObject({ holds: true, hash: now.ours.hash });
    expect(await node.conflicts.resolve(keepOurs(now))).toMatchObject({ message: expect.any(String) });
    expect((await node.port.search('Frame', { vector: [1, 1] })).map(({ id }) => id)).toEqual(['a']);
    await ended(node);
  });

  it('can be given up while the external is away, and ours can not take its place then', async () => {
    const { world, node, conflict } = await inConflict();
    world.server.state.isAway = true;
    await node.port.get('Frame', 'b').catch(() => undefined);
    const now = await only(node);
    expect(now.theirs).toMatchObject({ holds: 'unknown' });
    expect(now).not.toHaveProperty('tag');
    expect(await node.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'backend_away' } });
    expect(await node.conflicts.resolve(keepExternal(conflict))).toMatchObject({ message: expect.any(String) });
    await comeBack(world, node);
    await ended(node);
  });

  it.each([
    ['upserted', (node: Node) => node.port.upsert('frame', [vector('b', 2), vector('a', 9)])],
    ['deleted', (node: Node) => node.port.delete('Frame', 'a')],
  ])('is over when the id is %s anew', async (_, change) => {
    const { node } = await inConflict();
    await change(node);
    await ended(node);
  });

  it('is over only once what was written anew is found', async () => {
    const { world, node, conflict } = await inConflict();
    // As a cut connection would have left what is in our way.
    world.server.state.lost.set('a', 2);
    await node.port.upsert('Frame', [vector('a', 9)]);
    expect(world.server.state.lost.size).toBe(0);
    expect(await node.conflicts.find(conflict.id)).toBeUndefined();
    expect((await node.port.search('Frame', { vector: [1, 9] })).map(({ id }) => id)).toEqual(['a']);
    await ended(node);
  });

  it('is none where one call names an id twice and is cut off after the first', async () => {
    const world = await vectorWorld();
    const node = world.start();
    await world.settle(node);
    world.server.state.cuts = ['part'];
    await node.port.upsert('Frame', [vector('a', 1), vector('a', 2)]);
    await world.settle(node);
    expect(await world.remote.get('Frame', 'a')).toEqual(vector('a', 2));
    await ended(node);
  });

  it('about a deletion ends with the object deleted there too', async () => {
    const world = await vectorWorld();
    world.server.state.isAway = true;
    const node = world.start();
    await world.clock.advance(1);
    await node.port.upsert('Frame', [vector('a', 1)]);
    await node.port.delete('Frame', 'a');
    await world.remote.upsert('Frame', [vector('a', 7)]);
    await comeBack(world, node);
    const conflict = await only(node);
    expect(conflict.ours).toMatchObject({ deleted: true });
    expect(await node.conflicts.resolve(keepOurs(conflict))).toMatchObject({ message: expect.stringContaining('deleted') });
    expect(await world.remote.get('Frame', 'a')).toBeUndefined();
    await ended(node);
  });

  it('about an object that the class never takes says so, and can be given up', async () => {
    const world = await vectorWorld();
    world.server.state.isAway = true;
    const node = world.start();
    await world.clock.advance(1);
    await node.port.upsert('Frame', [vector('a', 1)]);
    await world.remote.removeClass('Frame');
    await world.remote.ensureClass({ name: 'Frame', dimensions: 3, properties: [{ name: 'n', type: 'int' }] });
    await comeBack(world, node);
    const conflict = await only(node);
    expect(conflict.reason).toContain('2 dimensions');
    expect(await node.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'conflict_stays' } });
    await node.conflicts.resolve(keepExternal(conflict));
    await ended(node);
  });
});
