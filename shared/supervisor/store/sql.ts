import { getTableColumns, is, Placeholder, type Query, type SQL, sql, type Table } from 'drizzle-orm';
import { SQLiteAsyncDialect } from 'drizzle-orm/sqlite-core';
import type { Database, Row, SqlValue, Statement } from '../../ports/database.ts';

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

/** Compiles SQL text once. `tables` name the JSON columns that its rows hold. */
export function compileSql<Result>(query: SQL, ...tables: Table[]): Prepared<Result> {
  return prepare(dialect.sqlToQuery(query), tables);
}

/** Marks a write of which a second run leaves the same as the first (`Statement.repeatable`). */
export function repeatable<Result>(query: Prepared<Result>): Prepared<Result> {
  return { ...query, bind: (values) => ({ ...query.bind(values), repeatable: true }) };
}

function prepare<Result>(query: Query, tables: readonly Table[]): Prepared<Result> {
  const json = tables.flatMap((table) =>
    Object.values(getTableColumns(table))
      .filter((column) => column.dataType === 'json')
      .map((column) => column.name),
  );
  const slots = query.params.map((param) => (is(param, Placeholder) ? String(param.name) : undefined));
  return {
    sql: query.sql,
    bind: (values) => ({
      sql: query.sql,
      params: slots.map((name, index) => {
        // What is no placeholder is a constant that drizzle has encoded for SQLite.
        const value = name === undefined ? (query.params[index] as SqlValue) : values[name];
        if (value === undefined) throw new TypeError(`no value for ${name} in: ${query.sql}`);
        return value;
      }),
    }),
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

/** The TTL that the write budget of the whole database needs, seconds; 0 when any does. */
export const stretchSeconds: SQL<number> = sql`coalesce((select stretch_seconds from pace where pace.fleet = '*'), 0)`;

/** The TTL of the fleet `arg('fleet')`, milliseconds: its Cluster Plan's, else `ttl_seconds`, and no less than the database needs. */
export function ttlMsOf(ttl_seconds: number): SQL<number> {
  return sql`(select cast(max(coalesce(max(ttl_seconds), ${sql.raw(String(Number(ttl_seconds)))}), ${stretchSeconds}) * 1000 as integer)
    from desired where desired.fleet = ${arg('fleet')} and kind = 'plan')`;
}
