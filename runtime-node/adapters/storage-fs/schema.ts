import Database from 'better-sqlite3';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { refuseDamage, refusePlainDamage } from '../sqlite-file/damage.ts';
import { createPrivately } from '../sqlite-file/open.ts';

const FORMAT = 1;

/**
 * `versions.seq` is the order of commits: the highest of a key is its newest. `latest` and
 * `delete_marker` are 0 or 1. `aged_from_ms` is null until a trusted clock has seen the version.
 * Keys are blobs, so that they sort by their UTF-8 bytes.
 */
const SCHEMA = `
create table buckets (
  name text primary key,
  versioning text not null default 'off' check (versioning in ('off', 'enabled', 'suspended')),
  lifecycle text not null default '[]',
  tags text not null default '{}'
) strict, without rowid;

create table versions (
  seq integer primary key autoincrement,
  bucket text not null references buckets (name),
  key blob not null,
  version_id text not null,
  latest integer not null,
  delete_marker integer not null,
  body text,
  size integer not null,
  sha256 text,
  crcs blob,
  content_type text,
  modified_ms integer not null,
  aged_from_ms integer
) strict;
create unique index versions_by_id on versions (bucket, key, version_id);
create unique index versions_latest on versions (bucket, key) where latest = 1;
create unique index versions_by_body on versions (body) where body is not null;
create index versions_by_age on versions (bucket, aged_from_ms) where latest = 1 and delete_marker = 0;
create index versions_without_age on versions (seq) where aged_from_ms is null;
`;

/** Buckets on their way out: invisible, and their rows go in parts. A version of bootplane that does not know the table shows what is left of them. */
const ADDED = 'create table if not exists removals (bucket text primary key) strict, without rowid';

/**
 * Opens the catalog and keeps it locked: a second process gets \`SQLITE_BUSY\`, and the lock goes with
 * the process, also after kill -9. \`synchronous = full\` makes a commit durable before it is answered.
 * With \`check\`, one in which something does not fit together is refused.
 */
export function openCatalogFile(path: string, { check = false } = {}): Database.Database {
  if (check) refusePlainDamage(path);
  createPrivately(path);
  const db = new Database(path, { timeout: 500 });
  try {
    db.pragma('locking_mode = exclusive');
    db.pragma('journal_mode = wal');
    db.pragma('synchronous = full');
    db.pragma('foreign_keys = on');
    if (check) refuseDamage(db);
    db.transaction(() => migrate(db).exec(ADDED)).immediate();
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function migrate(db: Database.Database): Database.Database {
  const format = Number(db.pragma('user_version', { simple: true }));
  if (format === FORMAT) return db;
  if (format !== 0)
    throw new StorageError(
      'failed',
      `catalog.sqlite has format ${format} and this bootplane knows ${FORMAT}: run the version that wrote it, or a newer one`,
    );
  db.exec(SCHEMA);
  db.pragma(`user_version = ${FORMAT}`);
  return db;
}
