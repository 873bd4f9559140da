import * as z from 'zod';
import type { ClassSpec, PropertySpec } from '../../../shared/contract/profile.ts';
import type { ClassState } from '../../../shared/ports/vector-index.ts';

/** Keeps the id that an object has in bootplane: Weaviate's own ids are UUIDs. Its description keeps the dimensions of the class. */
export const ID_PROPERTY = 'bootplane_id';

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
  /** By name, without the property for the id. */
  readonly types: ReadonlyMap<string, string>;
  /** How each text is cut into the words that filters compare. */
  readonly tokenizations: ReadonlyMap<string, string>;
  /** Properties that no filter can ask for. */
  readonly unfiltered: ReadonlySet<string>;
  readonly has_ids: boolean;
  /** As declared when bootplane made the class. */
  readonly dimensions?: number;
  /** The one named vector of a class that others made so. Absent: the class's vector has no name. */
  readonly vector_name?: string;
  readonly unusable?: string;
}

export function toLayout(wire: WireClass): Layout {
  const all = wire.properties ?? [];
  const properties = all.filter(({ name }) => name !== ID_PROPERTY);
  const ids = all.find(({ name }) => name === ID_PROPERTY);
  const dimensions = DIMENSIONS.exec(ids?.description ?? '')?.[1];
  const [vector_name] = Object.keys(wire.vectorConfig ?? {});
  const why = whyUnusable(wire);
  return {
    name: wire.class,
    types: new Map(properties.map(({ name, dataType }) => [name, dataType.join(',')])),
    tokenizations: new Map(properties.flatMap(({ name, tokenization }) => (tokenization ? [[name, tokenization]] : []))),
    unfiltered: new Set(properties.flatMap(({ name, indexFilterable }) => (indexFilterable === false ? [name] : []))),
    has_ids: ids !== undefined,
    ...(dimensions === undefined ? {} : { dimensions: Number(dimensions) }),
    ...(vector_name === undefined ? {} : { vector_name }),
    ...(why === undefined ? {} : { unusable: why }),
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

export function toState({ name, types, dimensions, unusable }: Layout, learned?: number): ClassState {
  const known = dimensions ?? learned;
  return {
    name,
    ...(known === undefined ? {} : { dimensions: known }),
    properties: [...types].map(([property, type]) => ({ name: property, type })),
    ...(unusable === undefined ? {} : { unusable }),
  };
}

/** The body that makes a class: vectors come from the caller, and cosine is how they are compared. */
export function toNewClass({ name, dimensions, properties }: ClassSpec): unknown {
  return {
    class: name,
    vectorizer: 'none',
    vectorIndexType: 'hnsw',
    vectorIndexConfig: { distance: 'cosine' },
    properties: [idProperty(dimensions), ...properties.map(toNewProperty)],
  };
}

export function idProperty(dimensions?: number): unknown {
  const kept = dimensions === undefined ? '' : ` Kept for bootplane: dimensions=${dimensions}`;
  return { ...text(ID_PROPERTY, 'text'), description: `The id of the object in bootplane.${kept}` };
}

export function toNewProperty({ name, type }: PropertySpec): unknown {
  return type === 'text' || type === 'text[]' ? text(name, type) : { name, dataType: [type] };
}

/** One word whatever is in it, so that a filter compares the whole text. */
function text(name: string, type: 'text' | 'text[]'): object {
  return { name, dataType: [type], tokenization: 'field', indexFilterable: true, indexSearchable: false };
}
