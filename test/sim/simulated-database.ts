import { fileURLToPath } from 'node:url';
import Sqlite from 'better-sqlite3';
import { applyMigrations, readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { type Database, DatabaseError, type Row, type Statement } from '../../shared/ports/database.ts';

/** One database file on a simulated disk: what is committed stays, whoever crashes. */
export class DatabaseFile {
  readonly #sqlite: Sqlite.Database;
  readonly #prepared = new Map<string, Sqlite.Statement>();
  /** What was read for the invariants since the last write, by statement and parameters. */
  readonly #reads = new Map<string, Row[]>();
  #now: () => number = () => 0;

  private constructor(bytes: Buffer) {
    this.#sqlite = new Sqlite(bytes);
    this.#sqlite.function('bootplane_now', { deterministic: false }, () => Math.floor(this.#now()));
  }

  static migrated(): DatabaseFile {
    template ??= migrate();
    return new DatabaseFile(template);
  }

  /** Another disk with the same content. */
  copy(): DatabaseFile {
    return new DatabaseFile(this.#sqlite.serialize());
  }

  /** Whose clock judges every expiry: that of the machine that holds the disk. */
  useClock(now: () => number): void {
    this.#now = now;
  }

  /** For the invariants, which look at a database after each event without asking its Supervisor. `sql` may not ask for the time. */
  read(sql: string, ...params: readonly (string | number)[]): Row[] {
    const name = params.length === 0 ? sql : `${sql} ${JSON.stringify(params)}`;
    const known = this.#reads.get(name);
    if (known !== undefined) return known;
    const rows = this.#prepare(sql).all(...params) as Row[];
    this.#reads.set(name, rows);
    return rows;
  }

  /** One transaction: all statements or none. */
  transact(statements: readonly Statement[]): Row[][] {
    const [only] = statements;
    // A single statement is a transaction by itself.
    if (only !== undefined && statements.length === 1) return [this.#runAlone(only)];
    this.#prepare('begin immediate').run();
    try {
      const results = statements.map((statement) => this.#run(statement));
      this.#prepare('commit').run();
      return results;
    } catch (error) {
      if (this.#sqlite.inTransaction) this.#prepare('rollback').run();
      this.#reads.clear();
      throw toDatabaseError(error);
    }
  }

  close(): void {
    this.#sqlite.close();
  }

  #runAlone(statement: Statement): Row[] {
    try {
      return this.#run(statement);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  #run({ sql, params }: Statement): Row[] {
    const statement = this.#prepare(sql);
    if (!statement.readonly) this.#reads.clear();
    if (statement.reader) return statement.all(params) as Row[];
    statement.run(params);
    return [];
  }

  #prepare(sql: string): Sqlite.Statement {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const statement = this.#sqlite.prepare(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }
}

/** Made once in a process: to migrate each database anew would take longer than to simulate it. */
let template: Buffer | undefined;

function migrate(): Buffer {
  const sqlite = new Sqlite(':memory:');
  applyMigrations(sqlite, readMigrations(fileURLToPath(new URL('../../migrations', import.meta.url))));
  const bytes = sqlite.serialize();
  sqlite.close();
  return bytes;
}

function toDatabaseError(error: unknown): DatabaseError {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const kind = code.startsWith('SQLITE_CONSTRAINT') ? 'constraint' : 'failed';
  return new DatabaseError(kind, `${message} (${code})`, { cause: error });
}

/** The database port of one process over a file that outlives it. `turn` waits for the disk; it never comes back to a dead process. */
export function databaseOn(file: DatabaseFile, turn: () => Promise<void> | undefined): Database {
  return {
    now: 'bootplane_now()',
    async batch(statements) {
      const wait = turn();
      if (wait !== undefined) await wait;
      return file.transact(statements);
    },
    close: async () => undefined,
  };
}
