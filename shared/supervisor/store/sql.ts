import { fillPlaceholders, getTableColumns, type Query, type SQL, sql, type Table } from 'drizzle-orm';
import { SQLiteAsyncDialect } from 'drizzle-orm/sqlite-core';
import { drizzle } from 'drizzle-orm/sqlite-proxy';
import type { Database, Row, SqlValue, Statement } from '../../ports/database.ts';

/** Builds queries and runs none: `Database.batch` does. */
export const build = drizzle(() => Promise.reject(new Error('queries run through Database.batch')));

const dialect = new SQLiteAsyncDialect();

/** A value that is bound by name when the statement runs. Values of JSON columns are given as JSON text. */
export function arg(name: string): SQL<never> {
  return sql<never>`${sql.placeholder(name)}`;
}

/** The database's own clock, for use inside a query. */
export function nowOf(database: Database): SQL<number> {
  return sql.raw(database.now) as SQL<number>;
}

/** A statement compiled once; `Result` is the row it returns. */
export interface Prepared<Result> {
  readonly sql: string;
  /** Binds by name. Throws when the query names a value that is not given. */
  bind(values: Readonly<Record<string, SqlValue>>): Statement;
  /** The rows of one result, JSON columns decoded. */
  read(rows: readonly Row[] | undefined): Result[];
}

/** Compiles a query of drizzle's builder. `tables` name the JSON columns that its rows hold. */
export function compile<Built extends { toSQL(): Query } & PromiseLike<unknown>>(
  query: Built,
  ...tables: Table[]
): Prepared<Awaited<Built> extends readonly (infer Result)[] ? Result : never> {
  return prepare(query.toSQL(), tables);
}

/** Compiles SQL text for what the builder has no words for. */
export function compileSql<Result>(query: SQL, ...tables: Table[]): Prepared<Result> {
  return prepare(dialect.sqlToQuery(query), tables);
}

function prepare<Result>(query: Query, tables: readonly Table[]): Prepared<Result> {
  const json = tables.flatMap((table) =>
    Object.values(getTableColumns(table))
      .filter((column) => column.dataType === 'json')
      .map((column) => column.name),
  );
  return {
    sql: query.sql,
    // Placeholders are filled with what the caller typed as SqlValue, and constants come from the builder.
    bind: (values) => ({ sql: query.sql, params: fillPlaceholders(query.params, { ...values }) as SqlValue[] }),
    // The database gives back the columns that the query was compiled with.
    read: (rows = []) => rows.map((row) => decode(row, json) as Result),
  };
}

function decode(row: Row, json: readonly string[]): Record<string, unknown> {
  const decoded: Record<string, unknown> = { ...row };
  for (const name of json) {
    const value = row[name];
    if (typeof value === 'string') decoded[name] = JSON.parse(value);
  }
  return decoded;
}

/** The object without its null columns: absent on the wire, never null. */
export function present<T extends object>(row: T): { [K in keyof T]: Exclude<T[K], null> } {
  // Dropping the nulls is just what the type says, for properties that may be absent.
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as { [K in keyof T]: Exclude<T[K], null> };
}

/** The TTL of the fleet `arg('fleet')`, milliseconds: its Cluster Plan's, else `ttl_seconds`. */
export function ttlMsOf(ttl_seconds: number): SQL<number> {
  return sql`(select cast(coalesce(max(ttl_seconds), ${sql.raw(String(Number(ttl_seconds)))}) * 1000 as integer)
    from desired where desired.fleet = ${arg('fleet')} and kind = 'plan')`;
}
