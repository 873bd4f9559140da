import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import Sqlite from 'better-sqlite3';
import { BusError } from '../../../shared/ports/event-bus.ts';
import { toBusError } from './errors.ts';

export const IN_MEMORY = ':memory:';
const VERSION = 1;
const PAGE_BYTES = 4096;

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

/** Opens the file (mode 0600), makes the tables when it is new, and keeps it to this process. */
export function openQueues(path: string, maxBytes?: number): Sqlite.Database {
  try {
    if (path !== IN_MEMORY) createPrivately(path);
    const database = new Sqlite(path, { timeout: 1000 });
    try {
      prepare(database, path, maxBytes);
    } catch (error) {
      database.close();
      throw error;
    }
    return database;
  } catch (error) {
    throw toBusError(error, path);
  }
}

function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, 'a', 0o600));
}

function prepare(database: Sqlite.Database, path: string, maxBytes?: number): void {
  // Exclusive: two processes with leases of their own on one file would deliver a message twice.
  database.pragma('locking_mode = exclusive');
  database.pragma('journal_mode = wal');
  if (maxBytes !== undefined) database.pragma(`max_page_count = ${Math.max(1, Math.floor(maxBytes / PAGE_BYTES))}`);
  const version = database.pragma('user_version', { simple: true });
  if (version === 0) database.transaction(() => database.exec(`${SCHEMA} pragma user_version = ${VERSION};`)).immediate();
  else if (version !== VERSION) {
    throw new BusError('failed', `${path} was written by another version (format ${version}, this one reads ${VERSION}): use that version`);
  }
  // What an earlier process had handed out and not settled is delivered again.
  database.prepare('update entries set leased = 0 where leased > 0').run();
}
