import { ClassSpec, type PropertySpec, type PropertyType } from '../../shared/contract/profile.ts';
import { whyNoMaker } from '../../shared/ports/maker.ts';
import {
  type ClassState,
  type PropertyValue,
  type SearchHit,
  type VectorCapabilities,
  VectorError,
  type VectorIndex,
  type VectorObject,
} from '../../shared/ports/vector-index.ts';

interface StoredClass {
  readonly name: string;
  dimensions: number | undefined;
  readonly made_by: string | undefined;
  /** By name as it is stored. */
  readonly properties: Map<string, string>;
  readonly objects: Map<string, VectorObject>;
}

export interface MemoryVectorIndex extends VectorIndex {
  /** A person deletes a class behind everybody's back. */
  dropClass(name: string): void;
  /** Somebody else adds a property, of a type that bootplane may not know. */
  addForeignProperty(className: string, name: string, type: string): void;
}

/** The vector index port in memory. Names are stored as Weaviate stores them. */
export function memoryVectorIndex(capabilities: Partial<VectorCapabilities> = {}): MemoryVectorIndex {
  const classes = new Map<string, StoredClass>();

  function classOf(name: string): StoredClass {
    const found = classes.get(upperFirst(name));
    if (found === undefined) throw new VectorError('no_such_class', `there is no class ${name}`);
    return found;
  }

  return {
    backend: { kind: 'embedded', identity: 'memory' },
    capabilities: {
      fixed_dimensions: true,
      atomic_upsert: true,
      removes_if_empty: true,
      records_maker: true,
      shared: false,
      ...capabilities,
    },

    async readClasses(names) {
      return [...new Set(names.map(upperFirst))].flatMap((name) => {
        const found = classes.get(name);
        return found === undefined ? [] : [stateOf(found)];
      });
    },
    async ensureClass(spec, { made_by } = {}) {
      const why = whyNoMaker(made_by);
      if (why !== undefined) throw new VectorError('bad_name', why);
      const name = upperFirst(spec.name);
      const checked = ClassSpec.safeParse({ ...spec, name });
      if (!checked.success) throw new VectorError('bad_name', checked.error.issues.map(({ message }) => message).join('; '));
      if (classes.has(name)) return;
      const properties = new Map(spec.properties.map((property) => [lowerFirst(property.name), property.type]));
      const dimensions = capabilities.fixed_dimensions === false ? undefined : spec.dimensions;
      const maker = capabilities.records_maker === false ? undefined : made_by;
      classes.set(name, { name, dimensions, made_by: maker, properties, objects: new Map() });
    },
    async ensureProperties(className, properties) {
      const found = classOf(className);
      for (const property of properties) checkProperty(found, property);
      for (const { name, type } of properties) found.properties.set(lowerFirst(name), type);
    },
    async removeClass(className, { if_empty = false } = {}) {
      const objects = classes.get(upperFirst(className))?.objects.size ?? 0;
      if (if_empty && objects > 0) throw new VectorError('not_empty', `class ${className} holds ${objects} objects`);
      classes.delete(upperFirst(className));
    },

    async upsert(className, objects) {
      const found = classOf(className);
      const dimensions = found.dimensions ?? objects[0]?.vector.length;
      for (const object of objects) checkObject(found, object, dimensions);
      found.dimensions = dimensions;
      for (const { id, vector, meta } of objects) found.objects.set(id, { id, vector: [...vector], meta: stored(found, meta) });
    },
    async get(className, id) {
      return classOf(className).objects.get(id);
    },
    async getMany(className, ids) {
      const { objects } = classOf(className);
      if (ids.length > 1000) throw new VectorError('failed', 'one call takes 1000 ids at most');
      return [...new Set(ids)].flatMap((id) => objects.get(id) ?? []);
    },
    async delete(className, id) {
      classOf(className).objects.delete(id);
    },
    async search(className, { vector, limit = 10, where = {} }) {
      const found = classOf(className);
      if (found.dimensions !== undefined && vector.length !== found.dimensions) {
        throw new VectorError('bad_dimensions', `${found.name} has ${found.dimensions} dimensions, the query has ${vector.length}`);
      }
      for (const name of Object.keys(where)) {
        if (!found.properties.has(lowerFirst(name))) throw new VectorError('bad_property', `${found.name} has no property ${name}`);
      }
      const wanted = Object.entries(stored(found, where));
      const matches = [...found.objects.values()].filter(({ meta }) => wanted.every(([name, value]) => meta[name] === value));
      const hits = matches.map(({ id, meta, vector: other }): SearchHit => ({ id, meta, distance: cosineDistance(vector, other) }));
      return hits.sort((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1)).slice(0, limit);
    },
    async findable(className, objects) {
      const found = classOf(className);
      return objects.flatMap(({ id }) => (found.objects.has(id) ? [id] : []));
    },
    async count(className) {
      return classOf(className).objects.size;
    },
    async list(className, { after, limit = 1000 } = {}) {
      const all = [...classOf(className).objects.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
      return all.filter(({ id }) => after === undefined || id > after).slice(0, limit);
    },
    async close() {},

    dropClass(name) {
      classes.delete(upperFirst(name));
    },
    addForeignProperty(className, name, type) {
      classOf(className).properties.set(name, type);
    },
  };
}

function stateOf({ name, dimensions, made_by, properties }: StoredClass): ClassState {
  const all = [...properties].map(([property, type]) => ({ name: property, type }));
  return { name, ...(dimensions === undefined ? {} : { dimensions }), properties: all, ...(made_by === undefined ? {} : { made_by }) };
}

function checkProperty({ name: className, properties }: StoredClass, { name, type }: PropertySpec): void {
  if (!ClassSpec.shape.properties.safeParse([{ name, type }]).success) throw new VectorError('bad_name', `${name} is no property name`);
  const before = properties.get(lowerFirst(name));
  if (before !== undefined && before !== type) throw new VectorError('incompatible', `${className}.${name} is ${before}, not ${type}`);
}

function checkObject({ name, properties }: StoredClass, { id, vector, meta }: VectorObject, dimensions: number | undefined): void {
  if (vector.length === 0 || vector.length !== dimensions || !vector.every(Number.isFinite)) {
    throw new VectorError('bad_dimensions', `object ${id}: ${vector.length} numbers, ${name} has ${dimensions} dimensions`);
  }
  if (id.length < 1 || id.length > 256) throw new VectorError('bad_name', `an id has 1 to 256 characters, this one ${id.length}`);
  for (const [property, value] of Object.entries(meta)) {
    const type = properties.get(lowerFirst(property));
    if (type === undefined) throw new VectorError('bad_property', `object ${id}: ${name} has no property ${property}`);
    if (!fits(type, value)) throw new VectorError('bad_property', `object ${id}: ${property} is no ${type}`);
  }
}

/** Names as they are stored, dates as the instant that they mean. */
function stored({ properties }: StoredClass, meta: VectorObject['meta']): VectorObject['meta'] {
  const entries = Object.entries(meta).map(([given, value]) => {
    const name = lowerFirst(given);
    return [name, properties.get(name) === 'date' ? new Date(String(value)).toISOString() : structuredClone(value)];
  });
  return Object.fromEntries(entries);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const SCALARS: Readonly<Record<string, (value: PropertyValue) => boolean>> = {
  text: (value) => typeof value === 'string',
  int: (value) => Number.isSafeInteger(value),
  number: (value) => Number.isFinite(value),
  boolean: (value) => typeof value === 'boolean',
  date: (value) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value)),
  uuid: (value) => typeof value === 'string' && UUID.test(value),
} satisfies Record<Exclude<PropertyType, `${string}[]`>, (value: PropertyValue) => boolean>;

function fits(type: string, value: PropertyValue): boolean {
  if (type.endsWith('[]')) return Array.isArray(value) && value.every((one) => SCALARS[type.slice(0, -2)]?.(one) ?? true);
  return SCALARS[type]?.(value) ?? true;
}

function cosineDistance(a: readonly number[], b: readonly number[]): number {
  const dot = a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
  const length = Math.hypot(...a) * Math.hypot(...b);
  return length === 0 ? 1 : Math.min(2, Math.max(0, 1 - dot / length));
}

function upperFirst(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function lowerFirst(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}
