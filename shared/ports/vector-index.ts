import type { ClassSpec, PropertySpec } from '../contract/profile.ts';

/**
 * A vector index: classes with typed properties, objects with one vector each, nearest-neighbour
 * search by cosine distance. Default: embedded (sqlite-vec). Each method may reject with `VectorError`.
 */
export interface VectorIndex {
  readonly backend: VectorBackend;
  readonly capabilities: VectorCapabilities;

  /** The state of those of `names` that exist. One call, however many names. */
  readClasses(names: readonly string[]): Promise<ClassState[]>;
  /**
   * Makes the class with its properties if it is not there; leaves an existing one as it is. `made_by` (1 to 128 of
   * `A-Z a-z 0-9 . _ : / @ + = -`, else `bad_name`) is recorded with a class that this very call makes, where `capabilities.records_maker` says so.
   */
  ensureClass(spec: ClassSpec, options?: { made_by?: string }): Promise<void>;
  /** Adds those of `properties` that are missing. `incompatible` when one exists with another type. */
  ensureProperties(className: string, properties: readonly PropertySpec[]): Promise<void>;
  /**
   * Removes a class with its objects; one that is not there is no error. With `if_empty` one that holds objects is refused
   * (`not_empty`); see `capabilities.removes_if_empty`. A property can't be removed alone.
   */
  removeClass(className: string, options?: { if_empty?: boolean }): Promise<void>;

  /**
   * Inserts or replaces by id; of an id that is given twice, the last. What is wrong with an object (`bad_dimensions`,
   * `bad_property`, `bad_name`, which name it) is found before the first is stored. All or none also when it breaks off
   * for another reason, where `capabilities.atomic_upsert` says so.
   */
  upsert(className: string, objects: readonly VectorObject[]): Promise<void>;
  get(className: string, id: string): Promise<VectorObject | undefined>;
  /** Those of `ids` (1,000 at most) that exist, in any order. One call, however many ids. */
  getMany(className: string, ids: readonly string[]): Promise<VectorObject[]>;
  delete(className: string, id: string): Promise<void>;
  /** Nearest first. */
  search(className: string, query: SearchQuery): Promise<SearchHit[]>;
  /**
   * Of objects that are stored (1,000 at most), the ids of those that a search finds: all of them, unless the index lost some
   * (`capabilities.atomic_upsert`). Those are found again once they are written again, or twice.
   */
  findable(className: string, objects: readonly VectorObject[]): Promise<string[]>;
  count(className: string): Promise<number>;
  /** All objects by id, in pages. */
  list(className: string, options?: { after?: string; limit?: number }): Promise<VectorObject[]>;
  close(): Promise<void>;
}

export interface VectorBackend {
  readonly kind: 'embedded' | 'weaviate';
  readonly identity: string;
}

export interface VectorCapabilities {
  /** A class keeps the dimensions that it was declared with. Else they are fixed by the first object. */
  readonly fixed_dimensions: boolean;
  /**
   * An upsert is seen whole or not at all. Else others see it object by object, and one that breaks off for a reason
   * that cannot be known before (the disk is full, the backend goes away) leaves a part. The same again stores the rest,
   * but need not make all of it found: in Weaviate 1.39 a search may miss objects that are stored until they are
   * written once or twice more. Whoever must know asks which are `findable`.
   */
  readonly atomic_upsert: boolean;
  /** Nothing can come between the look whether a class is empty and its removal. Else what is stored in between goes with it. */
  readonly removes_if_empty: boolean;
  /** Keeps with a class who made it. Without it `made_by` is never read. */
  readonly records_maker: boolean;
  /** Several nodes see the same classes. */
  readonly shared: boolean;
}

/** `properties` may hold types that bootplane does not know, made by others. */
export interface ClassState {
  readonly name: string;
  readonly dimensions?: number;
  readonly properties: readonly { readonly name: string; readonly type: string }[];
  /** Why no object can be kept in it, where somebody else made it so: `it measures l2-squared and not cosine distance`. */
  readonly unusable?: string;
  /** As it was given to the `ensureClass` that made it. */
  readonly made_by?: string;
}

export type PropertyValue = string | number | boolean | readonly string[] | readonly number[] | readonly boolean[];

export interface VectorObject {
  readonly id: string;
  readonly vector: readonly number[];
  readonly meta: Readonly<Record<string, PropertyValue>>;
}

export interface SearchQuery {
  readonly vector: readonly number[];
  /** 1 to 1000, default 10. */
  readonly limit?: number;
  /** Only objects whose properties equal all of these. */
  readonly where?: Readonly<Record<string, string | number | boolean>>;
}

export interface SearchHit {
  readonly id: string;
  /** Cosine distance: 0 same direction, 1 orthogonal, 2 opposite. */
  readonly distance: number;
  readonly meta: VectorObject['meta'];
}

export type VectorErrorKind =
  | 'no_such_class'
  | 'incompatible'
  | 'not_empty'
  | 'bad_dimensions'
  | 'bad_property'
  | 'bad_name'
  | 'full'
  | 'backend_away'
  | 'unauthorized'
  | 'failed';

export class VectorError extends Error {
  readonly kind: VectorErrorKind;
  constructor(kind: VectorErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VectorError';
    this.kind = kind;
  }
}
