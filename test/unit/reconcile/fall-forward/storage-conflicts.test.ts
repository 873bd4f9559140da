import { describe, expect, it } from 'vitest';
import type { BacklogConflict } from '../../../../shared/contract/backlog-conflict.ts';
import { bytesOf, type Node, startNode, textOf } from './storage.harness.ts';

/** A node with one conflict: `ours` was written to `data/a` while the store was away, which holds `theirs`. */
async function inConflict(): Promise<{ node: Node; conflict: BacklogConflict }> {
  const node = await startNode({ isAway: true });
  await node.port.put('data', 'a', bytesOf('ours'), { content_type: 'text/plain' });
  await node.store.put('data', 'a', bytesOf('theirs!'));
  await node.comeBack();
  return { node, conflict: await only(node) };
}

async function only({ forward }: Node): Promise<BacklogConflict> {
  const [conflict, second] = await forward.conflicts.list(10);
  expect(second).toBeUndefined();
  return conflict ?? expect.fail('there is no conflict');
}

const keepOurs = ({ id, tag }: BacklogConflict) => ({ id, keep: 'ours' as const, tag: tag ?? expect.fail('ours can not be kept') });
const keepExternal = ({ id }: BacklogConflict) => ({ id, keep: 'external' as const });

async function ended({ forward, stop }: Node): Promise<void> {
  expect(forward.status()).toMatchObject({ presence: 'present', waiting: 0, conflicts: 0 });
  expect(await forward.conflicts.list(10)).toEqual([]);
  await stop();
}

describe('a conflict of objects', () => {
  it('is shown with both sides, by an id that finds it', async () => {
    const { node, conflict } = await inConflict();
    expect(conflict).toMatchObject({
      ...{ component: 'storage', kind: 'object', place: 'data', key: 'a' },
      reason: expect.stringContaining('the external holds another object'),
      ours: { size: 4, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      theirs: { holds: true, size: 7, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      tag: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(await node.forward.conflicts.find(conflict.id)).toEqual(conflict);
    expect(await node.forward.conflicts.find('storage-999')).toBeUndefined();
    await node.stop();
  });

  it('ends with what the external holds, and ours stays in the embedded default', async () => {
    const { node, conflict } = await inConflict();
    const answer = await node.forward.conflicts.resolve(keepExternal(conflict));
    expect(answer).toEqual({ message: expect.stringContaining('data/a') });
    expect(await textOf(node.port, 'a')).toBe('theirs!');
    expect(await textOf(node.fallback, 'a')).toBe('ours');
    expect(await node.forward.conflicts.resolve(keepExternal(conflict))).toMatchObject({ refused: { code: 'no_such_conflict' } });
    await ended(node);
  });

  it('ends with ours in the place of what was shown', async () => {
    const { node, conflict } = await inConflict();
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toEqual({ message: expect.stringContaining('holds ours now') });
    expect(await textOf(node.store, 'a')).toBe('ours');
    expect(await node.store.head('data', 'a')).toMatchObject({ content_type: 'text/plain' });
    await ended(node);
  });

  it('stays when something else is there by then, or another object waits here', async () => {
    const { node, conflict } = await inConflict();
    await node.store.put('data', 'a', bytesOf('newest!'));
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'conflict_changed' } });
    expect(await textOf(node.store, 'a')).toBe('newest!');
    const again = await only(node);
    expect(again.id).toBe(conflict.id);
    await node.store.delete('data', 'a');
    expect(await node.forward.conflicts.resolve(keepOurs(again))).toMatchObject({ refused: { code: 'conflict_changed' } });
    const free = await only(node);
    expect(free.theirs).toEqual({ holds: false });
    expect(await node.forward.conflicts.resolve(keepOurs(free))).toMatchObject({ message: expect.any(String) });
    expect(await textOf(node.store, 'a')).toBe('ours');
    await ended(node);
  });

  it('can be given up while the external is away, and ours can not take its place then', async () => {
    const { node, conflict } = await inConflict();
    await node.goAway();
    const now = await only(node);
    expect(now.theirs).toEqual({ holds: 'unknown', why: expect.stringContaining('is away') });
    expect(now).not.toHaveProperty('tag');
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'backend_away' } });
    expect(await node.forward.conflicts.resolve(keepExternal(conflict))).toMatchObject({ message: expect.any(String) });
    await node.comeBack();
    await ended(node);
  });

  it('stays when the external fails in the middle, and the same decision is good afterwards', async () => {
    const { node, conflict } = await inConflict();
    node.link.meddle = (method) => (method === 'put' ? 'before' : undefined);
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'backend_away' } });
    node.link.meddle = () => undefined;
    await node.comeBack();
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toMatchObject({ message: expect.any(String) });
    await ended(node);
  });

  it.each([
    ['written', (node: Node) => node.port.put('data', 'a', bytesOf('anew'))],
    ['deleted', (node: Node) => node.port.delete('data', 'a')],
  ])('is over when the key is %s anew', async (_, change) => {
    const { node } = await inConflict();
    await change(node);
    await ended(node);
  });

  it('stays when an older version of the key is removed, or a deletion fails', async () => {
    const { node, conflict } = await inConflict();
    await node.port.delete('data', 'a', { version_id: 'another' }).catch(() => undefined);
    node.link.meddle = (method) => (method === 'delete' ? 'before' : undefined);
    await node.port.delete('data', 'a').catch(() => undefined);
    node.link.meddle = () => undefined;
    await node.comeBack();
    expect((await only(node)).id).toBe(conflict.id);
    await node.stop();
  });

  it('is another one when the key is written once more while the external is away', async () => {
    const { node, conflict } = await inConflict();
    await node.goAway();
    await node.port.put('data', 'a', bytesOf('ours, later'));
    expect(await node.forward.conflicts.list(10)).toEqual([]);
    await node.comeBack();
    const again = await only(node);
    expect(again.id).not.toBe(conflict.id);
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'no_such_conflict' } });
    expect(await node.forward.conflicts.resolve(keepOurs(again))).toMatchObject({ message: expect.any(String) });
    expect(await textOf(node.store, 'a')).toBe('ours, later');
    await ended(node);
  });

  it('about a deletion ends with the key deleted there too, or with what is there', async () => {
    for (const keep of ['ours', 'external'] as const) {
      const node = await startNode({ isAway: true });
      await node.port.put('data', 'a', bytesOf('ours'));
      await node.port.delete('data', 'a');
      await node.store.put('data', 'a', bytesOf('theirs!'));
      await node.comeBack();
      const conflict = await only(node);
      expect(conflict.ours).toMatchObject({ deleted: true });
      await node.forward.conflicts.resolve(keep === 'ours' ? keepOurs(conflict) : keepExternal(conflict));
      const left = (await node.store.list('data')).objects.map(({ key }) => key);
      expect(left).toEqual(keep === 'ours' ? [] : ['a']);
      await ended(node);
    }
  });

  it('about an object that was lost here can only be given up', async () => {
    const { node } = await inConflict();
    await node.fallback.delete('data', 'a');
    const lost = await only(node);
    expect(lost.ours).toMatchObject({ missing: true, size: 4 });
    expect(lost).not.toHaveProperty('tag');
    const tag = 'a'.repeat(64);
    expect(await node.forward.conflicts.resolve({ id: lost.id, keep: 'ours', tag })).toMatchObject({ refused: { code: 'conflict_stays' } });
    await node.forward.conflicts.resolve(keepExternal(lost));
    await ended(node);
  });

  it('about a bucket that was removed says what the external says, until the bucket is there', async () => {
    const node = await startNode({ isAway: true });
    await node.port.put('data', 'a', bytesOf('ours'));
    node.link.meddle = (method) => (method === 'put' ? 'before' : undefined);
    node.link.isAway = false;
    await node.clock.advance(1000);
    await node.store.removeBucket('data');
    await node.backlog.settle({ component: 'storage', identity: node.store.backend.identity }, [
      { number: 1, state: 'conflict', detail: 'its bucket was removed' },
    ]);
    node.link.meddle = () => undefined;
    await node.comeBack();
    const conflict = await only(node);
    expect(conflict.theirs).toEqual({ holds: false });
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'conflict_stays' } });
    await node.store.ensureBucket('data');
    expect(await node.forward.conflicts.resolve(keepOurs(conflict))).toMatchObject({ message: expect.any(String) });
    expect(await textOf(node.store, 'a')).toBe('ours');
    await ended(node);
  });

  it('come page by page, oldest first', async () => {
    const node = await startNode({ isAway: true });
    const keys = ['c', 'a', 'b'];
    for (const key of keys) await node.port.put('data', key, bytesOf('ours'));
    for (const key of keys) await node.store.put('data', key, bytesOf('theirs!'));
    await node.comeBack();
    const first = await node.forward.conflicts.list(2);
    const rest = await node.forward.conflicts.list(2, first[1]?.id);
    expect([...first, ...rest].map(({ key }) => key)).toEqual(keys);
    expect(await node.forward.conflicts.list(2, rest[0]?.id)).toEqual([]);
    await node.stop();
  });
});
