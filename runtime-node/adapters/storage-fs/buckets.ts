import type Database from 'better-sqlite3';
import type { LifecycleRule } from '../../../shared/contract/profile.ts';
import { type BucketState, StorageError } from '../../../shared/ports/object-storage.ts';

interface BucketRow {
  name: string;
  versioning: BucketState['versioning'];
  lifecycle: string;
  tags: string;
}

const STAYS = 'name not in (select bucket from removals)';

/** The buckets' rows of the catalog; one that is leaving is not seen. Each method is one transaction. */
export class Buckets {
  readonly #db: Database.Database;
  readonly #byNames: Database.Statement<[string], BucketRow>;
  readonly #byName: Database.Statement<[string], BucketRow>;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#byNames = db.prepare(`select * from buckets where name in (select value from json_each(?)) and ${STAYS}`);
    this.#byName = db.prepare(`select * from buckets where name = ? and ${STAYS}`);
  }

  read(names: readonly string[]): BucketState[] {
    return this.#byNames.all(JSON.stringify(names)).map(toState);
  }

  /** Those that have lifecycle rules. */
  aging(): BucketState[] {
    return this.#db.prepare<[], BucketRow>(`select * from buckets where lifecycle <> '[]' and ${STAYS}`).all().map(toState);
  }

  has(name: string): boolean {
    return this.#byName.get(name) !== undefined;
  }

  get(name: string): BucketState {
    const row = this.#byName.get(name);
    if (row === undefined) throw new StorageError('no_such_bucket', `there is no bucket ${name}; ensureBucket makes it`);
    return toState(row);
  }

  ensure(name: string): void {
    if (!this.has(name)) this.#db.prepare('insert into buckets (name) values (?)').run(name);
  }

  setVersioning(name: string, enabled: boolean): void {
    const versioning = enabled ? 'enabled' : 'suspended';
    if (this.get(name).versioning === versioning) return;
    this.#db.prepare('update buckets set versioning = ? where name = ?').run(versioning, name);
  }

  mergeLifecycle(name: string, rules: readonly LifecycleRule[]): void {
    // A map keeps a replaced rule in its place and puts a new one at the end.
    const merged = new Map([...this.get(name).lifecycle, ...rules].map((rule) => [rule.id, rule]));
    this.#db.prepare('update buckets set lifecycle = ? where name = ?').run(JSON.stringify([...merged.values()]), name);
  }

  mergeTags(name: string, tags: Readonly<Record<string, string>>): void {
    const merged = new Map([...Object.entries(this.get(name).tags), ...Object.entries(tags)]);
    this.#db.prepare('update buckets set tags = ? where name = ?').run(JSON.stringify(Object.fromEntries(merged)), name);
  }

  removeRules(name: string, ids: readonly string[]): void {
    const row = this.#byName.get(name);
    if (row === undefined) return;
    const left = toState(row).lifecycle.filter(({ id }) => !ids.includes(id));
    this.#db.prepare('update buckets set lifecycle = ? where name = ?').run(JSON.stringify(left), name);
  }

  removeTags(name: string, names: readonly string[]): void {
    const row = this.#byName.get(name);
    if (row === undefined) return;
    const left = Object.entries(toState(row).tags).filter(([tag]) => !names.includes(tag));
    this.#db.prepare('update buckets set tags = ? where name = ?').run(JSON.stringify(Object.fromEntries(left)), name);
  }

  /** From now on nobody sees it, and its name is taken until `forget`. */
  leave(name: string): void {
    this.#db.prepare('insert into removals (bucket) values (?)').run(name);
  }

  isLeaving(name: string): boolean {
    return this.#db.prepare('select 1 from removals where bucket = ?').get(name) !== undefined;
  }

  leaving(): string[] {
    return this.#db
      .prepare<[], { bucket: string }>('select bucket from removals')
      .all()
      .map(({ bucket }) => bucket);
  }

  /** Ends what `leave` began, once no version is left. */
  forget(name: string): void {
    this.#db.prepare('delete from buckets where name = ?').run(name);
    this.#db.prepare('delete from removals where bucket = ?').run(name);
  }
}

function toState(row: BucketRow): BucketState {
  return { name: row.name, versioning: row.versioning, lifecycle: JSON.parse(row.lifecycle), tags: JSON.parse(row.tags) };
}
