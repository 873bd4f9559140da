import { describe, expect, test } from 'vitest';
import type { ClassState } from '../../../shared/ports/vector-index.ts';
import { diffVector } from '../../../shared/reconcile/vector-diff.ts';
import { desiredProfile } from '../../support/memory-environment.ts';

const FIXED = { fixed_dimensions: true, atomic_upsert: true, removes_if_empty: true, records_maker: true, shared: false };
const BY_OBJECT = { ...FIXED, fixed_dimensions: false };
const CAMERA = { name: 'camera', type: 'text' } as const;

async function diff(classes: readonly unknown[], actual: readonly Partial<ClassState>[] = [], capabilities = FIXED) {
  const { body } = await desiredProfile({ vector: { classes } });
  const states = actual.map((one): ClassState => ({ name: 'Frame', properties: [], ...one }));
  return diffVector(body.vector, states, capabilities);
}

const kinds = (actions: readonly { kind: string; safety: string }[]) => actions.map(({ kind, safety }) => `${safety} ${kind}`);

describe('vector diff', () => {
  test('makes missing classes with their properties, then adds missing properties', async () => {
    const actions = await diff(
      [
        { name: 'Frame', properties: [CAMERA, { name: 'at', type: 'date' }] },
        { name: 'Sound', dimensions: 3, properties: [CAMERA] },
      ],
      [{ properties: [CAMERA] }],
    );
    expect(actions.map(({ kind, subject }) => `${kind}: ${subject}`)).toEqual([
      'ensure-class: class Sound',
      'add-properties: properties of class Frame',
    ]);
    expect(actions[0]?.data).toEqual({ spec: { name: 'Sound', dimensions: 3, properties: [CAMERA] } });
    expect(actions[1]?.data).toEqual({ class_name: 'Frame', properties: [{ name: 'at', type: 'date' }] });
  });

  test('is empty when all is there, whatever else is there', async () => {
    const actual = [{ dimensions: 3, properties: [{ name: 'foreign', type: 'geoCoordinates' }, CAMERA] }, { name: 'Foreign' }];
    expect(await diff([{ name: 'Frame', dimensions: 3, properties: [CAMERA] }], actual)).toEqual([]);
  });

  test.each([undefined, { classes: [] }])('does nothing without a desired schema: %j', (desired) => {
    expect(diffVector(desired, [{ name: 'Frame', properties: [CAMERA] }], FIXED)).toEqual([]);
  });

  test('names compare as the backend stores them', async () => {
    const wanted = [{ name: 'Frame', properties: [{ name: 'Camera', type: 'text' }] }];
    expect(await diff(wanted, [{ properties: [CAMERA] }])).toEqual([]);
    expect(await diff(wanted, [{ name: 'frame', properties: [CAMERA] }])).toEqual([]);
    expect(kinds(await diff(wanted, [{ properties: [{ name: 'caMera', type: 'text' }] }]))).toEqual(['add add-properties']);
  });

  test('another property type is shown and skipped, and the missing properties are added', async () => {
    const wanted = [
      {
        name: 'Frame',
        properties: [
          { name: 'camera', type: 'int' },
          { name: 'at', type: 'date' },
        ],
      },
    ];
    const actions = await diff(wanted, [{ properties: [CAMERA] }]);
    expect(kinds(actions)).toEqual(['add add-properties', 'incompatible property-type-differs']);
    expect(actions[1]).toMatchObject({ subject: 'property Frame.camera', before: 'text', after: 'int' });
  });

  test('a property named like an inherited one is missing until it is there', async () => {
    expect(kinds(await diff([{ name: 'Frame', properties: [{ name: 'constructor', type: 'text' }] }], [{}]))).toEqual([
      'add add-properties',
    ]);
  });

  test('a class that cannot be used is shown with the reason, and nothing about its dimensions', async () => {
    const spec = { name: 'Frame', dimensions: 3, properties: [CAMERA] };
    const actions = await diff([spec], [{ dimensions: 4, unusable: 'it measures l2-squared' }]);
    expect(kinds(actions)).toEqual(['incompatible class-unusable', 'add add-properties']);
    expect(actions[0]?.detail).toContain('it measures l2-squared');
  });

  test.each([
    ['others', 3, 4, FIXED, ['incompatible dimensions-differ']],
    ['the same', 3, 3, FIXED, []],
    ['none wanted', undefined, 4, FIXED, []],
    ['none there, fixed when made', 3, undefined, FIXED, ['incompatible dimensions-differ']],
    ['none there, fixed by the first object', 3, undefined, BY_OBJECT, []],
    ['others, fixed by the first object', 3, 4, BY_OBJECT, ['incompatible dimensions-differ']],
  ])('dimensions: %s', async (_, wanted, is, capabilities, expected) => {
    const spec = { name: 'Frame', ...(wanted === undefined ? {} : { dimensions: wanted }) };
    expect(kinds(await diff([spec], [is === undefined ? {} : { dimensions: is }], capabilities))).toEqual(expected);
  });
});
