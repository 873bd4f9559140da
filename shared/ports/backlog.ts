import type { EnvironmentComponentName } from '../contract/backlog.ts';

/**
 * What was written to an embedded default because the configured external was away, and how far it has gone since.
 * It holds no data: the object, message or vector itself lies in the embedded default.
 * Default: SQLite on the disk of the node. What a call resolves with is durable. Each may reject with an `Error`.
 */
export interface Backlog {
  /**
   * Puts entries at the end, in this order. One that waits for the same thing already is replaced and goes to the end.
   * With `if_unknown` only those are put there that are news: an entry of the same thing that waits or is a conflict stays as
   * it is, whatever its hash, and so does one that was forwarded with the same hash. An entry for another external counts too.
   */
  add(entries: readonly NewEntry[], options?: { readonly if_unknown?: boolean }): Promise<void>;
  /**
   * True once `complete` was called: all that the embedded default held when it met this external is in; with `place`, all
   * that it held there when the profile first named that place. False for a new file.
   */
  isComplete(target: Target, place?: string): Promise<boolean>;
  complete(target: Target, place?: string): Promise<void>;
  /** Of these things, those that wait. */
  waiting(target: Target, things: readonly Thing[]): Promise<Entry[]>;
  /** Those that wait in one place, by key in UTF-8 byte order: keys that start with `prefix` and come after `after`. */
  list(target: Target, place: string, options: { prefix?: string; after?: string; limit: number }): Promise<Entry[]>;
  /** The next to go, the one that waits longest first. `after`: behind this number. */
  next(target: Target, limit: number, after?: number): Promise<Entry[]>;
  /**
   * How these entries ended. An entry that was replaced meanwhile has another number, and waits on.
   * A conflict keeps waiting for a person, with the reason.
   */
  settle(target: Target, ended: readonly Ended[]): Promise<void>;
  counts(target: Target): Promise<BacklogCounts>;
  /** Those that did not go over and wait for a person, oldest first. `after`: behind this number. */
  conflicts(target: Target, limit: number, after?: number): Promise<Entry[]>;
  /** Of these things, those that are a conflict. */
  conflicting(target: Target, things: readonly Thing[]): Promise<Entry[]>;
  /** What waits for other externals of the component than this one, by identity: an address was changed before all had gone over. */
  elsewhere(target: Target): Promise<{ readonly identity: string; readonly waiting: number }[]>;
  /**
   * What waits for `from`, or conflicts with it, waits for `to` from now on, in its order and behind what waits there, as what
   * came by `if_unknown` does. What waits for `to` already, or conflicts with it, stays as it is and takes its place. Resolves
   * with how many moved.
   */
  readdress(from: Target, to: Target): Promise<number>;
  close(): Promise<void>;
}

/** The external that they wait for. What waits for one never goes to another. */
export interface Target {
  readonly component: EnvironmentComponentName;
  /** Of the backend. */
  readonly identity: string;
}

/** An object by bucket and key, a vector by class and id. */
export interface Thing {
  readonly place: string;
  readonly key: string;
}

export interface NewEntry extends Target, Thing {
  /** Lower-case hex sha256 of what was written, or of what was deleted. */
  readonly hash: string;
  /** Bytes. */
  readonly size: number;
  /** What waited here was deleted before it could go: the external must not have it either. */
  readonly deleted?: true;
}

export interface Entry extends NewEntry {
  /** Grows with each entry, and is never given twice. */
  readonly number: number;
  readonly state: 'waiting' | 'forwarded' | 'conflict';
  /** RFC 3339 UTC, of the last change. */
  readonly at: string;
  readonly detail?: string;
  /** Came by `if_unknown`: what the external holds of this thing may be newer. */
  readonly adopted?: true;
}

export interface Ended {
  readonly number: number;
  readonly state: 'forwarded' | 'conflict';
  readonly detail?: string;
}

export interface BacklogCounts {
  readonly waiting: number;
  readonly forwarded: number;
  readonly conflicts: number;
}
