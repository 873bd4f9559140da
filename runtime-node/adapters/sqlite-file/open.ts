import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import Sqlite from 'better-sqlite3';
import { openOrReplace, refuseDamage, type SetAside } from './damage.ts';
import { FormatError } from './fault.ts';
import { IN_MEMORY } from './in-memory.ts';

export { IN_MEMORY } from './in-memory.ts';

const PAGE_BYTES = 4096;
/** The other process is most likely a node that runs: waiting longer would only delay the message. */
const WAIT_FOR_LOCK_MS = 200;

export interface SqliteFileOptions {
  readonly path: string;
  /** Makes the tables of a new file. */
  readonly schema: string;
  /** Kept in the file; one with another format is refused. */
  readonly format: number;
  /** Most bytes of the file. Absent: as far as the disk goes. */
  readonly max_bytes: number | undefined;
  /** Loads extensions. */
  readonly load?: (database: Sqlite.Database) => void;
  /** Moves a file that is damaged away, so that an empty one takes its place. Absent: it can't be opened. */
  readonly set_aside?: SetAside | undefined;
}

/**
 * Opens a file of an adapter's own (mode 0600; WAL), makes its tables when it is new, and keeps it to
 * this process, also against another instance in it. Throws what SQLite throws, or `FormatError`.
 */
export function openSqliteFile(options: SqliteFileOptions): Sqlite.Database {
  return openOrReplace(options.path, options.set_aside, () => open(options));
}

function open(options: SqliteFileOptions): Sqlite.Database {
  if (options.path !== IN_MEMORY) {
    mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
    createPrivately(options.path);
  }
  const database = new Sqlite(options.path, { timeout: WAIT_FOR_LOCK_MS });
  try {
    prepare(database, options);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

/** Makes a database file that only its owner may read, if it is not there. SQLite gives its side files (`-wal`) the mode of the file. */
export function createPrivately(path: string): void {
  closeSync(openSync(path, 'a', 0o600));
}

function prepare(database: Sqlite.Database, { path, schema, format, max_bytes, load, set_aside }: SqliteFileOptions): void {
  load?.(database);
  database.pragma('locking_mode = exclusive');
  database.pragma('journal_mode = wal');
  if (set_aside !== undefined) refuseDamage(database);
  database.pragma('synchronous = full');
  if (max_bytes !== undefined) database.pragma(`max_page_count = ${Math.max(1, Math.floor(max_bytes / PAGE_BYTES))}`);
  const found = database.pragma('user_version', { simple: true });
  if (found === 0) database.transaction(() => database.exec(`${schema} pragma user_version = ${format};`)).immediate();
  else if (found !== format) throw new FormatError(path, found, format);
}
