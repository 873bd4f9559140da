/** What a column holds on both engines. */
export type SqlValue = string | number | null | Uint8Array;

export interface Statement {
  readonly sql: string;
  /** Bound to `?` in order. At most 100 (D1's limit). */
  readonly params: readonly SqlValue[];
  /**
   * A write that may run a second time after the first one took effect without an answer: it leaves the same, and its
   * answer is as good. Absent: it is never run again by itself. What begins with `select` needs no mark.
   */
  readonly repeatable?: true;
}

/** One row, keyed by column name as the SQL names it. */
export type Row = Readonly<Record<string, SqlValue>>;

/**
 * One SQLite database, reached the same way on D1 and on better-sqlite3.
 *
 * There are no interactive transactions, because D1 has none: a `batch` is the unit of atomicity.
 */
export interface Database {
  /**
   * The SQL expression for "now" in milliseconds since the Unix epoch, of the one clock that judges
   * every expiry in this database: D1's own clock on Workers, the clock port on Node.
   */
  readonly now: string;
  /**
   * Runs all statements in order in one transaction and resolves, after the commit, with the rows
   * that each returned (`[]` for one without a result). Rejects with `DatabaseError` and leaves
   * nothing behind when one fails. Batches of different callers never see each other half done.
   */
  batch(statements: readonly Statement[]): Promise<Row[][]>;
  close(): Promise<void>;
}

/** `kind` says what a caller can do: retry later, free space, give up, or (`constraint`) its own row clashed. */
export class DatabaseError extends Error {
  readonly kind: 'busy' | 'full' | 'corrupt' | 'constraint' | 'failed';
  constructor(kind: DatabaseError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DatabaseError';
    this.kind = kind;
  }
}
