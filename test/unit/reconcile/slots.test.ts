import { describe, expect, it } from 'vitest';
import { Slots } from '../../../shared/reconcile/slots.ts';

/** Pieces of work that the test ends, with the names of those that have begun. */
function pieces(slots: Slots) {
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const run = (name: string) =>
    slots.run(async () => {
      begun.push(name);
      const end = Promise.withResolvers<void>();
      ends.set(name, end);
      await end.promise;
      return name;
    });
  return { begun, run, ends };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('slots', () => {
  it('let so many run at a time, and the others in the order in which they came', async () => {
    const { begun, run, ends } = pieces(new Slots(2));
    const all = ['a', 'b', 'c', 'd'].map(run);
    expect(begun).toEqual(['a', 'b']);
    ends.get('b')?.resolve();
    await settled();
    expect(begun).toEqual(['a', 'b', 'c']);
    ends.get('c')?.resolve();
    ends.get('a')?.resolve();
    await settled();
    ends.get('d')?.resolve();
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are free again after work that failed', async () => {
    const { begun, run, ends } = pieces(new Slots(1));
    const [failing, next] = [run('fails'), run('next')];
    ends.get('fails')?.reject(new Error('no'));
    await expect(failing).rejects.toThrow('no');
    await settled();
    expect(begun).toEqual(['fails', 'next']);
    ends.get('next')?.resolve();
    expect(await next).toBe('next');
  });

  it('refuse who would be one too many, and go on with the others', async () => {
    const slots = new Slots(1, (waiting) => {
      if (waiting === 1) throw new Error('too many wait');
    });
    const { run, ends } = pieces(slots);
    const [first, second] = [run('first'), run('second')];
    await expect(run('third')).rejects.toThrow('too many wait');
    ends.get('first')?.resolve();
    await settled();
    ends.get('second')?.resolve();
    expect(await Promise.all([first, second])).toEqual(['first', 'second']);
  });
});
