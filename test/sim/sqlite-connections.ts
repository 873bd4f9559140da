import { fileURLToPath } from 'node:url';
import Sqlite from 'better-sqlite3';
import { applyMigrations, readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import type { Row } from '../../shared/ports/database.ts';

/** A statement, and what it answered last to each list of parameters. */
export interface PreparedStatement {
  readonly statement: Sqlite.Statement;
  /** All that it may read or write. */
  readonly tables: readonly string[];
  /** Whether its rows depend on nothing but these tables and its parameters. */
  readonly isRepeatable: boolean;
  /** `writes`: the count of writes to its tables at which the rows were read. */
  readonly answers: Map<string, { readonly writes: number; readonly rows: readonly Row[] }>;
}

export interface Connection {
  readonly sqlite: Sqlite.Database;
  /** Gives the time to the statements that ask for it. */
  now: () => number;
  prepare(sql: string): PreparedStatement;
  /** Forgets all answers. */
  forget(): void;
}

/** What a statement may ask for beside tables and parameters. */
const UNREPEATABLE = /bootplane_now|current_|date|time\(|random|changes\(|last_insert/i;

/** Empty ones that were used before. To open a database and to prepare its statements takes far longer than to empty it. */
const spare: Connection[] = [];

/** A migrated database in memory: an empty one, or one that holds what `image` does. */
export function openConnection(image?: Buffer): Connection {
  const schema = migrated();
  return (image === undefined ? spare.pop() : undefined) ?? connect(image ?? schema.bytes, schema);
}

/** From now on nobody uses it: it is emptied for the next one. */
export function closeConnection(connection: Connection): void {
  const { sqlite } = connection;
  const { tables, isPlain } = migrated();
  if (!isPlain) return void sqlite.close();
  if (sqlite.inTransaction) connection.prepare('rollback').statement.run();
  for (const table of tables) connection.prepare(`delete from ${table}`).statement.run();
  connection.forget();
  connection.now = () => 0;
  spare.push(connection);
}

function connect(bytes: Buffer, { tables, isPlain }: Template): Connection {
  const sqlite = new Sqlite(bytes);
  // Nobody else has it: without this all pages are read anew for each transaction.
  sqlite.pragma('locking_mode = exclusive');
  const prepared = new Map<string, PreparedStatement>();
  const connection: Connection = {
    sqlite,
    now: () => 0,
    prepare(sql) {
      const known = prepared.get(sql);
      if (known !== undefined) return known;
      const statement = sqlite.prepare(sql);
      const words = new Set(sql.match(/\w+/g));
      const isRepeatable = statement.reader && statement.readonly && !UNREPEATABLE.test(sql);
      const fresh = { statement, tables: isPlain ? tables.filter((table) => words.has(table)) : tables, isRepeatable, answers: new Map() };
      prepared.set(sql, fresh);
      return fresh;
    },
    forget() {
      for (const { answers } of prepared.values()) answers.clear();
    },
  };
  sqlite.function('bootplane_now', { deterministic: false }, () => Math.floor(connection.now()));
  return connection;
}

interface Entry {
  readonly type: string;
  readonly name: string;
  readonly sql: string | null;
}

interface Template {
  readonly bytes: Buffer;
  /** Those that hold data; the ledger of the migrations stays as it is. */
  readonly tables: readonly string[];
  /** They are empty, and a statement reaches only those that its text names: there are no views, triggers and foreign keys. */
  readonly isPlain: boolean;
}

/** Made once in a process: to migrate each database anew would take longer than to simulate it. */
let template: Template | undefined;

function migrated(): Template {
  template ??= migrate();
  return template;
}

function migrate(): Template {
  const sqlite = new Sqlite(':memory:');
  applyMigrations(sqlite, readMigrations(fileURLToPath(new URL('../../migrations', import.meta.url))));
  const schema = sqlite.prepare('select type, name, sql from sqlite_master').all() as Entry[];
  const tables = schema.flatMap(({ type, name }) => (type === 'table' && !/^(sqlite_|d1_)/.test(name) ? [name] : []));
  const isIndirect = schema.some(({ type, sql }) => type === 'trigger' || type === 'view' || /\breferences\b/i.test(sql ?? ''));
  const isFilled = tables.some((table) => sqlite.prepare(`select 1 from ${table}`).get() !== undefined);
  const bytes = sqlite.serialize();
  sqlite.close();
  return { bytes, tables, isPlain: !isIndirect && !isFilled };
}
