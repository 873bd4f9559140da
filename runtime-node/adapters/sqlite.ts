import Sqlite from 'better-sqlite3';
import type { Clock } from '../../shared/ports/clock.ts';
import { type Database, DatabaseError, type Row, type Statement } from '../../shared/ports/database.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { watchForSetBack } from './set-back-watch.ts';
import { isDamage, openOrReplace, refuseDamage, type SetAside } from './sqlite-file/damage.ts';
import { createPrivately, IN_MEMORY } from './sqlite-file/open.ts';
import { applyMigrations, type Migration } from './sqlite-migrations.ts';

export interface SqliteOptions {
  /** A file, made (mode 0600) when it is not there, or `:memory:`. */
  readonly path: string;
  /** Judges every expiry in this database. */
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  /**
   * What is run before anything else, in its transaction, when the clock was set back by so many milliseconds; undefined: by as many as it may
   * have been while the file was closed, which is asked once, at first. Default: nothing.
   */
  readonly set_back?: (ms: number | undefined) => readonly Statement[];
  /** In order; those that the database has already are left out. See `readMigrations`. */
  readonly migrations?: readonly Migration[];
  /** How long a write waits for another process, milliseconds. Default 5000. */
  readonly busy_timeout_ms?: number;
  /**
   * Moves a file that is damaged away, so that an empty one takes its place, also while it is in use: the calls that
   * met the damage reject with `corrupt`, the next ones find the new database. Absent: it stays as it is.
   */
  readonly set_aside?: SetAside;
}

interface Call {
  readonly statements: readonly Statement[];
  readonly resolve: (results: Row[][]) => void;
  readonly reject: (error: unknown) => void;
  results?: Row[][];
  error?: unknown;
}

/** More different statements than this are compiled again each time. */
const CACHED_STATEMENTS = 500;

/**
 * SQLite in this process: WAL, `synchronous=FULL`. Calls that arrive in one turn of the event loop
 * share one transaction, so that they share one flush to the disk; each is answered after the commit,
 * and one that fails is undone alone. Throws `DatabaseError` when the file can't be opened.
 */
export function openSqlite(options: SqliteOptions): Database {
  return new SqliteDatabase(() => openOrReplace(options.path, options.set_aside, () => open(options)), options);
}

function open(options: SqliteOptions): Sqlite.Database {
  // It holds what plans give to services, secrets perhaps.
  if (options.path !== IN_MEMORY) createPrivately(options.path);
  const sqlite = new Sqlite(options.path, { timeout: options.busy_timeout_ms ?? 5000 });
  try {
    sqlite.pragma('journal_mode = WAL');
    sqlite.pragma('synchronous = FULL');
    if (options.set_aside !== undefined) refuseDamage(sqlite);
    sqlite.function('bootplane_now', { deterministic: false }, () => Math.floor(options.clock.now()));
    if (options.migrations !== undefined) applyMigrations(sqlite, options.migrations);
    return sqlite;
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

class SqliteDatabase implements Database {
  readonly now = 'bootplane_now()';
  readonly #open: () => Sqlite.Database;
  readonly #options: SqliteOptions;
  readonly #lookBack: () => number;
  /** How far the clock was set back and nothing was done about it yet, milliseconds; undefined: nobody knows, the file was closed. */
  #back: number | undefined;
  #sqlite: Sqlite.Database;
  readonly #prepared = new Map<string, Sqlite.Statement>();
  #waiting: Call[] = [];
  #closed = false;

  constructor(open: () => Sqlite.Database, options: SqliteOptions) {
    this.#open = open;
    this.#options = options;
    this.#lookBack = watchForSetBack(options.clock);
    this.#sqlite = translate(open);
  }

  batch(statements: readonly Statement[]): Promise<Row[][]> {
    if (this.#closed) return Promise.reject(new DatabaseError('failed', 'the database is closed'));
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ statements, resolve, reject });
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#flush();
    translate(() => this.#sqlite.close());
  }

  #flush(): void {
    const calls = this.#waiting;
    this.#waiting = [];
    if (calls.length === 0) return;
    try {
      this.#runTogether(calls);
    } catch (error) {
      for (const call of calls) call.error ??= error;
      this.#tryRollback();
    }
    const damage = calls.find(({ error }) => isDamage(error));
    if (damage !== undefined) this.#replace(damage.error);
    for (const call of calls) {
      if (call.error !== undefined) call.reject(toDatabaseError(call.error));
      else call.resolve(call.results ?? []);
    }
  }

  /** Nobody would catch what it throws, and the callers are told of the cause. What it leaves open the next flush takes back first. */
  #tryRollback(): void {
    try {
      this.#rollback();
    } catch {
      // The transaction stays open.
    }
  }

  /** A damaged database answers nothing any more. An empty one does from the next call on, and nodes and documents come back to it. */
  #replace(error: unknown): void {
    const { path, set_aside } = this.#options;
    if (set_aside === undefined || path === IN_MEMORY) return;
    try {
      this.#prepared.clear();
      this.#sqlite.close();
      set_aside(path, messageOf(error));
    } catch {
      // A disk that lets nothing be moved: the file is opened again as it is, and its faults go on being told.
    }
  }

  #rollback(): void {
    if (this.#sqlite.open && this.#sqlite.inTransaction) this.#sqlite.exec('rollback');
  }

  #runTogether(calls: readonly Call[]): void {
    if (!this.#sqlite.open) this.#sqlite = this.#open();
    this.#rollback();
    const first = this.#heedClock();
    // `immediate` takes the write lock at once: an upgrade in the middle could fail with busy.
    this.#run(first.length === 0 && this.#onlyReads(calls) ? 'begin' : 'begin immediate');
    for (const statement of first) this.#runStatement(statement);
    for (const call of calls) {
      this.#runAlone(call);
      // A full disk makes SQLite undo the whole transaction by itself: nobody's work is left.
      if (!this.#sqlite.inTransaction) throw call.error;
    }
    this.#run('commit');
    this.#back = 0;
  }

  #heedClock(): readonly Statement[] {
    const back = this.#lookBack();
    if (this.#back !== undefined) this.#back += back;
    return this.#back === 0 ? [] : (this.#options.set_back?.(this.#back) ?? []);
  }

  /** A single statement undoes itself when it fails; several need a savepoint. */
  #runAlone(call: Call): void {
    const several = call.statements.length > 1;
    try {
      if (several) this.#run('savepoint one');
      call.results = call.statements.map((statement) => this.#runStatement(statement));
      if (several) this.#run('release one');
    } catch (error) {
      call.error = error;
      if (several && this.#sqlite.inTransaction) {
        this.#run('rollback to one');
        this.#run('release one');
      }
    }
  }

  #runStatement({ sql, params }: Statement): Row[] {
    const statement = this.#prepare(sql);
    // better-sqlite3 gives rows as objects keyed by column name.
    if (statement.reader) return statement.all(params) as Row[];
    statement.run(params);
    return [];
  }

  #run(sql: string): void {
    this.#prepare(sql).run();
  }

  #onlyReads(calls: readonly Call[]): boolean {
    try {
      return calls.every(({ statements }) => statements.every(({ sql }) => this.#prepare(sql).readonly));
    } catch {
      return false; // A statement that does not compile is told to its own caller.
    }
  }

  #prepare(sql: string): Sqlite.Statement {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const statement = this.#sqlite.prepare(sql);
    if (this.#prepared.size < CACHED_STATEMENTS) this.#prepared.set(sql, statement);
    return statement;
  }
}

function translate<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw toDatabaseError(error);
  }
}

const KINDS: readonly (readonly [string, DatabaseError['kind']])[] = [
  ['SQLITE_BUSY', 'busy'],
  ['SQLITE_LOCKED', 'busy'],
  ['SQLITE_FULL', 'full'],
  ['SQLITE_CORRUPT', 'corrupt'],
  ['SQLITE_NOTADB', 'corrupt'],
  ['SQLITE_CONSTRAINT', 'constraint'],
];

function toDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const code = codeOf(error);
  const kind = KINDS.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 'failed';
  const message = messageOf(error);
  return new DatabaseError(kind, code === '' ? message : `${message} (${code})`, { cause: error });
}
