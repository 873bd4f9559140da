import { describe, expect, test } from 'vitest';
import { type Executors, plan } from '../../../shared/reconcile/action.ts';

interface Toys {
  build: { safety: 'add'; data: { name: string } };
  paint: { safety: 'update'; data: { name: string; colour: string } };
  clash: { safety: 'incompatible'; data: { name: string } };
  smash: { safety: 'destroy'; data: { name: string } };
}

type Box = string[];

const executors: Executors<Toys, Box> = {
  build: async (box, { name }) => void box.push(`build ${name}`),
  paint: async (box, { name, colour }) => void box.push(`paint ${name} ${colour}`),
};

describe('executors', () => {
  test('the compiler refuses one for what must not run by itself, and misses none that must', () => {
    const { build, paint } = executors;
    const nothing = async () => {};
    // @ts-expect-error: smash destroys
    const destroys: Executors<Toys, Box> = { build, paint, smash: nothing };
    // @ts-expect-error: clash is incompatible
    const clashes: Executors<Toys, Box> = { build, paint, clash: nothing };
    const widened = { build, paint, smash: nothing };
    // @ts-expect-error: not even by way of a wider object
    const smuggled: Executors<Toys, Box> = widened;
    // @ts-expect-error: paint has no executor
    const forgets: Executors<Toys, Box> = { build };
    expect([destroys, clashes, smuggled, forgets]).toHaveLength(4);
  });

  test('gives each action its own executor, and none to those that are shown only', async () => {
    const box: Box = [];
    const about = { subject: 'toy', needs: [] };
    const planned = plan<Toys, Box>(
      [
        { ...about, kind: 'paint', safety: 'update', data: { name: 'car', colour: 'red' } },
        { ...about, kind: 'smash', safety: 'destroy', data: { name: 'car' }, detail: 'why' },
        { ...about, kind: 'build', safety: 'add', data: { name: 'car' }, before: undefined, after: 1 },
      ],
      executors,
      box,
    );
    for (const { execute } of planned) await execute?.(new AbortController().signal);
    expect(box).toEqual(['paint car red', 'build car']);
    expect(planned.map(({ execute }) => execute !== undefined)).toEqual([true, false, true]);
    expect(planned.map(({ view }) => view)).toStrictEqual([
      { kind: 'paint', safety: 'update', subject: 'toy' },
      { kind: 'smash', safety: 'destroy', subject: 'toy', detail: 'why' },
      { kind: 'build', safety: 'add', subject: 'toy', after: 1 },
    ]);
  });
});
