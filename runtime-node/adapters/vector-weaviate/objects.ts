import { PropertyType } from '../../../shared/contract/profile.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { type PropertyValue, VectorError, type VectorObject } from '../../../shared/ports/vector-index.ts';
import { checkId } from '../vector-checks/names.ts';
import { checkMeta } from '../vector-checks/values.ts';
import { encodeVector } from '../vector-checks/vectors.ts';
import { uuidOf } from './ids.ts';
import { ID_PROPERTY, type Layout, WRITE_PROPERTY } from './schema.ts';

export interface CheckedObject extends VectorObject {
  readonly uuid: string;
}

/** The objects as Weaviate is given them. Of an id that is there twice, the last. */
export function checkObjects(objects: readonly VectorObject[], layout: Layout, dimensions: number | undefined): CheckedObject[] {
  const wanted = dimensions ?? objects[0]?.vector.length;
  const checked = objects.map(({ id, vector, meta }): CheckedObject => {
    checkId(id);
    const subject = `object ${id} of ${layout.name}`;
    encodeVector(vector, subject, wanted);
    return { id, uuid: uuidOf(id), vector, meta: toWireMeta(checkMeta(meta, layout.types, subject), layout) };
  });
  return [...new Map(checked.map((object) => [object.uuid, object])).values()];
}

function toWireMeta(meta: Record<string, PropertyValue>, { types }: Layout): VectorObject['meta'] {
  const isDate = (name: string, value: PropertyValue): value is string => types.get(name) === 'date' && typeof value === 'string';
  return Object.fromEntries(Object.entries(meta).map(([name, value]) => [name, isDate(name, value) ? toWireDate(value) : value]));
}

/** Go reads neither small letters nor the hour 24 in a date. */
export function toWireDate(date: string): string {
  const upper = date.toUpperCase();
  return upper.slice(11, 13) === '24' ? new Date(upper).toISOString() : upper;
}

/** The object as JSON, before and after the mark of the write (WRITE_PROPERTY). */
export function toWire({ id, uuid, vector, meta }: CheckedObject, { name, vector_name }: Layout): readonly [string, string] {
  const vectors = vector_name === undefined ? { vector } : { vectors: { [vector_name]: vector } };
  const head = JSON.stringify({ class: name, id: uuid, ...vectors }).slice(0, -1);
  const properties = JSON.stringify({ ...meta, [ID_PROPERTY]: id }).slice(0, -1);
  return [`${head},"properties":${properties},"${WRITE_PROPERTY}":`, '}}'];
}

/** A place that hardly ever comes twice. Weaviate keeps coordinates as float32. */
export function toMark(random: Random): string {
  return JSON.stringify({ latitude: random.next() * 180 - 90, longitude: random.next() * 360 - 180 });
}

/** An object from Weaviate. One that others stored has no id of ours: its UUID is its id. */
export function fromWire(wire: unknown, layout: Layout): VectorObject {
  const { id: uuid, properties, vector, vectors } = record(wire);
  const named = layout.vector_name === undefined ? vector : record(vectors)[layout.vector_name];
  return { id: idOf(record(properties), uuid), vector: Array.isArray(named) ? named : [], meta: metaOf(record(properties), layout) };
}

export function idOf(properties: Readonly<Record<string, unknown>>, uuid: unknown): string {
  const id = properties[ID_PROPERTY] ?? uuid;
  if (typeof id === 'string') return id;
  throw new VectorError('failed', 'Weaviate answers with an object that has no id');
}

/** Values of types that bootplane does not know are left out. */
export function metaOf(properties: Readonly<Record<string, unknown>>, { types }: Layout): VectorObject['meta'] {
  const known = Object.entries(properties).filter(([name, value]) => value !== null && PropertyType.safeParse(types.get(name)).success);
  return Object.fromEntries(known) as VectorObject['meta'];
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
