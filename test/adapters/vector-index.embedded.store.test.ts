import { statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEmbeddedIndex, type EmbeddedIndexOptions } from '../../runtime-node/adapters/vector-embedded.ts';
import type { PropertyValue, VectorErrorKind, VectorIndex, VectorObject } from '../../shared/ports/vector-index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';

let folder: string;
let path: string;
let opened: VectorIndex[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-vectors-'));
  path = join(folder, 'sub', 'vectors.db');
  opened = [];
});
afterEach(async () => {
  await Promise.all(opened.map((index) => index.close()));
  await rm(folder, { recursive: true });
});

function open(options: Partial<EmbeddedIndexOptions> = {}): VectorIndex {
  const index = createEmbeddedIndex({ path, log: recordingLog(), ...options });
  opened.push(index);
  return index;
}

const object = (id: string, vector: readonly number[], meta: VectorObject['meta'] = {}): VectorObject => ({ id, vector, meta });
const rejection = (kind: VectorErrorKind, message = '') => expect.objectContaining({ kind, message: expect.stringContaining(message) });

describe('embedded index, file', () => {
  it('keeps classes, objects and their order of properties over a restart', async () => {
    const properties = [
      { name: 'title', type: 'text' as const },
      { name: 'pages', type: 'int' as const },
      { name: 'added', type: 'date' as const },
    ];
    const first = open();
    await first.ensureClass({ name: 'Article', dimensions: 2, properties: properties.slice(0, 2) });
    await first.ensureProperties('Article', properties.slice(2));
    await first.upsert('Article', [object('a', [1, 2], { title: 'x', pages: 3 })]);
    await first.close();
    const second = open();
    expect(await second.readClasses(['Article'])).toEqual([{ name: 'Article', dimensions: 2, properties }]);
    expect(await second.get('Article', 'a')).toEqual(object('a', [1, 2], { title: 'x', pages: 3 }));
    expect(second.backend).toEqual(first.backend);
  });

  it('keeps the file private and to one process', async () => {
    open();
    expect(statSync(path).mode & 0o077).toBe(0);
    expect(() => open()).toThrow(rejection('failed', 'used by another process'));
  });

  it('refuses a damaged file and one of another version', async () => {
    const damaged = join(folder, 'damaged.db');
    writeFileSync(damaged, 'no database at all'.repeat(100));
    expect(() => open({ path: damaged })).toThrow(rejection('failed', 'damaged'));
    await open().close();
    const database = new Sqlite(path);
    database.pragma('user_version = 99');
    database.close();
    expect(() => open()).toThrow(rejection('failed', 'another version'));
  });

  it('writes nothing when what is declared is there', async () => {
    const index = open();
    const declare = async () => {
      await index.ensureClass({ name: 'Article', properties: [{ name: 'title', type: 'text' }] });
      await index.ensureProperties('Article', [{ name: 'title', type: 'text' }]);
    };
    await declare();
    const written = statSync(`${path}-wal`).size;
    await declare();
    expect(statSync(`${path}-wal`).size).toBe(written);
  });

  it('says full when there is no room, stores nothing of that upsert, and goes on', async () => {
    const index = open({ max_bytes: 300_000 });
    await index.ensureClass({ name: 'Article', properties: [] });
    await index.upsert('Article', [
      object(
        'small',
        Array.from({ length: 1000 }, () => 1),
      ),
    ]);
    const many = Array.from({ length: 500 }, (_, n) =>
      object(
        `n-${n}`,
        Array.from({ length: 1000 }, () => n + 1),
      ),
    );
    await expect(index.upsert('Article', many)).rejects.toEqual(rejection('full', 'room'));
    expect(await index.count('Article')).toBe(1);
    await index.upsert('Article', many.slice(0, 5));
    expect(await index.count('Article')).toBe(6);
  });

  it('refuses one of several upserts alone, and takes the vectors as they were when it was called', async () => {
    const index = open();
    await index.ensureClass({ name: 'Article', dimensions: 2, properties: [] });
    const vector = [1, 2];
    const settling = Promise.allSettled([
      index.upsert('Article', [object('a', vector)]),
      index.upsert('Article', [object('b', [1, 2]), object('c', [1, 2, 3])]),
      index.upsert('Missing', [object('d', [1, 2])]),
      index.upsert('Article', [object('e', [3, 4])]),
    ]);
    vector.fill(9);
    expect((await settling).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    expect(await index.list('Article')).toEqual([object('a', [1, 2]), object('e', [3, 4])]);
  });

  it('refuses calls after close', async () => {
    const index = open();
    await index.close();
    await index.close();
    await expect(index.readClasses(['A'])).rejects.toEqual(rejection('failed', 'closed'));
    await expect(index.upsert('A', [])).rejects.toEqual(rejection('failed', 'closed'));
  });

  it('keeps each index in memory to itself', async () => {
    const [one, two] = [open({ path: ':memory:' }), open({ path: ':memory:' })];
    await one.ensureClass({ name: 'Article', properties: [] });
    expect(await two.readClasses(['Article'])).toEqual([]);
    expect(one.backend.identity).not.toBe(two.backend.identity);
  });
});

describe('embedded index, classes', () => {
  it('declares 10,000 classes at once and reads them in one call', async () => {
    const index = open();
    const names = Array.from({ length: 10_000 }, (_, n) => `Class${n}`);
    await Promise.all(names.map((name) => index.ensureClass({ name, properties: [{ name: 'title', type: 'text' }] })));
    const states = await index.readClasses([...names, 'Missing']);
    expect(states).toHaveLength(10_000);
    expect(states.every(({ properties }) => properties.length === 1)).toBe(true);
  });

  it('shows properties of a type that it does not know, and neither writes nor compares them', async () => {
    await open().ensureClass({ name: 'Article', properties: [] });
    await opened[0]!.close();
    const database = new Sqlite(path);
    database.exec(`insert into properties (class, name, type, position) values (1, 'place', 'geoCoordinates', 0)`);
    database.close();
    const index = open();
    expect((await index.readClasses(['Article']))[0]?.properties).toEqual([{ name: 'place', type: 'geoCoordinates' }]);
    await expect(index.upsert('Article', [object('a', [1], { place: 'x' })])).rejects.toEqual(rejection('bad_property', 'geoCoordinates'));
    await expect(index.search('Article', { vector: [1], where: { place: 'x' } })).rejects.toEqual(rejection('bad_property'));
    await expect(index.ensureProperties('Article', [{ name: 'place', type: 'text' }])).rejects.toEqual(rejection('incompatible'));
  });

  it('adds none of the properties when one of them is incompatible', async () => {
    const index = open();
    await index.ensureClass({ name: 'Article', properties: [{ name: 'pages', type: 'int' }] });
    const wanted = [
      { name: 'title', type: 'text' as const },
      { name: 'pages', type: 'text' as const },
    ];
    await expect(index.ensureProperties('Article', wanted)).rejects.toEqual(rejection('incompatible', 'pages'));
    expect((await index.readClasses(['Article']))[0]?.properties).toHaveLength(1);
  });

  it('accepts a class name that starts small', async () => {
    const index = open();
    await index.ensureClass({ name: 'article', properties: [] });
    expect((await index.readClasses(['Article', 'article'])).map(({ name }) => name)).toEqual(['Article']);
  });
});

describe('embedded index, vectors', () => {
  it.each([
    ['zeros', [0, 0], 'all zeros'],
    ['what rounds to nothing', [1e-200, 0], 'length'],
    ['what is too short to be squared', [1e-30, 0], 'length'],
    ['what is too long to be squared', [1e30, 1], 'length'],
    ['NaN', [1, Number.NaN], 'position 1'],
    ['Infinity', [Number.POSITIVE_INFINITY, 1], 'position 0'],
    ['none', [], 'empty'],
  ])('refuses a vector of %s, in an object and in a query', async (_what, vector, word) => {
    const index = open();
    await index.ensureClass({ name: 'Article', properties: [] });
    await expect(index.upsert('Article', [object('odd', vector)])).rejects.toEqual(rejection('bad_dimensions', word));
    await expect(index.upsert('Article', [object('odd', vector)])).rejects.toEqual(rejection('bad_dimensions', 'odd'));
    await expect(index.search('Article', { vector })).rejects.toEqual(rejection('bad_dimensions', word));
    expect((await index.readClasses(['Article']))[0]?.dimensions).toBeUndefined();
  });

  it('keeps components at float32', async () => {
    const index = open();
    await index.ensureClass({ name: 'Article', properties: [] });
    await index.upsert('Article', [object('a', [0.1, -1 / 3, 1e-14, 1e14])]);
    expect((await index.get('Article', 'a'))?.vector).toEqual([0.1, -1 / 3, 1e-14, 1e14].map(Math.fround));
  });

  it('finds what a comparison with each vector finds, with and without a filter', async () => {
    const index = open({ path: ':memory:' });
    await index.ensureClass({ name: 'Point', properties: [{ name: 'group', type: 'int' }] });
    const random = seededRandom(7);
    const objects = Array.from({ length: 300 }, (_, n) =>
      object(
        `p${n}`,
        Array.from({ length: 8 }, () => random.next() - 0.5),
        { group: n % 3 },
      ),
    );
    await index.upsert('Point', objects);
    const distance = (a: readonly number[], b: readonly number[]) =>
      1 - a.reduce((sum, one, at) => sum + one * b[at]!, 0) / (Math.hypot(...a) * Math.hypot(...b));
    const component = fc.double({ min: -1, max: 1, noNaN: true });
    const query = fc.array(component, { minLength: 8, maxLength: 8 }).filter((vector) => Math.hypot(...vector) > 0.01);
    await fc.assert(
      fc.asyncProperty(query, fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }), async (vector, group) => {
        const eligible = objects.filter(({ meta }) => group === undefined || meta.group === group);
        const expected = eligible.map((one) => distance(vector, one.vector)).sort((a, b) => a - b);
        const hits = await index.search('Point', { vector, limit: 5, ...(group === undefined ? {} : { where: { group } }) });
        for (const [rank, hit] of hits.entries()) expect(hit.distance).toBeCloseTo(expected[rank]!, 4);
        expect(hits).toHaveLength(5);
        expect(hits.every(({ meta }) => group === undefined || meta.group === group)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('orders equal distances by id', async () => {
    const index = open();
    await index.ensureClass({ name: 'Article', properties: [] });
    await index.upsert(
      'Article',
      ['c', 'a', 'b'].map((id) => object(id, [1, 1])),
    );
    expect((await index.search('Article', { vector: [2, 2], limit: 2 })).map(({ id }) => id)).toEqual(['a', 'b']);
  });
});

describe('embedded index, values', () => {
  it('compares UUIDs in either case and refuses a filter on a list', async () => {
    const index = open();
    await index.ensureClass({
      name: 'Article',
      properties: [
        { name: 'owner', type: 'uuid' },
        { name: 'tags', type: 'text[]' },
      ],
    });
    await index.upsert('Article', [object('a', [1], { owner: '0190B6AE-7C1C-7A3E-8B57-2F6F5F1F1C11' })]);
    const where = { owner: '0190b6ae-7c1c-7a3e-8b57-2f6f5f1f1c11' };
    expect(await index.search('Article', { vector: [1], where })).toHaveLength(1);
    await expect(index.search('Article', { vector: [1], where: { tags: 'a' } })).rejects.toEqual(rejection('bad_property'));
    await expect(index.search('Article', { vector: [1], where: { owner: 'me' } })).rejects.toEqual(rejection('bad_property', 'owner'));
  });

  it.each([
    ['2026-02-28T00:00:00Z', true],
    ['2024-02-29T23:59:59.999999+14:00', true],
    ['2026-01-31t12:00:00z', true],
    ['2026-02-29T00:00:00Z', false],
    ['2026-13-01T00:00:00Z', false],
    ['2026-01-31', false],
    ['2026-01-31 12:00:00Z', false],
    ['2026-01-31T12:00:00', false],
    ['2026-01-31T25:00:00Z', false],
  ])('takes %s for a date: %s', async (added, accepted) => {
    const index = open({ path: ':memory:' });
    await index.ensureClass({ name: 'Article', properties: [{ name: 'added', type: 'date' }] });
    const storing = index.upsert('Article', [object('a', [1], { added })]);
    await (accepted ? expect(storing).resolves.toBeUndefined() : expect(storing).rejects.toEqual(rejection('bad_property', 'added')));
  });

  it('refuses texts and ids that SQLite could not tell apart, and a property given twice', async () => {
    const index = open();
    await index.ensureClass({ name: 'Article', properties: [{ name: 'title', type: 'text' }] });
    const wrong: [VectorObject, VectorErrorKind][] = [
      [object('a\0b', [1]), 'bad_name'],
      [object('a\ud800', [1]), 'bad_name'],
      [object('a', [1], { title: 'x\0y' }), 'bad_property'],
      [object('a', [1], { title: '\udfff' }), 'bad_property'],
      [object('a', [1], { title: 'x', Title: 'y' }), 'bad_property'],
      [object('a', [1], { title: null as unknown as PropertyValue }), 'bad_property'],
      [object('a', [1], JSON.parse('{"__proto__": "x"}')), 'bad_property'],
    ];
    for (const [one, kind] of wrong) await expect(index.upsert('Article', [one])).rejects.toEqual(rejection(kind));
    expect(await index.count('Article')).toBe(0);
  });

  it('compares text exactly', async () => {
    const index = open({ path: ':memory:' });
    await index.ensureClass({ name: 'Article', properties: [{ name: 'title', type: 'text' }] });
    const text = fc.string({ unit: 'grapheme' }).filter((one) => one.isWellFormed() && !one.includes('\0'));
    await fc.assert(
      fc.asyncProperty(text, text, async (title, other) => {
        await index.upsert('Article', [object('a', [1], { title })]);
        expect(await index.search('Article', { vector: [1], where: { title } })).toHaveLength(1);
        expect(await index.search('Article', { vector: [1], where: { title: other } })).toHaveLength(title === other ? 1 : 0);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps a property named __proto__', async () => {
    const index = open();
    await index.ensureClass({ name: 'Article', properties: [{ name: '__proto__', type: 'text' }] });
    const meta = JSON.parse('{"__proto__": "kept"}');
    await index.upsert('Article', [object('a', [1], meta)]);
    expect(JSON.stringify((await index.get('Article', 'a'))?.meta)).toBe('{"__proto__":"kept"}');
  });

  it('refuses limits out of range', async () => {
    const index = open();
    await index.ensureClass({ name: 'Article', properties: [] });
    for (const limit of [0, 1001, 1.5]) {
      await expect(index.search('Article', { vector: [1], limit })).rejects.toEqual(rejection('failed', 'limit'));
      await expect(index.list('Article', { limit })).rejects.toEqual(rejection('failed', 'limit'));
    }
  });
});
