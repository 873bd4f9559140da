import type { ClassSpec, PropertySpec } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Log } from '../../../shared/ports/log.ts';
import { whyNoMaker } from '../../../shared/ports/maker.ts';
import type { Random } from '../../../shared/ports/random.ts';
import {
  type ClassState,
  type SearchHit,
  type SearchQuery,
  type VectorBackend,
  type VectorCapabilities,
  VectorError,
  type VectorIndex,
  type VectorObject,
} from '../../../shared/ports/vector-index.ts';
import { checkClass, checkLimit, checkMany, checkProperties, classNameOf } from '../vector-checks/names.ts';
import { checkWhere } from '../vector-checks/values.ts';
import { encodeVector } from '../vector-checks/vectors.ts';
import { storeAll } from './batches.ts';
import { createClasses } from './classes.ts';
import { isUnopened } from './faults.ts';
import { createGraphql } from './graphql.ts';
import { uuidOf } from './ids.ts';
import { findIndexed, readMany } from './many.ts';
import { checkObjects, fromWire } from './objects.ts';
import { createRest } from './rest.ts';
import { isOwn, type Layout, toState } from './schema.ts';
import { findNearest, hasIndex } from './search.ts';
import { checkCredentials, toBase } from './settings.ts';

const DEFAULT_HITS = 10;
const DEFAULT_PAGE = 100;

export interface WeaviateOptions {
  /** Of the REST API, such as `http://weaviate.local:8080`. */
  readonly url: string;
  readonly api_key?: string;
  /** PEM certificates of the authorities to trust. Absent: those that Node trusts. */
  readonly ca?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** For one answer. */
  readonly timeout_ms?: number;
  /** Calls at once; more wait in a queue of `max_waiting`, and any beyond is refused with `failed`. */
  readonly max_calls?: number;
  readonly max_waiting?: number;
  /** How often a call is tried that fails in passing. */
  readonly attempts?: number;
}

/**
 * The vector index in a Weaviate, over its REST and GraphQL API.
 *
 * - Classes are made without a vectorizer, with cosine distance and each text as one word, so that a filter compares it
 *   whole. A property of ours, `bootplane_id`, keeps the id of each object; its description keeps the dimensions that the
 *   class was declared with, since Weaviate itself fixes them with the first object. Another, `bootplane_write`, differs
 *   with each write, so that what was stored without being indexed is indexed when it is written again.
 * - An object's UUID is its id where that is a UUID in small letters, else the UUIDv5 of its id. Objects that others
 *   stored are seen with their UUID as id.
 * - What is wrong with an object is found before the first is stored. What Weaviate refuses after that may leave a part.
 * - A page of `list` is in the order of UUIDs.
 * - A class that others made with tenants, several vectors or another distance is shown as `unusable`, and `incompatible` to use.
 *
 * Opens no connection by itself. Throws `VectorError` `failed` when `url` is no address, or `api_key` or `ca` cannot be one.
 */
export function createWeaviateIndex(options: WeaviateOptions): VectorIndex {
  return new WeaviateIndex(options);
}

class WeaviateIndex implements VectorIndex {
  readonly backend: VectorBackend;
  readonly capabilities: VectorCapabilities = {
    fixed_dimensions: true,
    atomic_upsert: false,
    removes_if_empty: false,
    records_maker: true,
    shared: true,
  };
  /** Classes in which a search has found something. */
  readonly #indexed = new Set<string>();
  readonly #log: Log;
  readonly #random: Random;
  readonly #rest: ReturnType<typeof createRest>;
  readonly #graphql: ReturnType<typeof createGraphql>;
  readonly #classes: ReturnType<typeof createClasses>;
  /** Of classes that were declared without: those of their objects, as they were last seen. */
  readonly #learned = new Map<string, number>();

  constructor({ url, timeout_ms = 30_000, max_calls = 8, max_waiting = 10_000, attempts = 4, ...rest }: WeaviateOptions) {
    checkCredentials(rest);
    this.#log = rest.log;
    this.#random = rest.random;
    this.#rest = createRest({ ...rest, base: toBase(url), timeout_ms, max_calls, max_waiting, attempts });
    this.#graphql = createGraphql(this.#rest);
    this.#classes = createClasses(this.#rest);
    this.backend = { kind: 'weaviate', identity: this.#rest.place };
  }

  async readClasses(names: readonly string[]): Promise<ClassState[]> {
    if (names.length === 0) return [];
    const asked = new Set(names.map((name) => name.charAt(0).toUpperCase() + name.slice(1)));
    const layouts = (await this.#classes.readAll()).filter(({ name }) => asked.has(name));
    const open = layouts.filter(({ dimensions, unusable }) => dimensions === undefined && unusable === undefined);
    const learned = await this.#graphql.sampleDimensions(open);
    return layouts.map((layout) => toState(layout, learned.get(layout.name)));
  }

  async ensureClass(spec: ClassSpec, { made_by }: { made_by?: string } = {}): Promise<void> {
    const why = whyNoMaker(made_by);
    if (why !== undefined) throw new VectorError('bad_name', why);
    const checked = checkClass(spec);
    refuseOwnProperty(checked.name, checked.properties);
    if (await this.#classes.ensure(checked, made_by)) this.#indexed.delete(checked.name);
  }

  async ensureProperties(className: string, properties: readonly PropertySpec[]): Promise<void> {
    const name = classNameOf(className);
    const wanted = checkProperties(name, properties);
    refuseOwnProperty(name, wanted);
    await this.#classes.ensureProperties(name, wanted);
  }

  /** Weaviate removes a class whatever is in it: with `if_empty` it is looked at just before. */
  async removeClass(className: string, { if_empty = false }: { if_empty?: boolean } = {}): Promise<void> {
    const name = classNameOf(className);
    if (if_empty) await this.#refuseContent(name);
    await this.#classes.remove(name);
    this.#indexed.delete(name);
    this.#learned.delete(name);
  }

  async upsert(className: string, objects: readonly VectorObject[]): Promise<void> {
    // The caller may change its arrays before all is sent.
    const own = objects.map(({ id, vector, meta }) => ({ id, vector: vector.slice(), meta: { ...meta } }));
    const layout = await this.#usable(className);
    const dimensions = layout.dimensions ?? (await this.#learn(layout, own));
    const checked = checkObjects(own, layout, dimensions);
    if (checked.length === 0) return;
    await this.#classes.addOwn(layout);
    const confirm = () => this.#classes.read(layout.name);
    const store = () => storeAll({ rest: this.#rest, random: this.#random, confirm }, layout, checked);
    await store();
    this.#learned.set(layout.name, own[0]?.vector.length ?? 0);
    await this.#settle(layout, own, store);
  }

  async get(className: string, id: string): Promise<VectorObject | undefined> {
    return this.#fetch(await this.#classes.read(classNameOf(className)), id);
  }

  async getMany(className: string, ids: readonly string[]): Promise<VectorObject[]> {
    const asked = checkMany(ids);
    const layout = await this.#classes.read(classNameOf(className));
    return readMany(this.#graphql, layout, asked, (id) => this.#fetch(layout, id));
  }

  /** An absent object is no error. */
  async delete(className: string, id: string): Promise<void> {
    const name = classNameOf(className);
    const path = `/v1/objects/${name}/${uuidOf(id)}`;
    try {
      const { status } = await this.#rest.call({ method: 'DELETE', path }, [204, 404], `deleting object ${id} of ${name}`);
      if (status === 404) await this.#classes.read(name);
    } catch (error) {
      // Weaviate says the same of a class that is not there and of one that it has not opened yet. The first rejects here.
      if (isUnopened(error)) await this.#classes.read(name);
      throw error;
    }
  }

  async search(className: string, { vector, where, limit = DEFAULT_HITS }: SearchQuery): Promise<SearchHit[]> {
    const most = checkLimit(limit);
    const own = vector.slice();
    const layout = await this.#usable(className);
    encodeVector(own, 'the query', layout.dimensions);
    const wanted = checkWhere(where, layout.types);
    const reread = async (id: string) => (await this.#fetch(layout, id))?.meta;
    return findNearest(this.#graphql, layout, { vector: own, wanted, limit: most }, reread);
  }

  async findable(className: string, objects: readonly VectorObject[]): Promise<string[]> {
    checkMany(objects.map(({ id }) => id));
    const layout = await this.#usable(className);
    return findIndexed(this.#graphql, layout, objects, this.#random);
  }

  async count(className: string): Promise<number> {
    return this.#graphql.count(classNameOf(className));
  }

  /** By UUID; `limit` 1 to 1000, default 100. */
  async list(className: string, { after, limit = DEFAULT_PAGE }: { after?: string; limit?: number } = {}): Promise<VectorObject[]> {
    const layout = await this.#classes.read(classNameOf(className));
    const from = after === undefined ? '' : `&after=${uuidOf(after)}`;
    const path = `/v1/objects?class=${layout.name}&limit=${checkLimit(limit)}&include=vector${from}`;
    const { text } = await this.#rest.call({ method: 'GET', path }, [200], `listing ${layout.name}`);
    const { objects } = JSON.parse(text) as { objects?: unknown[] };
    return (objects ?? []).map((wire) => fromWire(wire, layout));
  }

  /** Gives up what is under way. */
  async close(): Promise<void> {
    this.#rest.close();
  }

  async #refuseContent(name: string): Promise<void> {
    const layout = await this.#classes.find(name);
    if (layout === undefined) return;
    if (layout.unusable !== undefined) {
      throw new VectorError(
        'not_empty',
        `It can't be told whether the class ${name} is empty, since ${layout.unusable}: it was left as it is`,
      );
    }
    // Read from the objects themselves: a count may lag behind them.
    if ((await this.list(name, { limit: 1 })).length === 0) return;
    throw new VectorError('not_empty', `The class ${name} holds objects (${await this.count(name)}): it was left as it is`);
  }

  async #fetch(layout: Layout, id: string): Promise<VectorObject | undefined> {
    const path = `/v1/objects/${layout.name}/${uuidOf(id)}?include=vector`;
    const { status, text } = await this.#rest.call({ method: 'GET', path }, [200, 404], `reading object ${id} of ${layout.name}`);
    return status === 404 ? undefined : fromWire(JSON.parse(text), layout);
  }

  async #usable(className: string): Promise<Layout> {
    const layout = await this.#classes.read(classNameOf(className));
    if (layout.unusable === undefined) return layout;
    throw new VectorError('incompatible', `The class ${layout.name} cannot keep vectors for bootplane: ${layout.unusable}`);
  }

  /**
   * Where the very first batch of a class was cut off, its objects are stored and its vector index is empty. After the next write
   * of them it still is, and only the one after that fills it: found with Weaviate 1.39.0.
   */
  async #settle(layout: Layout, objects: readonly VectorObject[], store: () => Promise<void>): Promise<void> {
    const [first] = objects;
    if (first === undefined || this.#indexed.has(layout.name)) return;
    if (!(await hasIndex(this.#graphql, layout, first.vector))) {
      this.#log.warn('Weaviate finds nothing in a class after a write, so the same is written again', { class: layout.name });
      await store();
    }
    this.#indexed.add(layout.name);
  }

  /** What was seen before holds as long as it fits: only an empty class, or one that was made anew, can have others. */
  async #learn(layout: Layout, objects: readonly VectorObject[]): Promise<number | undefined> {
    const seen = this.#learned.get(layout.name);
    if (seen !== undefined && objects.every(({ vector }) => vector.length === seen)) return seen;
    return (await this.#graphql.sampleDimensions([layout])).get(layout.name);
  }
}

function refuseOwnProperty(className: string, properties: readonly PropertySpec[]): void {
  const own = properties.find(({ name }) => isOwn(name));
  if (own === undefined) return;
  throw new VectorError('bad_name', `The property ${own.name} of ${className} is kept for bootplane: use another name`);
}
