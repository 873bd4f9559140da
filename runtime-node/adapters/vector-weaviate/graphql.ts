import { VectorError } from '../../../shared/ports/vector-index.ts';
import { messageOf, parse, toStatedError } from './faults.ts';
import { record } from './objects.ts';
import type { Rest } from './rest.ts';
import type { Layout } from './schema.ts';

/** One vector each: what a request for them may bring together. */
const CLASSES_AT_ONCE = 50;

/** Weaviate's GraphQL API, which has what REST has not: search, counts, many classes in one request. */
export function createGraphql(rest: Rest) {
  async function query(text: string, subject: string): Promise<Readonly<Record<string, unknown>>> {
    const body = JSON.stringify({ query: text });
    const reply = await rest.call({ method: 'POST', path: '/v1/graphql', body }, [200], subject);
    const { data, errors } = record(parse(reply.text));
    if (!Array.isArray(errors) || errors.length === 0) return record(data);
    throw toStatedError(errors.map((error) => messageOf(error) ?? 'it gives no reason').join('; '), subject);
  }

  return {
    /** Objects of one class, by the text of the arguments and of the fields. */
    async get(name: string, args: string, fields: string): Promise<readonly unknown[]> {
      const { Get } = await query(`{ Get { ${name}(${args}) { ${fields} } } }`, `a search in ${name}`);
      return list(record(Get)[name]);
    },

    async count(name: string): Promise<number> {
      const { Aggregate } = await query(`{ Aggregate { ${name} { meta { count } } } }`, `counting ${name}`);
      const { count } = record(record(list(record(Aggregate)[name])[0]).meta);
      if (typeof count === 'number') return count;
      throw new VectorError('failed', `Weaviate does not say how many objects ${name} has`);
    },

    /** By class: how long the vector of one of its objects is. An empty class is left out. */
    async sampleDimensions(layouts: readonly Layout[]): Promise<ReadonlyMap<string, number>> {
      const found = new Map<string, number>();
      for (let from = 0; from < layouts.length; from += CLASSES_AT_ONCE) {
        const some = layouts.slice(from, from + CLASSES_AT_ONCE);
        const { Get } = await query(`{ Get { ${some.map(toSample).join(' ')} } }`, 'reading the dimensions of classes');
        for (const layout of some) {
          const vector = vectorOf(list(record(Get)[layout.name])[0], layout);
          if (vector.length > 0) found.set(layout.name, vector.length);
        }
      }
      return found;
    },
  };
}

export type Graphql = ReturnType<typeof createGraphql>;

function toSample({ name, vector_name }: Layout): string {
  return `${name}(limit: 1) { _additional { ${vector_name === undefined ? 'vector' : `vectors { ${vector_name} }`} } }`;
}

function vectorOf(object: unknown, { vector_name }: Layout): readonly unknown[] {
  const { vector, vectors } = record(record(object)._additional);
  return list(vector_name === undefined ? vector : record(vectors)[vector_name]);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
