import { describe, expect, it } from 'vitest';
import type { VectorSuite } from './vector-index.context.ts';

export function removalCases(suite: VectorSuite): void {
  const { fresh, make, object, refused, stateOf } = suite;
  const fill = (className: string, objects: number) =>
    suite.index.upsert(
      className,
      Array.from({ length: objects }, (_, n) => object(`id-${n}`, [1, n + 1])),
    );

  describe('removals', () => {
    it('removes an empty class, and one that is not there', async () => {
      const [doomed, other] = [await make({ properties: [{ name: 'label', type: 'text' }] }), await make()];
      await suite.index.removeClass(doomed, { if_empty: true });
      await suite.index.removeClass(doomed, { if_empty: true });
      await suite.index.removeClass(doomed);
      expect(await stateOf(doomed)).toBeUndefined();
      expect(await stateOf(other)).toMatchObject({ name: other });
      await refused(suite.index.count(doomed), 'no_such_class', doomed);
      await refused(suite.index.upsert(doomed, [object('a', [1, 0])]), 'no_such_class');
      await refused(suite.index.search(doomed, { vector: [1, 0] }), 'no_such_class');
    });

    it('refuses to remove a class that holds objects, and leaves it as it was', async () => {
      const doomed = await make();
      await suite.index.upsert(doomed, [object('kept', [1, 0])]);
      await refused(suite.index.removeClass(doomed, { if_empty: true }), 'not_empty', doomed);
      expect(await suite.index.count(doomed)).toBe(1);
      await suite.index.delete(doomed, 'kept');
      await suite.index.removeClass(doomed, { if_empty: true });
      expect(await stateOf(doomed)).toBeUndefined();
    });

    it('removes a class with its objects, and nothing of another', async () => {
      const [doomed, other] = [await make(), await make()];
      for (const one of [doomed, other]) await fill(one, 30);
      await suite.index.removeClass(doomed);
      expect(await stateOf(doomed)).toBeUndefined();
      await refused(suite.index.get(doomed, 'id-1'), 'no_such_class');
      expect(await suite.index.count(other)).toBe(30);
      expect((await suite.index.search(other, { vector: [1, 5] }))[0]?.id).toBe('id-4');
    });

    it('takes a class by either spelling', async () => {
      const name = fresh();
      const lower = `s${name.slice(1)}`;
      await suite.index.ensureClass({ name, properties: [] });
      await suite.index.removeClass(lower);
      expect(await stateOf(name)).toBeUndefined();
    });

    it('a class of the same name is a new one', async () => {
      const name = await make({ dimensions: 2, properties: [{ name: 'label', type: 'text' }] });
      await suite.index.upsert(name, [object('old', [1, 0], { label: 'x' })]);
      await suite.index.removeClass(name);
      await suite.index.ensureClass({ name, dimensions: 3, properties: [{ name: 'label', type: 'int' }] });
      expect(await stateOf(name)).toEqual({
        name,
        ...(suite.index.capabilities.fixed_dimensions ? { dimensions: 3 } : {}),
        properties: [{ name: 'label', type: 'int' }],
      });
      expect(await suite.index.count(name)).toBe(0);
      await suite.index.upsert(name, [object('new', [1, 0, 0], { label: 1 })]);
      expect(await suite.index.get(name, 'old')).toBeUndefined();
      expect((await suite.index.search(name, { vector: [1, 0, 0] })).map(({ id }) => id)).toEqual(['new']);
    });
  });

  describe('who made a class', () => {
    it('is recorded with a class that is made, and only with that', async () => {
      const [made, found] = [fresh(), await make()];
      await suite.index.ensureClass({ name: made, properties: [] }, { made_by: 'bootplane:f1/site@north' });
      await suite.index.ensureClass({ name: made, properties: [] }, { made_by: 'bootplane:another' });
      await suite.index.ensureClass({ name: found, properties: [] }, { made_by: 'bootplane:f1/site@north' });
      expect((await stateOf(made))?.made_by).toBe(suite.index.capabilities.records_maker ? 'bootplane:f1/site@north' : undefined);
      expect((await stateOf(found))?.made_by).toBeUndefined();
      await suite.index.ensureProperties(made, [{ name: 'label', type: 'text' }]);
      await suite.index.upsert(made, [object('a', [1, 0], { label: 'x' })]);
      expect((await stateOf(made))?.made_by).toBe(suite.index.capabilities.records_maker ? 'bootplane:f1/site@north' : undefined);
    });

    it.each(['', 'two words', 'a'.repeat(129), 'ünicode'])('refuses the maker %j', async (made_by) => {
      const name = fresh();
      await refused(suite.index.ensureClass({ name, properties: [] }, { made_by }), 'bad_name');
      expect(await stateOf(name)).toBeUndefined();
    });
  });
}
