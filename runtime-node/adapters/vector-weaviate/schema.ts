import * as z from 'zod';
import type { ClassSpec, PropertySpec } from '../../../shared/contract/profile.ts';
import type { ClassState } from '../../../shared/ports/vector-index.ts';

/** Keeps the id that an object has in bootplane: Weaviate's own ids are UUIDs. Its description keeps the dimensions of the class. */
export const ID_PROPERTY = 'bootplane_id';

/**
 * Differs with each write. Weaviate leaves an object alone whose properties and vector are what it holds already, even where a crash
 * or a cut connection kept that object out of the indexes, so that no search finds it. It compares places on the earth
 * before anything else, and writes an object whose place differs into every index anew.
 */
export const WRITE_PROPERTY = 'bootplane_write';

const OWN: readonly string[] = [ID_PROPERTY, WRITE_PROPERTY];

export const isOwn = (name: string) => OWN.includes(name);

/** In the description of a class, which who made it writes with the class. */
const MAKER = /\bmade-by=(\S+)/;
const DIMENSIONS = /\bdimensions=([1-9]\d*)\b/;

const VectorIndex = z.object({ distance: z.string().optional(), skip: z.boolean().optional() });
const Property = z.object({
  name: z.string(),
  dataType: z.array(z.string()),
  description: z.string().nullish(),
  tokenization: z.string().nullish(),
  indexFilterable: z.boolean().nullish(),
});

/** What is read of a class in Weaviate's schema; all else in it is left alone. */
export const WireClass = z.object({
  class: z.string(),
  description: z.string().nullish(),
  properties: z.array(Property).nullish(),
  vectorIndexConfig: VectorIndex.nullish().catch(undefined),
  vectorConfig: z.record(z.string(), z.object({ vectorIndexConfig: VectorIndex.nullish().catch(undefined) })).nullish(),
  multiTenancyConfig: z.object({ enabled: z.boolean().nullish() }).nullish(),
});
export type WireClass = z.infer<typeof WireClass>;
export const WireSchema = z.object({ classes: z.array(WireClass).nullish() });

/** A class as this adapter works with it. */
export interface Layout {
  readonly name: string;
  /** By name, without our own. */
  readonly types: ReadonlyMap<string, string>;
  /** How each text is cut into the words that filters compare. */
  readonly tokenizations: ReadonlyMap<string, string>;
  /** Properties that no filter can ask for. */
  readonly unfiltered: ReadonlySet<string>;
  /** Of our own properties, those that it has. */
  readonly own: ReadonlySet<string>;
  /** As declared when bootplane made the class. */
  readonly dimensions?: number;
  /** The one named vector of a class that others made so. Absent: the class's vector has no name. */
  readonly vector_name?: string;
  readonly unusable?: string;
  readonly made_by?: string;
}

export function toLayout(wire: WireClass): Layout {
  const all = wire.properties ?? [];
  const properties = all.filter(({ name }) => !isOwn(name));
  const ids = all.find(({ name }) => name === ID_PROPERTY);
  const dimensions = DIMENSIONS.exec(ids?.description ?? '')?.[1];
  const [vector_name] = Object.keys(wire.vectorConfig ?? {});
  const why = whyUnusable(wire);
  const made_by = MAKER.exec(wire.description ?? '')?.[1];
  return {
    name: wire.class,
    types: new Map(properties.map(({ name, dataType }) => [name, dataType.join(',')])),
    tokenizations: new Map(properties.flatMap(({ name, tokenization }) => (tokenization ? [[name, tokenization]] : []))),
    unfiltered: new Set(properties.flatMap(({ name, indexFilterable }) => (indexFilterable === false ? [name] : []))),
    own: new Set(all.flatMap(({ name }) => (isOwn(name) ? [name] : []))),
    ...(dimensions === undefined ? {} : { dimensions: Number(dimensions) }),
    ...(vector_name === undefined ? {} : { vector_name }),
    ...(why === undefined ? {} : { unusable: why }),
    ...(made_by === undefined ? {} : { made_by }),
  };
}

/** Objects of one vector each, compared by cosine distance: what the class must be for that, and was not made for. */
function whyUnusable({ vectorConfig, vectorIndexConfig, multiTenancyConfig }: WireClass): string | undefined {
  if (multiTenancyConfig?.enabled) return 'it keeps its objects by tenant (multi-tenancy)';
  const named = Object.entries(vectorConfig ?? {});
  if (named.length > 1) return `it has several vectors (${named.map(([name]) => name).join(', ')})`;
  const config = named[0]?.[1].vectorIndexConfig ?? vectorIndexConfig;
  if (config?.skip) return 'it has no vector index (skip)';
  const distance = config?.distance ?? 'cosine';
  return distance === 'cosine' ? undefined : `it measures ${distance} and not cosine distance`;
}

export function toState({ name, types, dimensions, unusable, made_by }: Layout, learned?: number): ClassState {
  const known = dimensions ?? learned;
  return {
    name,
    ...(known === undefined ? {} : { dimensions: known }),
    properties: [...types].map(([property, type]) => ({ name: property, type })),
    ...(unusable === undefined ? {} : { unusable }),
    ...(made_by === undefined ? {} : { made_by }),
  };
}

/** The body that makes a class: vectors come from the caller, and cosine is how they are compared. */
export function toNewClass({ name, dimensions, properties }: ClassSpec, made_by?: string): unknown {
  return {
    class: name,
    ...(made_by === undefined ? {} : { description: `Made by bootplane: made-by=${made_by}` }),
    vectorizer: 'none',
    vectorIndexType: 'hnsw',
    vectorIndexConfig: { distance: 'cosine' },
    properties: [...ownProperties(dimensions).values(), ...properties.map(toNewProperty)],
  };
}

/** The bodies that make our own properties, by name. */
export function ownProperties(dimensions?: number): ReadonlyMap<string, unknown> {
  const kept = dimensions === undefined ? '' : ` Kept for bootplane: dimensions=${dimensions}`;
  const id = { ...text(ID_PROPERTY, 'text'), description: `The id of the object in bootplane.${kept}` };
  const description = 'Means nothing: another place with each write of bootplane.';
  const write = { name: WRITE_PROPERTY, dataType: ['geoCoordinates'], indexFilterable: false, indexSearchable: false, description };
  return new Map<string, unknown>([
    [ID_PROPERTY, id],
    [WRITE_PROPERTY, write],
  ]);
}

export function toNewProperty({ name, type }: PropertySpec): unknown {
  return type === 'text' || type === 'text[]' ? text(name, type) : { name, dataType: [type] };
}

/** One word whatever is in it, so that a filter compares the whole text. */
function text(name: string, type: 'text' | 'text[]'): object {
  return { name, dataType: [type], tokenization: 'field', indexFilterable: true, indexSearchable: false };
}
