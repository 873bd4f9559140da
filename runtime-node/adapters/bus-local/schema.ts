import type Sqlite from 'better-sqlite3';
import { BusError } from '../../../shared/ports/event-bus.ts';
import type { SetAside } from '../sqlite-file/damage.ts';
import { faultOf } from '../sqlite-file/fault.ts';
import { openSqliteFile } from '../sqlite-file/open.ts';

const FORMAT = 1;

/**
 * A message is stored once (`messages`) however many queues hold it (`entries`). `seq` is the order
 * of a queue and never comes twice, so a message that is put back keeps its place. `leased` is the number
 * of the lease under which an entry is handed out, or 0. `entered_at` is absent while no trusted time is known. `published` is the window of message ids that are stored once.
 */
const SCHEMA = `
  create table exchanges (name text primary key, type text not null) strict, without rowid;
  create table queues (
    id integer primary key, name text not null unique, type text not null,
    ttl_ms integer, dlx text, arguments text not null
  ) strict;
  create table bindings (
    exchange text not null, queue integer not null, key text not null, arguments text not null,
    primary key (exchange, queue, key, arguments)
  ) strict, without rowid;
  create table messages (
    id integer primary key, exchange text not null, key text not null, message_id text not null,
    content_type text, headers text not null, body blob not null
  ) strict;
  create table entries (
    seq integer primary key autoincrement, queue integer not null, message integer not null,
    leased integer not null default 0, delivered integer not null default 0,
    entered_at integer, expires_at integer
  ) strict;
  create index entries_by_queue on entries (queue, leased, seq);
  create index entries_by_message on entries (message);
  create index entries_by_expiry on entries (expires_at) where expires_at is not null and leased = 0;
  create index entries_unstamped on entries (seq) where entered_at is null;
  create table published (
    seq integer primary key autoincrement, exchange text not null, message_id text not null,
    unique (exchange, message_id)
  ) strict;
`;

/** Throws `BusError`. Exclusive: two processes with leases of their own on one file would deliver a message twice. */
export function openQueues(path: string, max_bytes?: number, set_aside?: SetAside): Sqlite.Database {
  try {
    const database = openSqliteFile({ path, schema: SCHEMA, format: FORMAT, max_bytes, set_aside });
    // What an earlier process had handed out and not settled is delivered again.
    database.prepare('update entries set leased = 0 where leased > 0').run();
    return database;
  } catch (error) {
    throw toBusError(error, path);
  }
}

export function toBusError(error: unknown, path: string): BusError {
  const { kind, message } = faultOf(error, path, 'queues');
  return new BusError(kind, message, { cause: error });
}
