import { describe, expect, it } from 'vitest';
import type { PropertyType } from '../../shared/contract/profile.ts';
import type { PropertyValue } from '../../shared/ports/vector-index.ts';
import type { VectorSuite } from './vector-index.context.ts';

export function objectCases(suite: VectorSuite): void {
  const { expectDirection, idsOf, make, object, refused } = suite;

  describe('objects', () => {
    it('come back as they were stored, property by property', async () => {
      const values: Record<string, [PropertyType, PropertyValue]> = {
        title: ['text', 'grün ✓ "quoted" \\ line\nbreak'],
        empty: ['text', ''],
        pages: ['int', -42],
        large: ['int', 9_007_199_254_740_991],
        score: ['number', 0.125],
        urgent: ['boolean', true],
        done: ['boolean', false],
        owner: ['uuid', '0190b6ae-7c1c-7a3e-8b57-2f6f5f1f1c11'],
        tags: ['text[]', ['a', 'b']],
        sizes: ['int[]', [1, 2, 3]],
        weights: ['number[]', [0.5, -0.25]],
        flags: ['boolean[]', [true, false]],
      };
      const properties = Object.entries(values).map(([property, [type]]) => ({ name: property, type }));
      const meta = Object.fromEntries(Object.entries(values).map(([property, [, value]]) => [property, value]));
      const className = await make({ properties });
      await suite.index.upsert(className, [object('all', [3, 4], meta), object('none', [4, 3])]);
      const all = await suite.index.get(className, 'all');
      expect(all).toMatchObject({ id: 'all', meta });
      expectDirection(all!.vector, [3, 4]);
      expect((await suite.index.get(className, 'none'))?.meta).toEqual({});
    });

    it('keep the instant of a date', async () => {
      const className = await make({ properties: [{ name: 'taken', type: 'date' }] });
      await suite.index.upsert(className, [object('a', [1, 0], { taken: '2026-01-31T12:00:00.250+02:00' })]);
      const { taken } = (await suite.index.get(className, 'a'))!.meta;
      expect(Date.parse(String(taken))).toBe(Date.UTC(2026, 0, 31, 10, 0, 0, 250));
      expect(await idsOf(suite.index.search(className, { vector: [1, 0], where: { taken: '2026-01-31T10:00:00.25Z' } }))).toEqual(['a']);
      expect(await idsOf(suite.index.search(className, { vector: [1, 0], where: { taken: '2026-01-31T10:00:00Z' } }))).toEqual([]);
    });

    it('are told apart by their id, which may be any text', async () => {
      const className = await make();
      const ids = ['plain', 'with space', 'ünï/code✓', 'a'.repeat(256), '0190b6ae-7c1c-7a3e-8b57-2f6f5f1f1c11', 'Plain', "quo'te"];
      await suite.index.upsert(
        className,
        ids.map((id, position) => object(id, [1, position + 1])),
      );
      expect(await suite.index.count(className)).toBe(ids.length);
      for (const [position, id] of ids.entries()) expectDirection((await suite.index.get(className, id))!.vector, [1, position + 1]);
      await refused(suite.index.upsert(className, [object('a'.repeat(257), [1, 1])]), 'bad_name');
      await refused(suite.index.upsert(className, [object('', [1, 1])]), 'bad_name');
    });

    it('upserted twice are there once', async () => {
      const className = await make({ properties: [{ name: 'n', type: 'int' }] });
      const objects = Array.from({ length: 20 }, (_, n) => object(`id-${n}`, [n + 1, 1], { n }));
      await suite.index.upsert(className, objects);
      await suite.index.upsert(className, objects);
      expect(await suite.index.count(className)).toBe(20);
      expect((await suite.index.get(className, 'id-7'))?.meta).toEqual({ n: 7 });
    });

    it('given twice in one upsert are the last', async () => {
      const className = await make({ properties: [{ name: 'n', type: 'int' }] });
      await suite.index.upsert(className, [object('a', [1, 0], { n: 1 }), object('b', [1, 1]), object('a', [0, 1], { n: 2 })]);
      expect(await suite.index.count(className)).toBe(2);
      expect((await suite.index.get(className, 'a'))?.meta).toEqual({ n: 2 });
      expectDirection((await suite.index.get(className, 'a'))!.vector, [0, 1]);
    });

    it('are seen by others whole or not at all, and all of an upsert at once where the backend can', async () => {
      const className = await make({ properties: [{ name: 'n', type: 'int' }] });
      const objects = Array.from({ length: 3000 }, (_, n) => object(`id-${n}`, [1, n + 1], { n }));
      let isStored = false;
      const storing = suite.index.upsert(className, objects).finally(() => {
        isStored = true;
      });
      const counts: number[] = [];
      while (!isStored) {
        // A backend in this process would otherwise answer for ever and never come to store.
        await new Promise((resolve) => setImmediate(resolve));
        counts.push(await suite.index.count(className));
        for (const { id, vector, meta } of await suite.index.list(className, { limit: 10 })) {
          expect(id).toBe(`id-${meta.n}`);
          expectDirection(vector, [1, Number(meta.n) + 1]);
        }
      }
      await storing;
      expect(await suite.index.count(className)).toBe(3000);
      if (suite.index.capabilities.atomic_upsert) expect(counts.filter((count) => count !== 0 && count !== 3000)).toEqual([]);
      // The way out of a part: the same again.
      else await suite.index.upsert(className, objects);
      expect(await suite.index.count(className)).toBe(3000);
    });

    it('upserted with other content are replaced whole', async () => {
      const properties = [
        { name: 'title', type: 'text' as const },
        { name: 'pages', type: 'int' as const },
      ];
      const className = await make({ properties });
      await suite.index.upsert(className, [object('a', [1, 0], { title: 'old', pages: 3 }), object('b', [1, 1])]);
      await suite.index.upsert(className, [object('a', [0, 1], { title: 'new' })]);
      const replaced = await suite.index.get(className, 'a');
      expect(replaced?.meta).toEqual({ title: 'new' });
      expectDirection(replaced!.vector, [0, 1]);
      expect(await idsOf(suite.index.search(className, { vector: [0, 1], limit: 1 }))).toEqual(['a']);
      expect(await suite.index.count(className)).toBe(2);
    });

    it('are read by many ids at once: those that exist, each as it is', async () => {
      const properties = [
        { name: 'n', type: 'int' as const },
        { name: 'large', type: 'int' as const },
        { name: 'taken', type: 'date' as const },
        { name: 'tags', type: 'text[]' as const },
      ];
      const className = await make({ properties });
      const objects = Array.from({ length: 400 }, (_, n) =>
        object(`id-${n}`, [1, n + 1], { n, large: Number.MAX_SAFE_INTEGER - n, taken: '2026-01-31T12:00:00.250+02:00', tags: [`${n}`] }),
      );
      await suite.index.upsert(className, objects);
      const ids = ['none', ...objects.slice(50, 390).map(({ id }) => id), 'id-60'];
      const found = await suite.index.getMany(className, ids);
      expect(found.map(({ id }) => id).sort()).toEqual(ids.slice(1, -1).sort());
      for (const { id, vector, meta } of found) {
        const { taken, ...rest } = meta;
        const n = Number(meta.n);
        expect({ id, ...rest }).toEqual({ id: `id-${n}`, n, large: Number.MAX_SAFE_INTEGER - n, tags: [`${n}`] });
        expect(Date.parse(String(taken))).toBe(Date.UTC(2026, 0, 31, 10, 0, 0, 250));
        expectDirection(vector, [1, n + 1]);
      }
      expect(await suite.index.getMany(className, [])).toEqual([]);
      await refused(
        suite.index.getMany(
          className,
          Array.from({ length: 1001 }, (_, n) => `id-${n}`),
        ),
        'failed',
        '1000',
      );
    });

    it('that are there are found by searches, and others are not', async () => {
      const className = await make();
      const objects = Array.from({ length: 300 }, (_, n) => object(`id-${n}`, [Math.sin(n), Math.cos(n), n % 7]));
      // The same direction twice.
      objects.push(object('twin', objects[0]!.vector));
      await suite.index.upsert(className, objects);
      const found = await suite.index.findable(className, [...objects, object('none', [1, 1, 1])]);
      expect(found.sort()).toEqual(objects.map(({ id }) => id).sort());
      expect(await suite.index.findable(className, [])).toEqual([]);
    });

    it('may be none at all', async () => {
      const className = await make();
      await suite.index.upsert(className, []);
      expect(await suite.index.count(className)).toBe(0);
      expect(await suite.index.search(className, { vector: [1, 0] })).toEqual([]);
      expect(await suite.index.list(className)).toEqual([]);
    });

    it('are gone after delete, and deleting again is no error', async () => {
      const className = await make();
      await suite.index.upsert(className, [object('a', [1, 0]), object('b', [0, 1])]);
      await suite.index.delete(className, 'a');
      await suite.index.delete(className, 'a');
      expect(await suite.index.get(className, 'a')).toBeUndefined();
      expect(await idsOf(suite.index.search(className, { vector: [1, 0] }))).toEqual(['b']);
      expect(await suite.index.count(className)).toBe(1);
    });

    it('of one class are not those of another', async () => {
      const [one, two] = [await make(), await make()];
      await suite.index.upsert(one, [object('same', [1, 0])]);
      await suite.index.upsert(two, [object('same', [0, 1, 0])]);
      await suite.index.delete(one, 'same');
      expectDirection((await suite.index.get(two, 'same'))!.vector, [0, 1, 0]);
      expect(await suite.index.search(one, { vector: [1, 0] })).toEqual([]);
    });

    it('with a property that the class does not have are refused, and nothing of the upsert is stored', async () => {
      const className = await make({ properties: [{ name: 'title', type: 'text' }] });
      const objects = [object('good', [1, 0], { title: 'x' }), object('odd', [0, 1], { colour: 'red' })];
      await refused(suite.index.upsert(className, objects), 'bad_property', 'odd', 'colour');
      expect(await suite.index.count(className)).toBe(0);
    });

    it.each<[PropertyType, unknown]>([
      ['text', 3],
      ['int', 1.5],
      ['int', '1'],
      ['number', 'x'],
      ['boolean', 1],
      ['date', 'yesterday'],
      ['uuid', 'no-uuid'],
      ['text[]', 'a'],
      ['text[]', [1]],
      ['int[]', [0.5]],
      ['number[]', ['x']],
      ['boolean[]', [0]],
    ])('with a %s of %j are refused', async (type, value) => {
      const className = await make({ properties: [{ name: 'field', type }] });
      // A caller in JavaScript, or a body from the wire, may hold anything.
      const wrong = object('bad', [1, 0], { field: value as PropertyValue });
      await refused(suite.index.upsert(className, [wrong]), 'bad_property', 'bad', 'field');
      expect(await suite.index.count(className)).toBe(0);
    });
  });
}
