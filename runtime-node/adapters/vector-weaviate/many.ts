import type { Random } from '../../../shared/ports/random.ts';
import type { VectorObject } from '../../../shared/ports/vector-index.ts';
import type { Graphql } from './graphql.ts';
import { uuidOf } from './ids.ts';
import { idOf, metaOf, record } from './objects.ts';
import type { Layout } from './schema.ts';
import { isDoubtful, known, nearest, ownId } from './search.ts';

/** A text of many megabytes is not worth what it saves in requests. */
const AT_ONCE = 250;
/** Of each request. The walk through the graph is what costs. */
const WALKS = 4;
/** Two vectors that point the same way, and are rounded. */
const SAME = 1e-5;

/** The objects of these ids. `reread` gives one by another way, where GraphQL can't say all of it. */
export async function readMany(
  graphql: Graphql,
  layout: Layout,
  ids: readonly string[],
  reread: (id: string) => Promise<VectorObject | undefined>,
): Promise<VectorObject[]> {
  const vector = layout.vector_name === undefined ? 'vector' : `vectors { ${layout.vector_name} }`;
  const fields = [...ownId(layout), ...known(layout), `_additional { id ${vector} }`].join(' ');
  const pages = await Promise.all(chunks(ids).map((some) => graphql.get(layout.name, `${among(some)}, limit: ${some.length}`, fields)));
  const settle = async (wire: unknown) => {
    const properties = record(wire);
    const { id: uuid, vector, vectors } = record(properties._additional);
    const id = idOf(properties, uuid);
    if (isDoubtful(properties, layout)) return (await reread(id)) ?? [];
    const named = layout.vector_name === undefined ? vector : record(vectors)[layout.vector_name];
    return { id, vector: Array.isArray(named) ? named : [], meta: metaOf(properties, layout) };
  };
  return (await Promise.all(pages.flat().map(settle))).flat();
}

/**
 * The ids of those that searches find. Among a few given objects Weaviate does not walk its graph: it measures the distance of each
 * that its vector index holds, so one search tells of all. That the way there works too is tried on some, picked by chance,
 * and on all where one is missing: a crash leaves some out of the index, and others in it that nothing leads to.
 */
export async function findIndexed(graphql: Graphql, layout: Layout, objects: readonly VectorObject[], random: Random): Promise<string[]> {
  const found = await Promise.all(
    chunks(objects).map(async (some) => {
      const [first] = some;
      if (first === undefined) return [];
      const near = nearest(layout, first.vector, some.length);
      const hits = await graphql.get(layout.name, `${near}, ${among(idsOf(some))}`, [...ownId(layout), '_additional { id }'].join(' '));
      const indexed = new Set(hits.map((wire) => idOf(record(wire), record(record(wire)._additional).id)));
      const held = some.filter(({ id }) => indexed.has(id));
      const isWhole = held.length === some.length && (await walk(graphql, layout, pick(held, random))).size === 0;
      const missed = isWhole ? new Set<string>() : await walk(graphql, layout, held);
      return idsOf(held).filter((id) => !missed.has(id));
    }),
  );
  return found.flat();
}

/** Of these objects, those that the nearest to their own vector is not. */
async function walk(graphql: Graphql, layout: Layout, objects: readonly VectorObject[]): Promise<Set<string>> {
  const hits = await Promise.all(
    objects.map(({ vector }) => graphql.get(layout.name, nearest(layout, vector, 1), '_additional { id distance }')),
  );
  const isMissed = (id: string, hit: unknown) => {
    const { id: uuid, distance } = record(record(hit)._additional);
    // Another that points the same way may stand for it.
    return uuid !== uuidOf(id) && !(Number(distance) <= SAME);
  };
  return new Set(objects.flatMap(({ id }, index) => (isMissed(id, hits[index]?.[0]) ? [id] : [])));
}

function among(ids: readonly string[]): string {
  return `where: {path: ["id"], operator: ContainsAny, valueText: ${JSON.stringify(ids.map(uuidOf))}}`;
}

function idsOf(objects: readonly VectorObject[]): string[] {
  return objects.map(({ id }) => id);
}

function pick<T>(all: readonly T[], random: Random): T[] {
  return Array.from({ length: Math.min(WALKS, all.length) }, () => all[Math.floor(random.next() * all.length)]).filter(
    (one) => one !== undefined,
  );
}

function chunks<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / AT_ONCE) }, (_, index) => all.slice(index * AT_ONCE, (index + 1) * AT_ONCE));
}
