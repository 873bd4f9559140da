import { watchForSetBack } from '../../runtime-node/adapters/set-back-watch.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { type Database, DatabaseError, type Row, type SqlValue, type Statement } from '../../shared/ports/database.ts';
import { keepAges } from '../../shared/supervisor/store/set-back.ts';
import { closeConnection, openConnection, type PreparedStatement } from './sqlite-connections.ts';

/** Answers that are kept of each statement; when it is full it is emptied. */
const KEPT = 50;

/** One database file on a simulated disk: what is committed stays, whoever crashes. */
export class DatabaseFile {
  readonly #connection: ReturnType<typeof openConnection>;
  /** By table, how often something may have been written to it. */
  readonly #writes = new Map<string, number>();
  #isClosed = false;
  #lookBack = () => 0;
  /** As `runtime-node/adapters/sqlite.ts` has it. */
  #back: number | undefined = 0;

  private constructor(image?: Buffer) {
    this.#connection = openConnection(image);
  }

  static migrated(): DatabaseFile {
    return new DatabaseFile();
  }

  /** Another disk with the same content. */
  copy(): DatabaseFile {
    return new DatabaseFile(this.#connection.sqlite.serialize());
  }

  /** Whose clock judges every expiry: that of the machine that holds the disk. */
  useClock(clock: Pick<Clock, 'now' | 'monotonic'>): void {
    this.#connection.now = () => clock.now();
    this.#lookBack = watchForSetBack(clock);
    this.#back = undefined;
  }

  /** For the invariants, which look at a database after each event without asking its Supervisor. */
  read(sql: string, ...params: readonly (string | number)[]): Row[] {
    return this.#run({ sql, params });
  }

  /** One transaction: all statements or none. */
  transact(statements: readonly Statement[]): Row[][] {
    const back = this.#lookBack();
    if (this.#back !== undefined) this.#back += back;
    const first = this.#back === 0 ? [] : keepAges(this.#back);
    const results = this.#transact([...first, ...statements]);
    this.#back = 0;
    return results.slice(first.length);
  }

  #transact(statements: readonly Statement[]): Row[][] {
    const [only] = statements;
    // A single statement is a transaction by itself.
    if (only !== undefined && statements.length === 1) return [this.#runAlone(only)];
    this.#prepare('begin immediate').statement.run();
    try {
      const results = statements.map((statement) => this.#run(statement));
      this.#prepare('commit').statement.run();
      return results;
    } catch (error) {
      if (this.#connection.sqlite.inTransaction) this.#prepare('rollback').statement.run();
      // What was read meanwhile is not what is there.
      this.#noteWrite(this.#writes.keys());
      throw toDatabaseError(error);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeConnection(this.#connection);
  }

  #runAlone(statement: Statement): Row[] {
    try {
      return this.#run(statement);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  #run({ sql, params }: Statement): Row[] {
    const prepared = this.#prepare(sql);
    const { statement, tables, isRepeatable } = prepared;
    if (isRepeatable) return this.#readAgain(prepared, params);
    if (!statement.readonly) this.#noteWrite(tables);
    if (statement.reader) return statement.all(params) as Row[];
    statement.run(params);
    return [];
  }

  /** While nothing was written to the tables of a query it gives the same rows: nodes and invariants ask far more often than anything changes. */
  #readAgain({ statement, tables, answers }: PreparedStatement, params: readonly SqlValue[]): Row[] {
    let writes = 0;
    for (const table of tables) writes += this.#writes.get(table) ?? 0;
    const name = JSON.stringify(params);
    const known = answers.get(name);
    if (known?.writes === writes) return [...known.rows];
    const rows = (statement.all(params) as Row[]).map((row) => Object.freeze(row));
    if (answers.size >= KEPT) answers.clear();
    answers.set(name, { writes, rows });
    return [...rows];
  }

  #noteWrite(tables: Iterable<string>): void {
    for (const table of tables) this.#writes.set(table, (this.#writes.get(table) ?? 0) + 1);
  }

  #prepare(sql: string): PreparedStatement {
    if (this.#isClosed) throw new TypeError('the database is closed');
    return this.#connection.prepare(sql);
  }
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
