import { describe, expect, it } from 'vitest';
import type { VectorObject } from '../../shared/ports/vector-index.ts';
import type { VectorSuite } from './vector-index.context.ts';

export function searchCases(suite: VectorSuite): void {
  const { expectDirection, idsOf, make, object, refused } = suite;

  describe('search', () => {
    const circle = (degrees: number) => [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];

    it('answers nearest first with the cosine distance', async () => {
      const className = await make();
      await suite.index.upsert(className, [
        object('opposite', [-2, 0]),
        object('right', [0, 5]),
        object('same', [3, 0]),
        object('near', circle(30)),
      ]);
      const hits = await suite.index.search(className, { vector: [0.1, 0] });
      expect(hits.map(({ id }) => id)).toEqual(['same', 'near', 'right', 'opposite']);
      for (const [position, distance] of [0, 1 - Math.cos(Math.PI / 6), 1, 2].entries()) {
        expect(hits[position]!.distance).toBeCloseTo(distance, 3);
      }
    });

    it('answers at most limit hits, 10 where none is given', async () => {
      const className = await make();
      await suite.index.upsert(
        className,
        Array.from({ length: 30 }, (_, n) => object(`at-${n}`, circle(n * 5))),
      );
      expect(await idsOf(suite.index.search(className, { vector: circle(0), limit: 3 }))).toEqual(['at-0', 'at-1', 'at-2']);
      expect(await suite.index.search(className, { vector: circle(0) })).toHaveLength(10);
      expect(await suite.index.search(className, { vector: circle(0), limit: 1000 })).toHaveLength(30);
    });

    it('answers with the properties of each hit', async () => {
      const className = await make({ properties: [{ name: 'title', type: 'text' }] });
      await suite.index.upsert(className, [object('a', [1, 0], { title: 'x' }), object('b', [0, 1])]);
      const hits = await suite.index.search(className, { vector: [1, 0] });
      expect(hits.map(({ meta }) => meta)).toEqual([{ title: 'x' }, {}]);
    });

    it('keeps to what equals each property of where', async () => {
      const properties = [
        { name: 'colour', type: 'text' as const },
        { name: 'size', type: 'int' as const },
        { name: 'score', type: 'number' as const },
        { name: 'urgent', type: 'boolean' as const },
      ];
      const className = await make({ properties });
      await suite.index.upsert(className, [
        object('1', circle(0), { colour: 'red', size: 1, score: 0.5, urgent: true }),
        object('2', circle(10), { colour: 'dark red', size: 1, score: 0.5, urgent: false }),
        object('3', circle(20), { colour: 'red', size: 2, score: 0.25, urgent: false }),
        object('4', circle(30)),
      ]);
      const found = (where: Record<string, string | number | boolean>) =>
        idsOf(suite.index.search(className, { vector: circle(0), where }));
      expect(await found({})).toEqual(['1', '2', '3', '4']);
      expect(await found({ colour: 'red' })).toEqual(['1', '3']);
      expect(await found({ size: 1 })).toEqual(['1', '2']);
      expect(await found({ score: 0.25 })).toEqual(['3']);
      expect(await found({ urgent: false })).toEqual(['2', '3']);
      expect(await found({ colour: 'red', urgent: false })).toEqual(['3']);
      expect(await found({ colour: 'blue' })).toEqual([]);
    });

    it('finds the nearest of those that match, however far they are', async () => {
      const className = await make({ properties: [{ name: 'kind', type: 'text' }] });
      const objects = Array.from({ length: 90 }, (_, n) => object(`n-${n}`, circle(n), { kind: n < 80 ? 'common' : 'rare' }));
      await suite.index.upsert(className, objects);
      const hits = suite.index.search(className, { vector: circle(0), where: { kind: 'rare' }, limit: 2 });
      expect(await idsOf(hits)).toEqual(['n-80', 'n-81']);
    });

    it('compares whole texts, exactly', async () => {
      const texts = ['red', 'Red', ' red', 'red ', 'dark red', 'red, dark', '', ' ', 'the', '"', '\\', '☃', 'line\nbreak', '\u0007'];
      const className = await make({ properties: [{ name: 'text', type: 'text' }] });
      await suite.index.upsert(
        className,
        texts.map((text, n) => object(`at-${n}`, circle(n), { text })),
      );
      for (const [n, text] of texts.entries()) {
        const hits = await suite.index.search(className, { vector: circle(0), where: { text }, limit: 1 });
        expect(hits.map(({ id, meta }) => [id, meta])).toEqual([[`at-${n}`, { text }]]);
      }
    });

    it('compares and answers numbers as they are', async () => {
      const properties = [
        { name: 'int', type: 'int' as const },
        { name: 'ints', type: 'int[]' as const },
        { name: 'number', type: 'number' as const },
      ];
      const className = await make({ properties });
      const ints = [0, -1, 2_147_483_648, -2_147_483_649, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
      const numbers = [0, -0.5, 1e-7, 1.5e300, 5e-324, Number.MAX_SAFE_INTEGER];
      const objects = ints.map((int, n) => object(`at-${n}`, circle(n), { int, ints: [1, int], number: numbers[n]! }));
      await suite.index.upsert(className, objects);
      for (const { id, meta } of objects) {
        for (const where of [{ int: Number(meta.int) }, { number: Number(meta.number) }]) {
          expect((await suite.index.search(className, { vector: circle(0), where })).map((hit) => [hit.id, hit.meta])).toEqual([
            [id, meta],
          ]);
        }
      }
    });

    it('refuses a filter on a property that is not there', async () => {
      const className = await make();
      await suite.index.upsert(className, [object('a', [1, 0])]);
      await refused(suite.index.search(className, { vector: [1, 0], where: { colour: 'red' } }), 'bad_property', 'colour');
    });
  });

  describe('list', () => {
    it('gives every object once, in pages', async () => {
      const className = await make({ properties: [{ name: 'n', type: 'int' }] });
      const objects = Array.from({ length: 25 }, (_, n) => object(`id-${n}`, [1, n + 1], { n }));
      await suite.index.upsert(className, objects);
      const seen: VectorObject[] = [];
      for (let page = await suite.index.list(className, { limit: 10 }); page.length > 0; ) {
        seen.push(...page);
        page = await suite.index.list(className, { after: page.at(-1)!.id, limit: 10 });
      }
      expect(seen.map(({ id }) => id).sort()).toEqual(objects.map(({ id }) => id).sort());
      for (const { id, vector, meta } of seen) {
        expectDirection(vector, [1, Number(meta.n) + 1]);
        expect(id).toBe(`id-${meta.n}`);
      }
    });

    it('goes on after an object that was deleted in the meantime', async () => {
      const className = await make();
      await suite.index.upsert(
        className,
        ['a', 'b', 'c', 'd'].map((id) => object(id, [1, 1])),
      );
      const first = await suite.index.list(className, { limit: 2 });
      await suite.index.delete(className, first[1]!.id);
      const rest = await suite.index.list(className, { after: first[1]!.id });
      expect([first[0]!.id, first[1]!.id, ...rest.map(({ id }) => id)].sort()).toEqual(['a', 'b', 'c', 'd']);
    });
  });
}
