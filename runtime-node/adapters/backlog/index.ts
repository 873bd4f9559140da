import { resolve } from 'node:path';
import type Sqlite from 'better-sqlite3';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import type { Backlog, BacklogCounts, Ended, Entry, NewEntry, Target, Thing } from '../../../shared/ports/backlog.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Log } from '../../../shared/ports/log.ts';
import type { SetAside } from '../sqlite-file/damage.ts';
import { GroupCommit } from '../sqlite-file/group-commit.ts';
import { IN_MEMORY } from '../sqlite-file/open.ts';
import { openBacklogFile, toBacklogError } from './schema.ts';
import { type EntryRow, statements, toEntry } from './statements.ts';

export interface SqliteBacklogOptions {
  /** The SQLite file. One process uses it at a time. `:memory:`: kept in memory only. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Moves a file that is damaged away, so that an empty one takes its place. Absent: it can't be opened. */
  readonly set_aside?: SetAside;
}

/**
 * What waits for an external, in a SQLite file. Each change is on disk when its call resolves; concurrent changes share
 * one transaction and one fsync.
 *
 * A file that is damaged takes the list with it, and not the data, which lies in the embedded default. The new file is
 * complete for no target (`isComplete`), so whoever forwards puts all that the embedded default holds into it and so
 * compares it with the external: nothing is lost, and what somebody deleted from the external meanwhile comes back.
 *
 * Throws an `Error` when the file cannot be opened or another process uses it.
 */
export function createSqliteBacklog(options: SqliteBacklogOptions): Backlog {
  return new SqliteBacklog(options);
}

class SqliteBacklog implements Backlog {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #database: Sqlite.Database;
  readonly #sql: ReturnType<typeof statements>;
  readonly #commit: GroupCommit;
  #isClosed = false;

  constructor({ path, clock, log, set_aside }: SqliteBacklogOptions) {
    this.#path = path === IN_MEMORY ? path : resolve(path);
    this.#clock = clock;
    let isReplaced = false;
    const replace: SetAside = (file, why) => {
      set_aside?.(file, why);
      isReplaced = true;
    };
    this.#database = openBacklogFile(this.#path, set_aside === undefined ? undefined : replace);
    this.#sql = statements(this.#database);
    this.#commit = new GroupCommit(this.#database, {
      isRefusal: () => false,
      translate: (error) => toBacklogError(error, this.#path),
    });
    if (!isReplaced) return;
    // Where the write-ahead log alone was lost, older entries are still there, and some may be missing.
    this.#sql.incomplete.run();
    log.warn('The list of what waits for external backends is lost: all that the embedded defaults hold is compared with them');
  }

  async add(entries: readonly NewEntry[], { if_unknown = false }: { if_unknown?: boolean } = {}): Promise<void> {
    const rows = entries.map((entry) => toRow(entry, if_unknown));
    if (rows.length === 0) return;
    await this.#write((at) => {
      for (const row of rows) {
        if (if_unknown && this.#sql.isKnown.get(row) !== undefined) continue;
        this.#sql.forget.run(row);
        this.#sql.insert.run({ ...row, at });
      }
    });
  }

  async isComplete(target: Target, place?: string): Promise<boolean> {
    return this.#read(() => this.#sql.isComplete.get(target.component, whole(target, place)) !== undefined);
  }

  async complete(target: Target, place?: string): Promise<void> {
    await this.#write(() => this.#sql.complete.run(target.component, whole(target, place)));
  }

  async waiting(target: Target, things: readonly Thing[]): Promise<Entry[]> {
    return this.#ofThings('waiting', target, things);
  }

  async list(
    { component, identity }: Target,
    place: string,
    { prefix = '', after = '', limit }: { prefix?: string; after?: string; limit: number },
  ): Promise<Entry[]> {
    return this.#read(() => {
      const entries: Entry[] = [];
      // Keys with one prefix stand together, so the first of another kind is the end.
      for (const row of this.#sql.list.iterate({ component, identity, place, prefix, after, limit })) {
        if (!row.key.startsWith(prefix)) break;
        entries.push(toEntry(row));
      }
      return entries;
    });
  }

  async next({ component, identity }: Target, limit: number, after = 0): Promise<Entry[]> {
    return this.#read(() => this.#sql.next.all(component, identity, after, limit).map(toEntry));
  }

  async settle({ component, identity }: Target, ended: readonly Ended[]): Promise<void> {
    if (ended.length === 0) return;
    await this.#write((at) => {
      for (const { number, state, detail } of ended)
        this.#sql.settle.run({ component, identity, number, state, detail: detail ?? null, at });
    });
  }

  async counts({ component, identity }: Target): Promise<BacklogCounts> {
    return this.#read(() => {
      const totals = new Map(this.#sql.totals.all(component, identity).map(({ state, count }) => [state, count]));
      const of = (state: Entry['state']) => totals.get(state) ?? 0;
      return { waiting: of('waiting'), forwarded: of('forwarded'), conflicts: of('conflict') };
    });
  }

  async conflicts({ component, identity }: Target, limit: number, after = 0): Promise<Entry[]> {
    return this.#read(() => this.#sql.conflicts.all(component, identity, after, limit).map(toEntry));
  }

  async conflicting(target: Target, things: readonly Thing[]): Promise<Entry[]> {
    return this.#ofThings('conflicting', target, things);
  }

  async elsewhere({ component, identity }: Target): Promise<{ identity: string; waiting: number }[]> {
    return this.#read(() => this.#sql.elsewhere.all(component, identity));
  }

  async readdress(from: Target, to: Target): Promise<number> {
    if (from.identity === to.identity) return 0;
    let moved = 0;
    await this.#write((at) => {
      const move = { component: to.component, from: from.identity, to: to.identity, at };
      this.#sql.forgetForwarded.run(move);
      moved = this.#sql.move.run(move).changes;
      this.#sql.forgetMoved.run(move);
    });
    return moved;
  }

  /** Waits for changes under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#commit.drain();
    this.#database.close();
  }

  #ofThings(state: 'waiting' | 'conflicting', { component, identity }: Target, things: readonly Thing[]): Entry[] {
    return this.#read(() =>
      things.flatMap(({ place, key }) => {
        const row = this.#sql[state].get(component, identity, place, key);
        return row === undefined ? [] : [toEntry(row)];
      }),
    );
  }

  async #write(change: (at: string) => void): Promise<void> {
    this.#refuseClosed();
    await this.#commit.run(() => change(toTimestamp(this.#clock.now())));
  }

  #read<T>(work: () => T): T {
    this.#refuseClosed();
    try {
      return work();
    } catch (error) {
      throw toBacklogError(error, this.#path);
    }
  }

  #refuseClosed(): void {
    if (this.#isClosed) throw new Error(`The list of what waits in ${this.#path} is closed`);
  }
}

/** As it stands in `complete`. */
function whole({ identity }: Target, place: string | undefined): string {
  return place === undefined ? identity : `${identity}\n${place}`;
}

type NewRow = Omit<EntryRow, 'number' | 'state' | 'at' | 'detail'>;

function toRow({ component, identity, place, key, hash, size, deleted }: NewEntry, adopted: boolean): NewRow {
  return { component, identity, place, key, hash, size, deleted: deleted === true ? 1 : 0, adopted: adopted ? 1 : 0 };
}
