import Sqlite from 'better-sqlite3';
import { BusError } from '../../../shared/ports/event-bus.ts';

/** What SQLite threw, in the port's terms. SQLite reports a full disk and a reached `max_page_count` alike. */
export function toBusError(error: unknown, path: string): BusError {
  if (error instanceof BusError) return error;
  const code = error instanceof Sqlite.SqliteError ? error.code : '';
  const cause = { cause: error };
  if (code === 'SQLITE_FULL')
    return new BusError('full', `There is no room left for the queues in ${path}: free space or raise the limit`, cause);
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new BusError('failed', `${path} is used by another process: stop that one or use another data directory`, cause);
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return new BusError(
      'failed',
      `${path} is damaged or is no database: move it away and restart; its messages stay in the moved file`,
      cause,
    );
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new BusError('failed', `The queues in ${path} could not be read or written: ${detail}`, cause);
}
