import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClassSpec, PropertyType } from '../../shared/contract/profile.ts';
import type { PropertyValue, VectorErrorKind, VectorIndex, VectorObject } from '../../shared/ports/vector-index.ts';

/** What a backend gives to be tested. */
export interface VectorHarness {
  readonly index: VectorIndex;
  /** Closes the index and removes what was made for it. */
  dispose(): Promise<void>;
}

/**
 * The promises of shared/ports/vector-index.ts. Runs unchanged against each backend: every test uses
 * classes of its own, and what a backend cannot do (`capabilities`) is tested as it is then.
 */
export function vectorIndexSuite(name: string, makeHarness: () => Promise<VectorHarness>): void {
  let harness: VectorHarness;
  let index: VectorIndex;
  const run = crypto.randomUUID().slice(0, 8);
  let made = 0;

  const fresh = () => {
    made += 1;
    return `Suite${run}n${made}`;
  };
  const make = async (spec: Partial<ClassSpec> = {}) => {
    const declared: ClassSpec = { name: fresh(), properties: [], ...spec };
    await index.ensureClass(declared);
    return declared.name;
  };
  const object = (id: string, vector: readonly number[], meta: VectorObject['meta'] = {}): VectorObject => ({ id, vector, meta });
  const stateOf = async (className: string) => (await index.readClasses([className]))[0];
  const idsOf = async (hits: Promise<readonly { id: string }[]>) => (await hits).map(({ id }) => id);
  const refused = async (call: Promise<unknown>, kind: VectorErrorKind, ...words: string[]) => {
    const error = await call.then(
      () => 'resolved',
      (reason: unknown) => reason,
    );
    expect(error).toEqual(expect.objectContaining({ name: 'VectorError', kind }));
    for (const word of words) expect((error as Error).message).toContain(word);
  };
  /** Backends may keep a vector at float32, and scaled: what has to stay is where it points. */
  const expectDirection = (actual: readonly number[], wanted: readonly number[]) => {
    const unit = (vector: readonly number[]) => {
      const length = Math.hypot(...vector);
      return vector.map((component) => component / length);
    };
    expect(actual).toHaveLength(wanted.length);
    const direction = unit(wanted);
    for (const [position, component] of unit(actual).entries()) expect(component).toBeCloseTo(direction[position]!, 5);
  };

  describe(`vector index: ${name}`, () => {
    beforeAll(async () => {
      harness = await makeHarness();
      index = harness.index;
    });
    afterAll(() => harness.dispose());

    describe('classes', () => {
      it('reads back what was declared, and only what was asked for', async () => {
        const properties = [
          { name: 'title', type: 'text' as const },
          { name: 'pages', type: 'int' as const },
          { name: 'tags', type: 'text[]' as const },
        ];
        const [one, two, missing] = [await make({ properties }), await make(), fresh()];
        await make();
        const states = await index.readClasses([one, two, missing]);
        expect(states.map((state) => state.name).sort()).toEqual([one, two].sort());
        const state = states.find((each) => each.name === one);
        expect(state?.properties).toHaveLength(3);
        expect(state?.properties).toEqual(expect.arrayContaining(properties));
        expect(states.find((each) => each.name === two)?.properties).toEqual([]);
      });

      it('reads nothing where nothing is asked for', async () => {
        expect(await index.readClasses([])).toEqual([]);
      });

      it('leaves an existing class as it is', async () => {
        const className = await make({ properties: [{ name: 'title', type: 'text' }] });
        await index.upsert(className, [object('kept', [1, 0])]);
        const before = await stateOf(className);
        await index.ensureClass({ name: className, properties: [{ name: 'other', type: 'int' }] });
        expect(await stateOf(className)).toEqual(before);
        expect(await index.count(className)).toBe(1);
      });

      it('adds missing properties and keeps all others', async () => {
        const className = await make({ properties: [{ name: 'title', type: 'text' }] });
        await index.upsert(className, [object('a', [1, 0], { title: 'first' })]);
        const added = [
          { name: 'title', type: 'text' as const },
          { name: 'pages', type: 'int' as const },
        ];
        await index.ensureProperties(className, added);
        await index.ensureProperties(className, added);
        await index.ensureProperties(className, []);
        const state = await stateOf(className);
        expect(state?.properties).toHaveLength(2);
        expect(state?.properties).toEqual(expect.arrayContaining(added));
        expect((await index.get(className, 'a'))?.meta).toEqual({ title: 'first' });
      });

      it('refuses a property of another type and leaves it as it was', async () => {
        const className = await make({ properties: [{ name: 'pages', type: 'int' }] });
        await refused(index.ensureProperties(className, [{ name: 'pages', type: 'text' }]), 'incompatible', 'pages');
        expect((await stateOf(className))?.properties).toEqual([{ name: 'pages', type: 'int' }]);
      });

      it('takes the first letter of a name in either case', async () => {
        const className = await make({ properties: [{ name: 'Title', type: 'text' }] });
        const small = className.charAt(0).toLowerCase() + className.slice(1);
        expect((await index.readClasses([small])).map((state) => state.name)).toEqual([className]);
        expect((await stateOf(className))?.properties).toEqual([{ name: 'title', type: 'text' }]);
        await index.ensureProperties(className, [{ name: 'title', type: 'text' }]);
        await refused(index.ensureProperties(className, [{ name: 'Title', type: 'int' }]), 'incompatible');
        await index.upsert(small, [object('a', [1, 0], { Title: 'x' })]);
        expect((await index.get(className, 'a'))?.meta).toEqual({ title: 'x' });
        expect(await idsOf(index.search(className, { vector: [1, 0], where: { Title: 'x' } }))).toEqual(['a']);
      });

      it.each(['', '9Lives', 'With space', 'Dash-ed', `A${'a'.repeat(255)}`])('refuses the class name "%s"', async (bad) => {
        await refused(index.ensureClass({ name: bad, properties: [] }), 'bad_name');
      });

      it.each(['', '1st', 'with space', 'id', 'vector'])('refuses the property name "%s"', async (bad) => {
        const className = await make();
        await refused(index.ensureProperties(className, [{ name: bad, type: 'text' }]), 'bad_name');
        expect((await stateOf(className))?.properties).toEqual([]);
      });

      it('names a class that is not there', async () => {
        const missing = fresh();
        const calls = [
          () => index.ensureProperties(missing, [{ name: 'a', type: 'text' }]),
          () => index.upsert(missing, [object('a', [1])]),
          () => index.get(missing, 'a'),
          () => index.delete(missing, 'a'),
          () => index.search(missing, { vector: [1] }),
          () => index.count(missing),
          () => index.list(missing),
        ];
        for (const call of calls) await refused(call(), 'no_such_class');
      });
    });

    describe('dimensions', () => {
      it('are fixed by the class where the backend can, else by the first object', async () => {
        const className = await make({ dimensions: 3 });
        if (!index.capabilities.fixed_dimensions) {
          expect((await stateOf(className))?.dimensions).toBeUndefined();
          return;
        }
        expect((await stateOf(className))?.dimensions).toBe(3);
        await refused(index.upsert(className, [object('two', [1, 2])]), 'bad_dimensions', 'two');
        await index.upsert(className, [object('three', [1, 2, 3])]);
      });

      it('are fixed by the first object where the class does not say', async () => {
        const className = await make();
        expect((await stateOf(className))?.dimensions).toBeUndefined();
        await index.upsert(className, [object('first', [1, 2, 3])]);
        await refused(index.upsert(className, [object('second', [1, 2])]), 'bad_dimensions', 'second');
        await refused(index.search(className, { vector: [1, 2, 3, 4] }), 'bad_dimensions');
        expect(await index.count(className)).toBe(1);
      });

      it('differ within one upsert: nothing of it is stored', async () => {
        const className = await make();
        await index.upsert(className, [object('zero', [1, 1])]);
        await refused(index.upsert(className, [object('good', [1, 2]), object('wrong', [1, 2, 3])]), 'bad_dimensions', 'wrong');
        expect(await index.get(className, 'good')).toBeUndefined();
        expect(await index.count(className)).toBe(1);
      });

      it('of one and of 1536 work', async () => {
        for (const dimensions of [1, 1536]) {
          const className = await make();
          const vector = Array.from({ length: dimensions }, (_, position) => Math.sin(position + 1));
          await index.upsert(className, [object('a', vector)]);
          expectDirection((await index.get(className, 'a'))!.vector, vector);
          expect((await index.search(className, { vector }))[0]?.distance).toBeCloseTo(0, 4);
        }
      });
    });

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
        await index.upsert(className, [object('all', [3, 4], meta), object('none', [4, 3])]);
        const all = await index.get(className, 'all');
        expect(all).toMatchObject({ id: 'all', meta });
        expectDirection(all!.vector, [3, 4]);
        expect((await index.get(className, 'none'))?.meta).toEqual({});
      });

      it('keep the instant of a date', async () => {
        const className = await make({ properties: [{ name: 'taken', type: 'date' }] });
        await index.upsert(className, [object('a', [1, 0], { taken: '2026-01-31T12:00:00.250+02:00' })]);
        const { taken } = (await index.get(className, 'a'))!.meta;
        expect(Date.parse(String(taken))).toBe(Date.UTC(2026, 0, 31, 10, 0, 0, 250));
        expect(await idsOf(index.search(className, { vector: [1, 0], where: { taken: '2026-01-31T10:00:00.25Z' } }))).toEqual(['a']);
        expect(await idsOf(index.search(className, { vector: [1, 0], where: { taken: '2026-01-31T10:00:00Z' } }))).toEqual([]);
      });

      it('are told apart by their id, which may be any text', async () => {
        const className = await make();
        const ids = ['plain', 'with space', 'ünï/code✓', 'a'.repeat(256), '0190b6ae-7c1c-7a3e-8b57-2f6f5f1f1c11', 'Plain', "quo'te"];
        await index.upsert(
          className,
          ids.map((id, position) => object(id, [1, position + 1])),
        );
        expect(await index.count(className)).toBe(ids.length);
        for (const [position, id] of ids.entries()) expectDirection((await index.get(className, id))!.vector, [1, position + 1]);
        await refused(index.upsert(className, [object('a'.repeat(257), [1, 1])]), 'bad_name');
        await refused(index.upsert(className, [object('', [1, 1])]), 'bad_name');
      });

      it('upserted twice are there once', async () => {
        const className = await make({ properties: [{ name: 'n', type: 'int' }] });
        const objects = Array.from({ length: 20 }, (_, n) => object(`id-${n}`, [n + 1, 1], { n }));
        await index.upsert(className, objects);
        await index.upsert(className, objects);
        expect(await index.count(className)).toBe(20);
        expect((await index.get(className, 'id-7'))?.meta).toEqual({ n: 7 });
      });

      it('upserted with other content are replaced whole', async () => {
        const properties = [
          { name: 'title', type: 'text' as const },
          { name: 'pages', type: 'int' as const },
        ];
        const className = await make({ properties });
        await index.upsert(className, [object('a', [1, 0], { title: 'old', pages: 3 }), object('b', [1, 1])]);
        await index.upsert(className, [object('a', [0, 1], { title: 'new' })]);
        const replaced = await index.get(className, 'a');
        expect(replaced?.meta).toEqual({ title: 'new' });
        expectDirection(replaced!.vector, [0, 1]);
        expect(await idsOf(index.search(className, { vector: [0, 1], limit: 1 }))).toEqual(['a']);
        expect(await index.count(className)).toBe(2);
      });

      it('may be none at all', async () => {
        const className = await make();
        await index.upsert(className, []);
        expect(await index.count(className)).toBe(0);
        expect(await index.search(className, { vector: [1, 0] })).toEqual([]);
        expect(await index.list(className)).toEqual([]);
      });

      it('are gone after delete, and deleting again is no error', async () => {
        const className = await make();
        await index.upsert(className, [object('a', [1, 0]), object('b', [0, 1])]);
        await index.delete(className, 'a');
        await index.delete(className, 'a');
        expect(await index.get(className, 'a')).toBeUndefined();
        expect(await idsOf(index.search(className, { vector: [1, 0] }))).toEqual(['b']);
        expect(await index.count(className)).toBe(1);
      });

      it('of one class are not those of another', async () => {
        const [one, two] = [await make(), await make()];
        await index.upsert(one, [object('same', [1, 0])]);
        await index.upsert(two, [object('same', [0, 1, 0])]);
        await index.delete(one, 'same');
        expectDirection((await index.get(two, 'same'))!.vector, [0, 1, 0]);
        expect(await index.search(one, { vector: [1, 0] })).toEqual([]);
      });

      it('with a property that the class does not have are refused, and nothing of the upsert is stored', async () => {
        const className = await make({ properties: [{ name: 'title', type: 'text' }] });
        const objects = [object('good', [1, 0], { title: 'x' }), object('odd', [0, 1], { colour: 'red' })];
        await refused(index.upsert(className, objects), 'bad_property', 'odd', 'colour');
        expect(await index.count(className)).toBe(0);
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
        await refused(index.upsert(className, [wrong]), 'bad_property', 'bad', 'field');
        expect(await index.count(className)).toBe(0);
      });
    });

    describe('search', () => {
      const circle = (degrees: number) => [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];

      it('answers nearest first with the cosine distance', async () => {
        const className = await make();
        await index.upsert(className, [
          object('opposite', [-2, 0]),
          object('right', [0, 5]),
          object('same', [3, 0]),
          object('near', circle(30)),
        ]);
        const hits = await index.search(className, { vector: [0.1, 0] });
        expect(hits.map(({ id }) => id)).toEqual(['same', 'near', 'right', 'opposite']);
        for (const [position, distance] of [0, 1 - Math.cos(Math.PI / 6), 1, 2].entries()) {
          expect(hits[position]!.distance).toBeCloseTo(distance, 3);
        }
      });

      it('answers at most limit hits, 10 where none is given', async () => {
        const className = await make();
        await index.upsert(
          className,
          Array.from({ length: 30 }, (_, n) => object(`at-${n}`, circle(n * 5))),
        );
        expect(await idsOf(index.search(className, { vector: circle(0), limit: 3 }))).toEqual(['at-0', 'at-1', 'at-2']);
        expect(await index.search(className, { vector: circle(0) })).toHaveLength(10);
        expect(await index.search(className, { vector: circle(0), limit: 1000 })).toHaveLength(30);
      });

      it('answers with the properties of each hit', async () => {
        const className = await make({ properties: [{ name: 'title', type: 'text' }] });
        await index.upsert(className, [object('a', [1, 0], { title: 'x' }), object('b', [0, 1])]);
        const hits = await index.search(className, { vector: [1, 0] });
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
        await index.upsert(className, [
          object('1', circle(0), { colour: 'red', size: 1, score: 0.5, urgent: true }),
          object('2', circle(10), { colour: 'dark red', size: 1, score: 0.5, urgent: false }),
          object('3', circle(20), { colour: 'red', size: 2, score: 0.25, urgent: false }),
          object('4', circle(30)),
        ]);
        const found = (where: Record<string, string | number | boolean>) => idsOf(index.search(className, { vector: circle(0), where }));
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
        await index.upsert(className, objects);
        const hits = index.search(className, { vector: circle(0), where: { kind: 'rare' }, limit: 2 });
        expect(await idsOf(hits)).toEqual(['n-80', 'n-81']);
      });

      it('refuses a filter on a property that is not there', async () => {
        const className = await make();
        await index.upsert(className, [object('a', [1, 0])]);
        await refused(index.search(className, { vector: [1, 0], where: { colour: 'red' } }), 'bad_property', 'colour');
      });
    });

    describe('list', () => {
      it('gives every object once, in pages', async () => {
        const className = await make({ properties: [{ name: 'n', type: 'int' }] });
        const objects = Array.from({ length: 25 }, (_, n) => object(`id-${n}`, [1, n + 1], { n }));
        await index.upsert(className, objects);
        const seen: VectorObject[] = [];
        for (let page = await index.list(className, { limit: 10 }); page.length > 0; ) {
          seen.push(...page);
          page = await index.list(className, { after: page.at(-1)!.id, limit: 10 });
        }
        expect(seen.map(({ id }) => id).sort()).toEqual(objects.map(({ id }) => id).sort());
        for (const { id, vector, meta } of seen) {
          expectDirection(vector, [1, Number(meta.n) + 1]);
          expect(id).toBe(`id-${meta.n}`);
        }
      });

      it('goes on after an object that was deleted in the meantime', async () => {
        const className = await make();
        await index.upsert(
          className,
          ['a', 'b', 'c', 'd'].map((id) => object(id, [1, 1])),
        );
        const first = await index.list(className, { limit: 2 });
        await index.delete(className, first[1]!.id);
        const rest = await index.list(className, { after: first[1]!.id });
        expect([first[0]!.id, first[1]!.id, ...rest.map(({ id }) => id)].sort()).toEqual(['a', 'b', 'c', 'd']);
      });
    });
  });
}
