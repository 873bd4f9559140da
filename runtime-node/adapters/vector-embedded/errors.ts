import Sqlite from 'better-sqlite3';
import { VectorError } from '../../../shared/ports/vector-index.ts';

/** What SQLite threw, in the port's terms. */
export function toVectorError(error: unknown, path: string): VectorError {
  if (error instanceof VectorError) return error;
  const code = error instanceof Sqlite.SqliteError ? error.code : '';
  const cause = { cause: error };
  if (code === 'SQLITE_FULL') {
    return new VectorError('full', `There is no room left for the vectors in ${path}: free space or raise the limit`, cause);
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new VectorError('failed', `${path} is used by another process: stop that one or use another data directory`, cause);
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return new VectorError('failed', `${path} is damaged or is no database: move it away and restart`, cause);
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new VectorError('failed', `The vectors in ${path} could not be read or written: ${detail}`, cause);
}
