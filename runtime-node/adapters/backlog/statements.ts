import type Sqlite from 'better-sqlite3';
import type { Entry, Target, Thing } from '../../../shared/ports/backlog.ts';

export interface EntryRow extends Omit<Entry, 'deleted' | 'adopted' | 'detail'> {
  readonly deleted: number;
  readonly adopted: number;
  readonly detail: string | null;
}

type Range = Target & { readonly place: string; readonly prefix: string; readonly after: string; readonly limit: number };

interface Move {
  readonly component: string;
  readonly from: string;
  readonly to: string;
  readonly at: string;
}

export function statements(database: Sqlite.Database) {
  return {
    isKnown: database.prepare<[Thing & { readonly component: string; readonly hash: string }]>(`
      select 1 from entries where component = @component and place = @place and key = @key and (state <> 'forwarded' or hash = @hash)
    `),
    forget: database.prepare<[Target & Thing]>(
      'delete from entries where component = @component and identity = @identity and place = @place and key = @key',
    ),
    insert: database.prepare(`
      insert into entries (component, identity, place, key, hash, size, deleted, adopted, at)
      values (@component, @identity, @place, @key, @hash, @size, @deleted, @adopted, @at)
    `),
    isComplete: database.prepare<[string, string]>('select 1 from complete where component = ? and identity = ?'),
    complete: database.prepare('insert or ignore into complete values (?, ?)'),
    incomplete: database.prepare('delete from complete'),
    waiting: database.prepare<[string, string, string, string], EntryRow>(
      "select * from entries where component = ? and identity = ? and place = ? and key = ? and state = 'waiting'",
    ),
    // Texts compare by their UTF-8 bytes.
    list: database.prepare<[Range], EntryRow>(`
      select * from entries where component = @component and identity = @identity and place = @place and state = 'waiting'
        and key > @after and key >= @prefix
      order by key limit @limit
    `),
    next: database.prepare<[string, string, number, number], EntryRow>(
      "select * from entries where component = ? and identity = ? and state = 'waiting' and number > ? order by number limit ?",
    ),
    settle: database.prepare(`
      update entries set state = @state, detail = @detail, at = @at
      where number = @number and component = @component and identity = @identity
    `),
    totals: database.prepare<[string, string], { state: string; count: number }>(
      'select state, count from totals where component = ? and identity = ?',
    ),
    elsewhere: database.prepare<[string, string], { identity: string; waiting: number }>(`
      select identity, count as waiting from totals
      where component = ? and identity <> ? and state = 'waiting' and count > 0 order by identity
    `),
    // Of the things that are to move, what went over to the new one before gives way, and what is open there stays.
    forgetForwarded: database.prepare<[Move]>(`
      delete from entries as old where component = @component and identity = @to and state = 'forwarded' and exists (
        select 1 from entries where component = @component and identity = @from and place = old.place and key = old.key and state <> 'forwarded'
      )
    `),
    move: database.prepare<[Move]>(`
      insert into entries (component, identity, place, key, hash, size, deleted, adopted, at)
      select component, @to, place, key, hash, size, deleted, 1, @at from entries as old
      where component = @component and identity = @from and state <> 'forwarded' and not exists (
        select 1 from entries where component = @component and identity = @to and place = old.place and key = old.key
      )
      order by number
    `),
    forgetMoved: database.prepare<[Move]>("delete from entries where component = @component and identity = @from and state <> 'forwarded'"),
    conflicts: database.prepare<[string, string, number, number], EntryRow>(
      "select * from entries where component = ? and identity = ? and state = 'conflict' and number > ? order by number limit ?",
    ),
    conflicting: database.prepare<[string, string, string, string], EntryRow>(
      "select * from entries where component = ? and identity = ? and place = ? and key = ? and state = 'conflict'",
    ),
  };
}

export function toEntry({ deleted, adopted, detail, ...entry }: EntryRow): Entry {
  return {
    ...entry,
    ...(deleted === 0 ? {} : { deleted: true }),
    ...(adopted === 0 ? {} : { adopted: true }),
    ...(detail === null ? {} : { detail }),
  };
}
