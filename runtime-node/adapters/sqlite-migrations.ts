import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type Sqlite from 'better-sqlite3';
import { DatabaseError } from '../../shared/ports/database.ts';

/** One file of the migrations folder. `name` is the file's name, as wrangler keeps it. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
}

/** The `.sql` files of a folder in the order of their names. */
export function readMigrations(folder: string): Migration[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  return names.sort().map((name) => ({ name, sql: readFileSync(join(folder, name), 'utf8') }));
}

/** The ledger of `wrangler d1 migrations apply`, so that a file can move between the two. */
const LEDGER = `create table if not exists d1_migrations (
  id integer primary key autoincrement,
  name text unique,
  applied_at timestamp default current_timestamp not null
)`;

/**
 * Brings a database up to date, each migration in its own transaction. Throws `DatabaseError` when
 * the database knows a migration that this version of bootplane does not: it was made by a newer one.
 */
export function applyMigrations(sqlite: Sqlite.Database, migrations: readonly Migration[]): void {
  sqlite.exec(LEDGER);
  const applied = new Set(sqlite.prepare<[], string>('select name from d1_migrations').pluck().all());
  const unknown = [...applied].filter((name) => !migrations.some((migration) => migration.name === name));
  if (unknown.length > 0) {
    throw new DatabaseError(
      'failed',
      `${sqlite.name} was made by a newer version of bootplane (it has ${unknown.join(', ')}); start that version, or use another data directory`,
    );
  }
  const record = sqlite.prepare('insert into d1_migrations (name) values (?)');
  for (const { name, sql } of migrations) {
    if (applied.has(name)) continue;
    const apply = sqlite.transaction(() => {
      sqlite.exec(sql);
      record.run(name);
    });
    apply.immediate();
  }
}
