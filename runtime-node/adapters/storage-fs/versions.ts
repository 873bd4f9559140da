import type Database from 'better-sqlite3';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import {
  type BucketState,
  type BucketStats,
  MAX_COUNTED,
  type ObjectInfo,
  type ObjectVersion,
} from '../../../shared/ports/object-storage.ts';
import type { BodyFile } from './bodies.ts';
import type { KeyRange } from './keys.ts';

interface VersionRow {
  seq: number;
  key: Buffer;
  version_id: string;
  latest: number;
  delete_marker: number;
  body: string | null;
  size: number;
  sha256: string | null;
  crcs: Buffer | null;
  content_type: string | null;
  modified_ms: number;
}

/** The id of the version that a bucket without enabled versioning keeps per key, as in S3. */
const NULL_VERSION = 'null';

export interface NewVersion {
  readonly key: Buffer;
  readonly body: BodyFile;
  readonly content_type: string | undefined;
}

/** When a change is committed. `trusted`: whether ages may be counted from `now_ms`. */
export interface Moment {
  readonly now_ms: number;
  readonly trusted: boolean;
}

export interface Found {
  readonly info: ObjectInfo;
  readonly body: BodyFile;
}

export interface Change {
  /** Ids of the bodies that no version has any more. */
  readonly dropped: readonly string[];
}

/**
 * The versions' rows of the catalog, with S3's rules: enabled versioning keeps every version and
 * deletes by a marker; suspended replaces the version `null` alone; off has nothing but `null`.
 * The caller wraps changes in one transaction with the bucket's state that it read.
 */
export class Versions {
  readonly #newId: () => string;
  readonly #sql: ReturnType<typeof prepare>;

  constructor(db: Database.Database, newId: () => string) {
    this.#newId = newId;
    this.#sql = prepare(db);
  }

  /** The version, or the latest one; undefined when there is none or it is a delete marker. */
  find(bucket: string, key: Buffer, versionId?: string): Found | undefined {
    const row = versionId === undefined ? this.#sql.latest.get(bucket, key) : this.#sql.byId.get(bucket, key, versionId);
    if (row === undefined || row.body === null || row.sha256 === null || row.crcs === null) return undefined;
    return { info: toInfo(row), body: { id: row.body, size: row.size, sha256: row.sha256, crcs: row.crcs } };
  }

  list(bucket: string, range: KeyRange, limit: number): ObjectInfo[] {
    return this.#sql.list.all(bucket, range.from, range.to, limit).map(toInfo);
  }

  listVersions(bucket: string, range: KeyRange): ObjectVersion[] {
    return this.#sql.listVersions
      .all(bucket, range.from, range.to)
      .map((row) => ({ ...toInfo(row), latest: row.latest === 1, delete_marker: row.delete_marker === 1 }));
  }

  add(bucket: BucketState, version: NewVersion, moment: Moment): Change & { readonly info: ObjectInfo } {
    const dropped = this.#makeRoom(bucket, version.key);
    const { body } = version;
    const row = this.#insert(bucket, version.key, moment, [body.id, body.size, body.sha256, body.crcs, version.content_type ?? null], 0);
    return { info: toInfo(row), dropped };
  }

  /** Removes or hides the key. On an absent key of a bucket without enabled versioning nothing changes. */
  remove(bucket: BucketState, key: Buffer, moment: Moment): Change {
    if (bucket.versioning === 'off') return this.removeVersion(bucket.name, key, NULL_VERSION);
    const dropped = this.#makeRoom(bucket, key);
    this.#insert(bucket, key, moment, [null, 0, null, null, null], 1);
    return { dropped };
  }

  /** Removes one version for good; when it was the latest, the next newest takes its place. */
  removeVersion(bucket: string, key: Buffer, versionId: string): Change {
    const row = this.#sql.byId.get(bucket, key, versionId);
    if (row === undefined) return { dropped: [] };
    this.#sql.remove.run(row.seq);
    if (row.latest === 1) this.#sql.promote.run(bucket, key);
    return { dropped: row.body === null ? [] : [row.body] };
  }

  holdsAny(bucket: string): boolean {
    return this.#sql.any.get(bucket) !== undefined;
  }

  stats(bucket: string): BucketStats {
    const all = this.#sql.sizes.all(bucket, MAX_COUNTED + 1);
    const counted = all.slice(0, MAX_COUNTED);
    const objects = counted.filter(({ readable }) => readable === 1).length;
    const bytes = counted.reduce((sum, { size }) => sum + size, 0);
    return { objects, older_versions: counted.length - objects, bytes, unfinished_uploads: 0, truncated: all.length > counted.length };
  }

  /** Removes some of all that there is, whatever comes to light by it. */
  removeSome(bucket: string, limit: number): { readonly count: number; readonly bodies: readonly string[] } {
    const removed = this.#sql.removeSome.all(bucket, limit);
    return { count: removed.length, bodies: removed.flatMap(({ body }) => body ?? []) };
  }

  /** Starts the age of versions written while the clock was not trusted. */
  startAges(nowMs: number): void {
    this.#sql.startAges.run(nowMs);
  }

  /** Latest versions in the range whose age began at `untilMs` or before. */
  expired(bucket: string, range: KeyRange, untilMs: number, limit: number): Buffer[] {
    return this.#sql.expired.all(bucket, untilMs, range.from, range.to, limit).map(({ key }) => key);
  }

  knowsBody(id: string): boolean {
    return this.#sql.byBody.get(id) !== undefined;
  }

  /** Drops the version that a new one replaces, and takes `latest` from the one that stays. */
  #makeRoom(bucket: BucketState, key: Buffer): readonly string[] {
    const { dropped } = bucket.versioning === 'enabled' ? { dropped: [] } : this.removeVersion(bucket.name, key, NULL_VERSION);
    this.#sql.demote.run(bucket.name, key);
    return dropped;
  }

  #insert(bucket: BucketState, key: Buffer, moment: Moment, columns: BodyColumns, marker: 0 | 1): VersionRow {
    const id = bucket.versioning === 'enabled' ? this.#freeId(bucket.name, key) : NULL_VERSION;
    const row = this.#sql.insert.get(bucket.name, key, id, marker, ...columns, moment.now_ms, moment.trusted ? moment.now_ms : null);
    if (row === undefined) throw new Error('SQLite returned no row for an insert');
    return row;
  }

  #freeId(bucket: string, key: Buffer): string {
    for (let attempt = 0; attempt < 1000; attempt += 1) {
      const id = this.#newId();
      if (this.#sql.byId.get(bucket, key, id) === undefined) return id;
    }
    throw new Error('the random source repeats itself: no free version id in 1000 attempts');
  }
}

type BodyColumns = [body: string | null, size: number, sha256: string | null, crcs: Uint8Array | null, contentType: string | null];

function prepare(db: Database.Database) {
  const range = 'bucket = ? and key >= ? and key < ?';
  return {
    latest: db.prepare<[string, Buffer], VersionRow>('select * from versions where bucket = ? and key = ? and latest = 1'),
    byId: db.prepare<[string, Buffer, string], VersionRow>('select * from versions where bucket = ? and key = ? and version_id = ?'),
    byBody: db.prepare<[string], { seq: number }>('select seq from versions where body = ?'),
    list: db.prepare<[string, Buffer, Buffer, number], VersionRow>(
      `select * from versions where ${range} and latest = 1 and delete_marker = 0 order by key limit ?`,
    ),
    listVersions: db.prepare<[string, Buffer, Buffer], VersionRow>(`select * from versions where ${range} order by key, seq desc`),
    insert: db.prepare<[string, Buffer, string, number, ...BodyColumns, number, number | null], VersionRow>(
      `insert into versions (bucket, key, version_id, latest, delete_marker, body, size, sha256, crcs, content_type, modified_ms, aged_from_ms)
       values (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?) returning *`,
    ),
    remove: db.prepare<[number]>('delete from versions where seq = ?'),
    any: db.prepare<[string]>('select 1 from versions where bucket = ? limit 1'),
    sizes: db.prepare<[string, number], { readable: number; size: number }>(
      'select latest = 1 and delete_marker = 0 as readable, size from versions where bucket = ? limit ?',
    ),
    removeSome: db.prepare<[string, number], { body: string | null }>(
      'delete from versions where seq in (select seq from versions where bucket = ? limit ?) returning body',
    ),
    demote: db.prepare<[string, Buffer]>('update versions set latest = 0 where bucket = ? and key = ? and latest = 1'),
    promote: db.prepare<[string, Buffer]>(
      'update versions set latest = 1 where seq = (select max(seq) from versions where bucket = ? and key = ?)',
    ),
    startAges: db.prepare<[number]>('update versions set aged_from_ms = ? where aged_from_ms is null'),
    expired: db.prepare<[string, number, Buffer, Buffer, number], { key: Buffer }>(
      `select key from versions where bucket = ? and latest = 1 and delete_marker = 0 and aged_from_ms <= ? and key >= ? and key < ? limit ?`,
    ),
  };
}

function toInfo(row: VersionRow): ObjectInfo {
  return {
    key: row.key.toString('utf8'),
    version_id: row.version_id,
    size: row.size,
    ...(row.sha256 === null ? {} : { sha256: row.sha256 }),
    ...(row.content_type === null ? {} : { content_type: row.content_type }),
    modified_at: toTimestamp(row.modified_ms),
  };
}
