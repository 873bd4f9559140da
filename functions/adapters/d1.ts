import { type Database, DatabaseError, type Row } from '../../shared/ports/database.ts';

/** D1 as the Database port. Its own clock judges every expiry, so that Workers need not agree on the time. */
export function d1Database(d1: D1Database): Database {
  return {
    now: "cast(unixepoch('subsec') * 1000 as integer)",
    async batch(statements) {
      if (statements.length === 0) return [];
      try {
        const results = await d1.batch<Row>(statements.map(({ sql, params }) => d1.prepare(sql).bind(...params)));
        return results.map(({ results: rows }) => rows);
      } catch (error) {
        throw toDatabaseError(error);
      }
    },
    close: () => Promise.resolve(),
  };
}

/** D1 tells what went wrong in words only. */
const KINDS: readonly (readonly [RegExp, DatabaseError['kind']])[] = [
  [
    /SQLITE_BUSY|SQLITE_LOCKED|overloaded|reset because|object to be reset|network connection lost|timeout|storage caused|too many requests/i,
    'busy',
  ],
  [/SQLITE_FULL|maximum DB size|disk is full/i, 'full'],
  [/SQLITE_CORRUPT|SQLITE_NOTADB|malformed/i, 'corrupt'],
  [/SQLITE_CONSTRAINT|constraint failed/i, 'constraint'],
];

export function toDatabaseError(error: unknown): DatabaseError {
  const message = error instanceof Error ? error.message : String(error);
  const kind = KINDS.find(([words]) => words.test(message))?.[1] ?? 'failed';
  return new DatabaseError(kind, message, { cause: error });
}
