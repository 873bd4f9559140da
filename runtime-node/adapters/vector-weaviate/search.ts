import { PropertyType } from '../../../shared/contract/profile.ts';
import { type SearchHit, type SearchQuery, VectorError } from '../../../shared/ports/vector-index.ts';
import { instant, type Wanted } from '../vector-checks/values.ts';
import type { Graphql } from './graphql.ts';
import { idOf, metaOf, record, toWireDate } from './objects.ts';
import { ID_PROPERTY, type Layout } from './schema.ts';

/** Weaviate looks at no more (QUERY_MAXIMUM_RESULTS, as it comes). */
const MOST_RESULTS = 10_000;

export interface CheckedQuery {
  readonly vector: SearchQuery['vector'];
  readonly wanted: readonly Wanted[];
  readonly limit: number;
}

/**
 * The nearest objects that equal all of `wanted`. Weaviate's filter lets more through than that, so it is asked for more
 * until enough is left. `reread` gives the properties of one object by another way.
 */
export async function findNearest(
  graphql: Graphql,
  layout: Layout,
  { vector, wanted, limit }: CheckedQuery,
  reread: (id: string) => Promise<SearchHit['meta'] | undefined>,
): Promise<SearchHit[]> {
  for (let page = limit; ; page = Math.min(page * 10, MOST_RESULTS)) {
    const found = await graphql.get(layout.name, toArguments(layout, vector, wanted, page), toFields(layout));
    const hits = await Promise.all(found.map((wire) => settle(toHit(wire, layout), reread)));
    const fitting = hits.filter(({ meta }) => matches(meta, wanted));
    if (fitting.length >= limit || found.length < page) return fitting.slice(0, limit);
    if (page === MOST_RESULTS) throw new VectorError('failed', tooWide(layout, wanted));
  }
}

/** Whether a search finds anything at all. */
export async function hasIndex(graphql: Graphql, layout: Layout, vector: SearchQuery['vector']): Promise<boolean> {
  const found = await graphql.get(layout.name, toArguments(layout, vector, [], 1), '_additional { id }');
  return found.length > 0;
}

async function settle(
  { is_doubtful, ...hit }: FoundHit,
  reread: (id: string) => Promise<SearchHit['meta'] | undefined>,
): Promise<SearchHit> {
  return is_doubtful ? { ...hit, meta: (await reread(hit.id)) ?? hit.meta } : hit;
}

function tooWide({ name }: Layout, wanted: readonly Wanted[]): string {
  const names = wanted.map((one) => one.name).join(', ');
  return `Weaviate cannot filter ${name} by ${names} exactly, and of the nearest ${MOST_RESULTS} objects too few fit`;
}

function toArguments(layout: Layout, vector: SearchQuery['vector'], wanted: readonly Wanted[], limit: number): string {
  const operands = wanted.filter((one) => isServed(one, layout)).map(toOperand);
  const where = operands.length === 0 ? '' : `, where: {operator: And, operands: [${operands.join(', ')}]}`;
  return `${nearest(layout, vector, limit)}${where}`;
}

export function nearest({ vector_name }: Layout, vector: SearchQuery['vector'], limit: number): string {
  const target = vector_name === undefined ? '' : `, targetVectors: ${JSON.stringify([vector_name])}`;
  return `nearVector: {vector: ${JSON.stringify(vector)}${target}}, limit: ${limit}`;
}

function toFields(layout: Layout): string {
  return [...ownId(layout), ...known(layout), '_additional { id distance }'].join(' ');
}

export function ownId({ own }: Layout): string[] {
  return own.has(ID_PROPERTY) ? [ID_PROPERTY] : [];
}

/** Properties of types that bootplane knows: only they are read. */
export function known({ types }: Layout): string[] {
  return [...types].flatMap(([name, type]) => (PropertyType.safeParse(type).success ? [name] : []));
}

/** Whether Weaviate can look the value up. It finds no text that has no word in it. */
function isServed({ name, type, value }: Wanted, { tokenizations, unfiltered }: Layout): boolean {
  if (unfiltered.has(name)) return false;
  if (type !== 'text' || typeof value !== 'string') return true;
  return tokenizations.get(name) === 'field' ? value.trim() !== '' : /[\p{L}\p{N}]/u.test(value);
}

const VALUE_KEYS: Readonly<Partial<Record<PropertyType, string>>> = {
  int: 'valueInt',
  number: 'valueNumber',
  boolean: 'valueBoolean',
  date: 'valueDate',
};

function toOperand({ name, type, value }: Wanted): string {
  const literal = type === 'date' ? toWireDate(String(value)) : value;
  return `{path: ["${name}"], operator: Equal, ${VALUE_KEYS[type] ?? 'valueText'}: ${JSON.stringify(literal)}}`;
}

/** Weaviate's filters are wider than equality: they trim texts, and compare word by word in a class that others made. */
function matches(meta: SearchHit['meta'], wanted: readonly Wanted[]): boolean {
  return wanted.every(({ name, type, value }) => {
    const is = meta[name];
    if (type === 'date') return instant(is) === instant(value);
    if (type === 'uuid') return String(is).toLowerCase() === String(value).toLowerCase();
    return is === value;
  });
}

interface FoundHit extends SearchHit {
  /** GraphQL answers null for a whole number beyond 32 bits, as for one that is not there. */
  readonly is_doubtful: boolean;
}

function toHit(wire: unknown, layout: Layout): FoundHit {
  const properties = record(wire);
  const { id: uuid, distance } = record(properties._additional);
  return {
    id: idOf(properties, uuid),
    distance: Math.min(2, Math.max(0, Number(distance))),
    meta: metaOf(properties, layout),
    is_doubtful: isDoubtful(properties, layout),
  };
}

/** Whether a null may stand for a number that GraphQL can't say. */
export function isDoubtful(properties: Readonly<Record<string, unknown>>, { types }: Layout): boolean {
  return [...types].some(([name, type]) => {
    const value = properties[name];
    if (type === 'int') return value === null;
    return type === 'int[]' && (value === null || (Array.isArray(value) && value.includes(null)));
  });
}
