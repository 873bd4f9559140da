import { describe, expect, it } from 'vitest';
import type { VectorSuite } from './vector-index.context.ts';

export function classCases(suite: VectorSuite): void {
  const { expectDirection, fresh, idsOf, make, object, refused, stateOf } = suite;

  describe('classes', () => {
    it('reads back what was declared, and only what was asked for', async () => {
      const properties = [
        { name: 'title', type: 'text' as const },
        { name: 'pages', type: 'int' as const },
        { name: 'tags', type: 'text[]' as const },
      ];
      const [one, two, missing] = [await make({ properties }), await make(), fresh()];
      await make();
      const states = await suite.index.readClasses([one, two, missing]);
      expect(states.map((state) => state.name).sort()).toEqual([one, two].sort());
      const state = states.find((each) => each.name === one);
      expect(state?.properties).toHaveLength(3);
      expect(state?.properties).toEqual(expect.arrayContaining(properties));
      expect(states.find((each) => each.name === two)?.properties).toEqual([]);
    });

    it('reads nothing where nothing is asked for', async () => {
      expect(await suite.index.readClasses([])).toEqual([]);
    });

    it('leaves an existing class as it is', async () => {
      const className = await make({ properties: [{ name: 'title', type: 'text' }] });
      await suite.index.upsert(className, [object('kept', [1, 0])]);
      const before = await stateOf(className);
      await suite.index.ensureClass({ name: className, properties: [{ name: 'other', type: 'int' }] });
      expect(await stateOf(className)).toEqual(before);
      expect(await suite.index.count(className)).toBe(1);
    });

    it('adds missing properties and keeps all others', async () => {
      const className = await make({ properties: [{ name: 'title', type: 'text' }] });
      await suite.index.upsert(className, [object('a', [1, 0], { title: 'first' })]);
      const added = [
        { name: 'title', type: 'text' as const },
        { name: 'pages', type: 'int' as const },
      ];
      await suite.index.ensureProperties(className, added);
      await suite.index.ensureProperties(className, added);
      await suite.index.ensureProperties(className, []);
      const state = await stateOf(className);
      expect(state?.properties).toHaveLength(2);
      expect(state?.properties).toEqual(expect.arrayContaining(added));
      expect((await suite.index.get(className, 'a'))?.meta).toEqual({ title: 'first' });
    });

    it('refuses a property of another type and leaves it as it was', async () => {
      const className = await make({ properties: [{ name: 'pages', type: 'int' }] });
      await refused(suite.index.ensureProperties(className, [{ name: 'pages', type: 'text' }]), 'incompatible', 'pages');
      expect((await stateOf(className))?.properties).toEqual([{ name: 'pages', type: 'int' }]);
    });

    it('takes the first letter of a name in either case', async () => {
      const className = await make({ properties: [{ name: 'Title', type: 'text' }] });
      const small = className.charAt(0).toLowerCase() + className.slice(1);
      expect((await suite.index.readClasses([small])).map((state) => state.name)).toEqual([className]);
      expect((await stateOf(className))?.properties).toEqual([{ name: 'title', type: 'text' }]);
      await suite.index.ensureProperties(className, [{ name: 'title', type: 'text' }]);
      await refused(suite.index.ensureProperties(className, [{ name: 'Title', type: 'int' }]), 'incompatible');
      await suite.index.upsert(small, [object('a', [1, 0], { Title: 'x' })]);
      expect((await suite.index.get(className, 'a'))?.meta).toEqual({ title: 'x' });
      expect(await idsOf(suite.index.search(className, { vector: [1, 0], where: { Title: 'x' } }))).toEqual(['a']);
    });

    it.each(['', '9Lives', 'With space', 'Dash-ed', `A${'a'.repeat(255)}`])('refuses the class name "%s"', async (bad) => {
      await refused(suite.index.ensureClass({ name: bad, properties: [] }), 'bad_name');
    });

    it.each(['', '1st', 'with space', 'id', 'vector'])('refuses the property name "%s"', async (bad) => {
      const className = await make();
      await refused(suite.index.ensureProperties(className, [{ name: bad, type: 'text' }]), 'bad_name');
      expect((await stateOf(className))?.properties).toEqual([]);
    });

    it('names a class that is not there', async () => {
      const missing = fresh();
      const calls = [
        () => suite.index.ensureProperties(missing, [{ name: 'a', type: 'text' }]),
        () => suite.index.upsert(missing, [object('a', [1])]),
        () => suite.index.get(missing, 'a'),
        () => suite.index.getMany(missing, ['a']),
        () => suite.index.findable(missing, [object('a', [1])]),
        () => suite.index.delete(missing, 'a'),
        () => suite.index.search(missing, { vector: [1] }),
        () => suite.index.count(missing),
        () => suite.index.list(missing),
      ];
      for (const call of calls) await refused(call(), 'no_such_class');
    });
  });

  describe('dimensions', () => {
    it('are fixed by the class where the backend can, else by the first object', async () => {
      const className = await make({ dimensions: 3 });
      if (!suite.index.capabilities.fixed_dimensions) {
        expect((await stateOf(className))?.dimensions).toBeUndefined();
        return;
      }
      expect((await stateOf(className))?.dimensions).toBe(3);
      await refused(suite.index.upsert(className, [object('two', [1, 2])]), 'bad_dimensions', 'two');
      await suite.index.upsert(className, [object('three', [1, 2, 3])]);
    });

    it('are fixed by the first object where the class does not say', async () => {
      const className = await make();
      expect((await stateOf(className))?.dimensions).toBeUndefined();
      await suite.index.upsert(className, [object('first', [1, 2, 3])]);
      await refused(suite.index.upsert(className, [object('second', [1, 2])]), 'bad_dimensions', 'second');
      await refused(suite.index.search(className, { vector: [1, 2, 3, 4] }), 'bad_dimensions');
      expect(await suite.index.count(className)).toBe(1);
    });

    it('differ within one upsert: nothing of it is stored', async () => {
      const className = await make();
      await suite.index.upsert(className, [object('zero', [1, 1])]);
      await refused(suite.index.upsert(className, [object('good', [1, 2]), object('wrong', [1, 2, 3])]), 'bad_dimensions', 'wrong');
      expect(await suite.index.get(className, 'good')).toBeUndefined();
      expect(await suite.index.count(className)).toBe(1);
    });

    it('of one and of 1536 work', async () => {
      for (const dimensions of [1, 1536]) {
        const className = await make();
        const vector = Array.from({ length: dimensions }, (_, position) => Math.sin(position + 1));
        await suite.index.upsert(className, [object('a', vector)]);
        expectDirection((await suite.index.get(className, 'a'))!.vector, vector);
        expect((await suite.index.search(className, { vector }))[0]?.distance).toBeCloseTo(0, 4);
      }
    });
  });
}
