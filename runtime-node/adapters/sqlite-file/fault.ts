import Sqlite from 'better-sqlite3';
import { messageOf } from '../../thrown.ts';

export interface Fault {
  readonly kind: 'full' | 'failed';
  readonly message: string;
}

/** What SQLite threw, for people. SQLite reports a full disk and a reached `max_page_count` alike. `what` is what the file holds. */
export function faultOf(error: unknown, path: string, what: string): Fault {
  const code = error instanceof Sqlite.SqliteError ? error.code : '';
  if (code === 'SQLITE_FULL')
    return { kind: 'full', message: `There is no room left for the ${what} in ${path}: free space or raise the limit` };
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return { kind: 'failed', message: `${path} is used by another process: stop that one or use another data directory` };
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return {
      kind: 'failed',
      message: `${path} is damaged or is no database: restart the node, which sets it aside and keeps it, or move it away and restart`,
    };
  }
  if (error instanceof FormatError) return { kind: 'failed', message: error.message };
  return { kind: 'failed', message: `The ${what} in ${path} could not be read or written: ${messageOf(error)}` };
}

/** The file was written by a version of this program that keeps its data in another form. */
export class FormatError extends Error {
  constructor(path: string, found: unknown, known: number) {
    super(`${path} was written by another version (format ${found}, this one reads ${known}): use that version`);
    this.name = 'FormatError';
  }
}
