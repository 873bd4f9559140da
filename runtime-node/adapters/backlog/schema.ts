import type Sqlite from 'better-sqlite3';
import type { SetAside } from '../sqlite-file/damage.ts';
import { faultOf } from '../sqlite-file/fault.ts';
import { openSqliteFile } from '../sqlite-file/open.ts';

const FORMAT = 1;

/**
 * One row for each thing that ever waited for a target; `number` is the order and never comes twice. `totals` is kept by
 * triggers, since health asks for it after each change and a count of 100,000 rows would hold up every write.
 * `deleted` and `adopted` are 0 or 1. In `complete`, `identity` is followed by a line break and the name of a place where it is
 * about that place alone.
 */
const SCHEMA = `
  create table entries (
    number integer primary key autoincrement, component text not null, identity text not null,
    place text not null, key text not null, hash text not null, size integer not null,
    state text not null default 'waiting' check (state in ('waiting', 'forwarded', 'conflict')),
    deleted integer not null default 0, adopted integer not null default 0, at text not null, detail text,
    unique (component, place, key, identity)
  ) strict;
  create index entries_by_state on entries (component, identity, state, number);
  create index entries_waiting on entries (component, identity, place, key) where state = 'waiting';

  create table totals (
    component text not null, identity text not null, state text not null, count integer not null,
    primary key (component, identity, state)
  ) strict, without rowid;
  create trigger entries_counted after insert on entries begin
    insert into totals values (new.component, new.identity, new.state, 1)
    on conflict (component, identity, state) do update set count = count + 1;
  end;
  create trigger entries_discounted after delete on entries begin
    update totals set count = count - 1 where component = old.component and identity = old.identity and state = old.state;
  end;
  create trigger entries_moved after update of state on entries when new.state <> old.state begin
    update totals set count = count - 1 where component = old.component and identity = old.identity and state = old.state;
    insert into totals values (new.component, new.identity, new.state, 1)
    on conflict (component, identity, state) do update set count = count + 1;
  end;

  create table complete (component text not null, identity text not null, primary key (component, identity)) strict, without rowid;
`;

/** Throws an `Error` for people. */
export function openBacklogFile(path: string, set_aside?: SetAside): Sqlite.Database {
  try {
    return openSqliteFile({ path, schema: SCHEMA, format: FORMAT, max_bytes: undefined, set_aside });
  } catch (error) {
    throw toBacklogError(error, path);
  }
}

export function toBacklogError(error: unknown, path: string): Error {
  return new Error(faultOf(error, path, 'list of what waits').message, { cause: error });
}
