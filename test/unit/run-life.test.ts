import { describe, expect, it } from 'vitest';
import { runLife } from '../../runtime-node/run-life.ts';
import { Undo } from '../../runtime-node/undo.ts';

function notedUndo() {
  const undone: string[] = [];
  const undo = new Undo();
  undo.add(() => void undone.push('lock'));
  undo.add(() => Promise.reject(new Error('the port could not be closed')));
  undo.add(() => void undone.push('listen file'));
  return { undo, undone };
}

describe('the end of a node', () => {
  it('has exit code 0 when it was asked for', async () => {
    const ended = Promise.withResolvers<void>();
    const node = runLife(
      { run: () => ended.promise, stop: async () => ended.resolve(), leave: async () => undefined },
      'http://n',
      new Undo(),
    );
    await node.stop();
    expect(await node.stopped).toBe(0);
  });

  it('has exit code 1 when nobody asked: it was a fault', async () => {
    expect(
      await runLife({ run: async () => undefined, stop: async () => undefined, leave: async () => undefined }, 'http://n', new Undo())
        .stopped,
    ).toBe(1);
  });

  it('lets go of everything also after a fault that is thrown', async () => {
    const undone: string[] = [];
    const undo = new Undo();
    undo.add(() => void undone.push('lock'));
    const node = runLife(
      { run: () => Promise.reject(new Error('out of order')), stop: async () => undefined, leave: async () => undefined },
      'http://n',
      undo,
    );
    await expect(node.stopped).rejects.toThrow('out of order');
    expect(undone).toEqual(['lock']);
  });
});

describe('Undo', () => {
  it('takes every step, the last one first, although one fails, and tells of that one', async () => {
    const { undo, undone } = notedUndo();
    await expect(undo.run()).rejects.toThrow('the port could not be closed');
    expect(undone).toEqual(['listen file', 'lock']);
  });

  it('takes each step once', async () => {
    const { undo, undone } = notedUndo();
    await undo.run().catch(() => undefined);
    await undo.run();
    expect(undone).toHaveLength(2);
  });
});
