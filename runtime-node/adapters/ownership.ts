import { resolve } from 'node:path';
import type Sqlite from 'better-sqlite3';
import { canonicalJson } from '../../shared/contract/canonical.ts';
import { keyOfMade, Made } from '../../shared/contract/made.ts';
import type { BackendName, Ownership, Renewal } from '../../shared/ports/ownership.ts';
import type { SetAside } from './sqlite-file/damage.ts';
import { faultOf } from './sqlite-file/fault.ts';
import { GroupCommit } from './sqlite-file/group-commit.ts';
import { IN_MEMORY, openSqliteFile } from './sqlite-file/open.ts';

export interface SqliteOwnershipOptions {
  /** The SQLite file. One process uses it at a time. `:memory:`: kept in memory only. */
  readonly path: string;
  /** Moves a file that is damaged away, so that an empty one takes its place. Absent: it can't be opened. */
  readonly set_aside?: SetAside;
}

const FORMAT = 1;
const SCHEMA = `
  create table made (
    number integer primary key autoincrement, component text not null, identity text not null, key text not null, thing text not null,
    unique (component, identity, key)
  ) strict;
`;

/**
 * What this node made, in a SQLite file: an apply of 1,000 queues notes each as it is made, which a file that is written
 * whole each time would pay with the square of that. The file is opened when it is needed the first time, so that a
 * start with nothing to make costs nothing.
 *
 * A file that is damaged takes the notes with it: then nothing counts as made here, and nothing of it is ever removed.
 */
export function createSqliteOwnership(options: SqliteOwnershipOptions): Ownership {
  return new SqliteOwnership(options);
}

interface Row {
  readonly component: string;
  readonly identity: string;
  readonly key: string;
  /** In canonical JSON, so that it can be compared. */
  readonly thing: string;
  /** What stood there before; for `renew` alone. */
  readonly was: string;
}

class SqliteOwnership implements Ownership {
  readonly #path: string;
  readonly #options: SqliteOwnershipOptions;
  #opened: ReturnType<typeof open> | undefined;
  #isClosed = false;

  constructor(options: SqliteOwnershipOptions) {
    this.#options = options;
    this.#path = options.path === IN_MEMORY ? options.path : resolve(options.path);
  }

  note(backend: BackendName, made: readonly Made[]): Promise<void> {
    return this.#write(backend, made.map(alone), ({ note }) => note, false);
  }

  renew(backend: BackendName, changes: readonly Renewal[]): Promise<void> {
    return this.#write(backend, changes, ({ renew }) => renew, false);
  }

  forget(backend: BackendName, made: readonly Made[]): Promise<void> {
    // A note that came back would claim what somebody else makes there.
    return this.#write(backend, made.map(alone), ({ forget }) => forget, true);
  }

  async list({ component, identity }: BackendName): Promise<Made[]> {
    const { sql } = this.#open();
    try {
      // What a later version has noted in another form is nothing that this one could judge.
      return sql.list.all(component, identity).flatMap(({ thing }) => Made.safeParse(JSON.parse(thing)).data ?? []);
    } catch (error) {
      throw toError(error, this.#path);
    }
  }

  /** Waits for changes under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opened?.commit.drain();
    this.#opened?.database.close();
  }

  async #write(
    backend: BackendName,
    changes: readonly Renewal[],
    which: (sql: Statements) => Sqlite.Statement<[Row]>,
    durable: boolean,
  ): Promise<void> {
    if (changes.length === 0) return;
    const { sql, commit } = this.#open();
    const statement = which(sql);
    const rows = changes.map(({ from, to }) => toRow(backend, from, to));
    const work = () => {
      for (const row of rows) statement.run(row);
    };
    await commit.run(work, { durable });
  }

  #open(): ReturnType<typeof open> {
    if (this.#isClosed) throw new Error(`The record of what this node made in ${this.#path} is closed`);
    this.#opened ??= open(this.#path, this.#options.set_aside);
    return this.#opened;
  }
}

function alone(made: Made): Renewal {
  return { from: made, to: made };
}

function toRow({ component, identity }: BackendName, from: Made, to: Made): Row {
  return { component, identity, key: keyOfMade(to), thing: canonicalJson(to), was: canonicalJson(from) };
}

type Statements = ReturnType<typeof statements>;

function open(path: string, set_aside: SetAside | undefined) {
  const translate = (error: unknown) => toError(error, path);
  try {
    const database = openSqliteFile({ path, schema: SCHEMA, format: FORMAT, max_bytes: undefined, set_aside });
    return { database, sql: statements(database), commit: new GroupCommit(database, { isRefusal: () => false, translate }) };
  } catch (error) {
    throw translate(error);
  }
}

function toError(error: unknown, path: string): Error {
  return new Error(faultOf(error, path, 'record of what this node made').message, { cause: error });
}

function statements(database: Sqlite.Database) {
  const place = 'component = @component and identity = @identity and key = @key';
  return {
    note: database.prepare<[Row]>(
      `insert into made (component, identity, key, thing) values (@component, @identity, @key, @thing)
       on conflict do update set thing = excluded.thing`,
    ),
    renew: database.prepare<[Row]>(`update made set thing = @thing where ${place} and thing = @was`),
    forget: database.prepare<[Row]>(`delete from made where ${place}`),
    list: database.prepare<[string, string], Pick<Row, 'thing'>>(
      'select thing from made where component = ? and identity = ? order by number',
    ),
  };
}
