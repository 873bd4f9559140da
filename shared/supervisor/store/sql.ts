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

/** A statement compiled once, when it is first used; `Result` is the row it returns. */
export interface Prepared<Result> {
  /** Its text, for tests that look at each statement. */
  readonly sql: string;
  /** Binds by name. Throws when the query names a value that is not given. */
  bind(values: Readonly<Record<string, SqlValue>>): Statement;
  /** The rows of one result, JSON columns decoded. */
  read(rows: readonly Row[] | undefined): Result[];
}

/**
 * Compiles SQL text once, and only if it is used: of the hundred statements of a Supervisor a start runs a few. `tables` name the
 * JSON columns that its rows hold.
 */
export function compileSql<Result>(query: SQL, ...tables: Table[]): Prepared<Result> {
  let compiled: Compiled | undefined;
  return prepared(() => {
    compiled ??= compile(dialect.sqlToQuery(query), tables);
    return compiled;
  });
}

/** Marks a write of which a second run leaves the same as the first (`Statement.repeatable`). */
export function repeatable<Result>(query: Prepared<Result>): Prepared<Result> {
  return {
    get sql() {
      return query.sql;
    },
    bind: (values) => ({ ...query.bind(values), repeatable: true }),
    read: query.read,
  };
}

interface Compiled {
  readonly query: Query;
  /** For each parameter the name that it is bound by; undefined for a constant. */
  readonly slots: readonly (string | undefined)[];
  /** The JSON columns. */
  readonly json: readonly string[];
}

function compile(query: Query, tables: readonly Table[]): Compiled {
  const columns = tables.flatMap((table) => Object.values(getTableColumns(table)));
  return {
    query,
    slots: query.params.map((param) => (is(param, Placeholder) ? String(param.name) : undefined)),
    json: columns.filter(({ dataType }) => dataType === 'json').map(({ name }) => name),
  };
}

function prepared<Result>(compiled: () => Compiled): Prepared<Result> {
  return {
    get sql() {
      return compiled().query.sql;
    },
    bind: (values) => {
      const { query, slots } = compiled();
      const params = slots.map((name, index) => {
        // What is no placeholder is a constant that drizzle has encoded for SQLite.
        const value = name === undefined ? (query.params[index] as SqlValue) : values[name];
        if (value === undefined) throw new TypeError(`no value for ${name} in: ${query.sql}`);
        return value;
      });
      return { sql: query.sql, params };
    },
    // The database gives back the columns that the query was compiled with.
    read: (rows = []) => rows.map((row) => decode(row, compiled().json) as Result),
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
