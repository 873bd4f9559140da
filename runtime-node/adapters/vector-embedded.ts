import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import type Sqlite from 'better-sqlite3';
import type { ClassSpec, PropertySpec } from '../../shared/contract/profile.ts';
import type { Log } from '../../shared/ports/log.ts';
import { whyNoMaker } from '../../shared/ports/maker.ts';
import {
  type ClassState,
  type SearchHit,
  type SearchQuery,
  type VectorBackend,
  type VectorCapabilities,
  VectorError,
  type VectorIndex,
  type VectorObject,
} from '../../shared/ports/vector-index.ts';
import type { SetAside } from './sqlite-file/damage.ts';
import { GroupCommit } from './sqlite-file/group-commit.ts';
import { IN_MEMORY } from './sqlite-file/open.ts';
import { checkClass, checkId, checkLimit, checkMany, checkProperties, classNameOf } from './vector-checks/names.ts';
import { checkMeta, instant } from './vector-checks/values.ts';
import { decodeVector, encodeVector } from './vector-checks/vectors.ts';
import { toCondition } from './vector-embedded/condition.ts';
import { ClassRemoval } from './vector-embedded/removal.ts';
import { openVectors, toVectorError } from './vector-embedded/schema.ts';

const DEFAULT_HITS = 10;
const DEFAULT_PAGE = 100;

export interface EmbeddedIndexOptions {
  /** The SQLite file. Absent or `:memory:`: kept in memory only. One process uses a file at a time. */
  readonly path?: string;
  readonly log: Log;
  /** Most bytes of the file; beyond it an upsert rejects with `full`. Absent: as far as the disk goes. */
  readonly max_bytes?: number;
  /** Moves a file that is damaged away, so that an empty one takes its place. Absent: it can't be opened. */
  readonly set_aside?: SetAside;
}

interface ClassRow {
  readonly id: number;
  readonly name: string;
  readonly dimensions: number | null;
}

interface ObjectRow {
  readonly id: string;
  readonly vector: Uint8Array;
  readonly meta: string;
}

/**
 * The vector index inside this process: one SQLite file with sqlite-vec.
 *
 * - Vectors are kept as float32: what is read back differs by up to one part in 2^24. A zero vector,
 *   or one shorter than 1e-15 or longer than 1e15, is `bad_dimensions`.
 * - Names of classes and properties are folded as Weaviate does: `article` is `Article`, `Title` is `title`.
 * - Ids are any text of 1 to 256 characters without U+0000. Each change is on disk when its call
 *   resolves; concurrent changes share one transaction and one fsync.
 * - A search compares with each vector of the class. It holds the event loop for about 1 ms per 1,000 vectors of 384.
 *
 * Throws `VectorError` `failed` when the file cannot be opened or another process uses it.
 */
export function createEmbeddedIndex(options: EmbeddedIndexOptions): VectorIndex {
  return new EmbeddedIndex(options);
}

class EmbeddedIndex implements VectorIndex {
  readonly backend: VectorBackend;
  readonly capabilities: VectorCapabilities = {
    fixed_dimensions: true,
    atomic_upsert: true,
    removes_if_empty: true,
    records_maker: false,
    shared: false,
  };
  readonly #path: string;
  readonly #log: Log;
  readonly #database: Sqlite.Database;
  readonly #sql: ReturnType<typeof statements>;
  readonly #commit: GroupCommit;
  readonly #removal: ClassRemoval;
  #closed = false;

  constructor({ path = IN_MEMORY, log, max_bytes, set_aside }: EmbeddedIndexOptions) {
    this.#path = path === IN_MEMORY ? path : resolve(path);
    this.#log = log;
    this.#database = openVectors(this.#path, max_bytes, set_aside);
    this.#database.function('instant', { deterministic: true }, instant);
    this.#sql = statements(this.#database);
    this.#commit = new GroupCommit(this.#database, {
      isRefusal: (error) => error instanceof VectorError,
      translate: (error) => toVectorError(error, this.#path),
    });
    this.backend = { kind: 'embedded', identity: this.#path === IN_MEMORY ? `memory:${randomUUID()}` : this.#path };
    this.#removal = new ClassRemoval(this.#database, (work) => this.#write(work));
    // What a crash has left of removed classes.
    this.#removal.discardLeft().catch((error: unknown) => {
      if (!this.#closed) log.error('The objects of a removed class could not be discarded', { error: String(error) });
    });
  }

  async readClasses(names: readonly string[]): Promise<ClassState[]> {
    return this.#run(() => {
      const asked = JSON.stringify(names.map((name) => name.charAt(0).toUpperCase() + name.slice(1)));
      const properties = Map.groupBy(this.#sql.propertiesOf.all(asked), ({ class: id }) => id);
      return this.#sql.classes.all(asked).map(({ id, name, dimensions }) => ({
        name,
        ...(dimensions === null ? {} : { dimensions }),
        properties: (properties.get(id) ?? []).map(({ name, type }) => ({ name, type })),
      }));
    });
  }

  /** `made_by` is checked and not kept: in a file of the node's own there is nothing that bootplane did not make. */
  async ensureClass(spec: ClassSpec, { made_by }: { made_by?: string } = {}): Promise<void> {
    const why = whyNoMaker(made_by);
    if (why !== undefined) throw new VectorError('bad_name', why);
    const { name, dimensions, properties } = checkClass(spec);
    await this.#write(() => {
      if (this.#sql.class.get(name) !== undefined) return;
      const { lastInsertRowid } = this.#sql.addClass.run(name, dimensions ?? null);
      this.#sql.addProperties.run(lastInsertRowid, 0, JSON.stringify(properties));
    });
  }

  async ensureProperties(className: string, properties: readonly PropertySpec[]): Promise<void> {
    const name = classNameOf(className);
    const wanted = checkProperties(name, properties);
    await this.#write(() => {
      const { id } = this.#class(name);
      const types = this.#types(id);
      for (const property of wanted) {
        const type = types.get(property.name) ?? property.type;
        if (type === property.type) continue;
        throw new VectorError(
          'incompatible',
          `The property ${property.name} of ${name} has the type ${type} and cannot become ${property.type}: use another name`,
        );
      }
      const missing = wanted.filter((property) => !types.has(property.name));
      if (missing.length > 0) this.#sql.addProperties.run(id, types.size, JSON.stringify(missing));
    });
  }

  async removeClass(className: string, { if_empty = false }: { if_empty?: boolean } = {}): Promise<void> {
    await this.#removal.remove(classNameOf(className), if_empty);
  }

  async upsert(className: string, objects: readonly VectorObject[]): Promise<void> {
    const name = classNameOf(className);
    // The caller may change its arrays before the group is written.
    const own = objects.map(({ id, vector, meta }) => ({ id, vector: vector.slice(), meta: { ...meta } }));
    await this.#write(() => {
      const { id, dimensions: fixed } = this.#class(name);
      const types = this.#types(id);
      const dimensions = fixed ?? own[0]?.vector.length;
      for (const object of own) {
        checkId(object.id);
        const subject = `object ${object.id} of ${name}`;
        const vector = encodeVector(object.vector, subject, dimensions);
        this.#sql.upsert.run(id, object.id, vector, JSON.stringify(checkMeta(object.meta, types, subject)));
      }
      if (fixed !== null || dimensions === undefined) return;
      this.#sql.fixDimensions.run(dimensions, id);
      this.#log.debug('The first object fixed the dimensions of a class', { class: name, dimensions });
    });
  }

  async get(className: string, id: string): Promise<VectorObject | undefined> {
    return this.#run(() => {
      const row = this.#sql.object.get(this.#class(classNameOf(className)).id, id);
      return row && toObject(row);
    });
  }

  async getMany(className: string, ids: readonly string[]): Promise<VectorObject[]> {
    const asked = JSON.stringify(checkMany(ids));
    return this.#run(() => this.#sql.some.all(this.#class(classNameOf(className)).id, asked).map(toObject));
  }

  /** An absent object is no error. */
  async delete(className: string, id: string): Promise<void> {
    await this.#write(() => this.#sql.remove.run(this.#class(classNameOf(className)).id, id));
  }

  async search(className: string, query: SearchQuery): Promise<SearchHit[]> {
    const limit = checkLimit(query.limit ?? DEFAULT_HITS);
    return this.#run(() => {
      const { id, dimensions } = this.#class(classNameOf(className));
      const vector = encodeVector(query.vector, 'the query', dimensions ?? undefined);
      const where = toCondition(query.where, this.#types(id));
      // The text depends on how many properties are compared and of which kinds, never on values.
      const nearest = this.#database.prepare<unknown[], { id: string; distance: number; meta: string }>(`
        select id, distance, meta from objects join (
          select seq as near, vec_distance_cosine(vector, ?) as distance from objects
          where class = ?${where.sql} order by distance, id limit ?
        ) on seq = near order by distance, id
      `);
      const rows = nearest.all(vector, id, ...where.params, limit);
      return rows.map((row) => ({ id: row.id, distance: clamp(row.distance), meta: JSON.parse(row.meta) }));
    });
  }

  /** All that are there: a search reads the objects themselves. */
  async findable(className: string, objects: readonly VectorObject[]): Promise<string[]> {
    const found = await this.getMany(
      className,
      objects.map(({ id }) => id),
    );
    return found.map(({ id }) => id);
  }

  async count(className: string): Promise<number> {
    return this.#run(() => this.#sql.count.get(this.#class(classNameOf(className)).id)?.count ?? 0);
  }

  /** By id in the order of its UTF-8 bytes; `limit` 1 to 1000, default 100. */
  async list(className: string, { after = '', limit = DEFAULT_PAGE }: { after?: string; limit?: number } = {}): Promise<VectorObject[]> {
    return this.#run(() => this.#sql.page.all(this.#class(classNameOf(className)).id, after, checkLimit(limit)).map(toObject));
  }

  /** Waits for writes under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#commit.drain();
    this.#database.close();
  }

  #class(name: string): ClassRow {
    const row = this.#sql.class.get(name);
    if (row === undefined) throw new VectorError('no_such_class', `There is no class ${name}: declare it first`);
    return row;
  }

  #types(id: number): ReadonlyMap<string, string> {
    return new Map(this.#sql.properties.all(id).map(({ name, type }) => [name, type]));
  }

  async #write<T>(work: () => T): Promise<T> {
    this.#refuseClosed();
    return await this.#commit.run(work);
  }

  #run<T>(work: () => T): T {
    this.#refuseClosed();
    try {
      return work();
    } catch (error) {
      throw toVectorError(error, this.#path);
    }
  }

  #refuseClosed(): void {
    if (this.#closed) throw new VectorError('failed', `The vector index ${this.backend.identity} is closed`);
  }
}

function statements(database: Sqlite.Database) {
  return {
    class: database.prepare<[string], ClassRow>('select id, name, dimensions from classes where name = ?'),
    classes: database.prepare<[string], ClassRow>('select * from classes where name in (select value from json_each(?)) order by id'),
    addClass: database.prepare('insert into classes (name, dimensions) values (?, ?)'),
    fixDimensions: database.prepare('update classes set dimensions = ? where id = ?'),
    properties: database.prepare<[number], { name: string; type: string }>('select name, type from properties where class = ?'),
    propertiesOf: database.prepare<[string], { class: number; name: string; type: string }>(`
      select class, properties.name, type from properties join classes on id = class
      where classes.name in (select value from json_each(?)) order by class, position
    `),
    addProperties: database.prepare(`
      insert into properties (class, name, type, position)
      select ?, value ->> 'name', value ->> 'type', ? + key from json_each(?)
    `),
    upsert: database.prepare(`
      insert into objects (class, id, vector, meta) values (?, ?, ?, ?)
      on conflict (class, id) do update set vector = excluded.vector, meta = excluded.meta
    `),
    object: database.prepare<[number, string], ObjectRow>('select id, vector, meta from objects where class = ? and id = ?'),
    some: database.prepare<[number, string], ObjectRow>(
      'select id, vector, meta from objects where class = ? and id in (select value from json_each(?))',
    ),
    remove: database.prepare('delete from objects where class = ? and id = ?'),
    count: database.prepare<[number], { count: number }>('select count(*) as count from objects where class = ?'),
    page: database.prepare<[number, string, number], ObjectRow>(
      'select id, vector, meta from objects where class = ? and id > ? order by id limit ?',
    ),
  };
}

function toObject({ id, vector, meta }: ObjectRow): VectorObject {
  return { id, vector: decodeVector(vector), meta: JSON.parse(meta) };
}

/** Rounding can lead a little out of 0 to 2. */
function clamp(distance: number): number {
  return Math.min(2, Math.max(0, distance));
}
