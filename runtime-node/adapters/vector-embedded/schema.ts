import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import Sqlite from 'better-sqlite3';
import * as sqliteVec from 'sqlite-vec';
import { VectorError } from '../../../shared/ports/vector-index.ts';
import { toVectorError } from './errors.ts';

export const IN_MEMORY = ':memory:';
const VERSION = 1;
const PAGE_BYTES = 4096;

/**
 * Vectors lie beside their objects in a plain table, and a search reads those of one class:
 * `vec_distance_cosine` works on any row, so filters, paging and replacement are plain SQL. A `vec0`
 * table is about twice as fast without a filter (100,000 vectors of 384: about 60 ms against 120 ms
 * on two busy cores) and no faster with one; it would need a table per class, and rows kept in step with the objects.
 */
const SCHEMA = `
  create table classes (id integer primary key, name text not null unique, dimensions integer) strict;
  create table properties (
    class integer not null, name text not null, type text not null, position integer not null, primary key (class, name)
  ) strict, without rowid;
  create table objects (
    seq integer primary key, class integer not null, id text not null, vector blob not null, meta text not null,
    unique (class, id)
  ) strict;
`;

/** Opens the file (mode 0600), makes the tables when it is new, and keeps it to this process. */
export function openVectors(path: string, maxBytes?: number): Sqlite.Database {
  try {
    if (path !== IN_MEMORY) createPrivately(path);
    const database = new Sqlite(path, { timeout: 1000 });
    try {
      prepare(database, path, maxBytes);
    } catch (error) {
      database.close();
      throw error;
    }
    return database;
  } catch (error) {
    throw toVectorError(error, path);
  }
}

function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, 'a', 0o600));
}

function prepare(database: Sqlite.Database, path: string, maxBytes?: number): void {
  sqliteVec.load(database);
  database.pragma('locking_mode = exclusive');
  database.pragma('journal_mode = wal');
  database.pragma('synchronous = full');
  if (maxBytes !== undefined) database.pragma(`max_page_count = ${Math.max(1, Math.floor(maxBytes / PAGE_BYTES))}`);
  const version = database.pragma('user_version', { simple: true });
  if (version === 0) database.transaction(() => database.exec(`${SCHEMA} pragma user_version = ${VERSION};`)).immediate();
  else if (version !== VERSION) {
    throw new VectorError(
      'failed',
      `${path} was written by another version (format ${version}, this one reads ${VERSION}): use that version`,
    );
  }
}
