import type Sqlite from 'better-sqlite3';
import * as sqliteVec from 'sqlite-vec';
import { VectorError } from '../../../shared/ports/vector-index.ts';
import type { SetAside } from '../sqlite-file/damage.ts';
import { faultOf } from '../sqlite-file/fault.ts';
import { openSqliteFile } from '../sqlite-file/open.ts';

const FORMAT = 1;

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

/** Throws `VectorError`. */
export function openVectors(path: string, max_bytes?: number, set_aside?: SetAside): Sqlite.Database {
  try {
    return openSqliteFile({ path, schema: SCHEMA, format: FORMAT, max_bytes, load: sqliteVec.load, set_aside });
  } catch (error) {
    throw toVectorError(error, path);
  }
}

export function toVectorError(error: unknown, path: string): VectorError {
  if (error instanceof VectorError) return error;
  const { kind, message } = faultOf(error, path, 'vectors');
  return new VectorError(kind, message, { cause: error });
}
