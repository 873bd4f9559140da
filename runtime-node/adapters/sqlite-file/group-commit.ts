import type Sqlite from 'better-sqlite3';

/** Large enough to share one fsync among many, small enough not to hold the event loop for long. */
const MAX_GROUP = 1000;

interface Task {
  readonly durable: boolean;
  /** Runs the work and keeps its outcome for `settle`. */
  attempt(): void;
  settle(): void;
  fail(error: unknown): void;
}

export interface GroupCommitOptions {
  /** True for an error that says no to one piece of work and means nothing for the others. */
  readonly isRefusal: (error: unknown) => boolean;
  /** What a piece of work rejects with when SQLite failed. */
  readonly translate: (error: unknown) => Error;
  /** Told when written rows were taken back, so that caches of them can be dropped. */
  readonly onRollback?: () => void;
}

/**
 * Runs pieces of work in the order in which they came, many in one transaction, and answers each
 * after the commit. One that is refused (`isRefusal`) is rolled back alone. When the transaction as a
 * whole fails, each is tried again by itself, so that only those at fault fail.
 */
export class GroupCommit {
  readonly #database: Sqlite.Database;
  readonly #options: GroupCommitOptions;
  readonly #sql: Readonly<Record<'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'back', Sqlite.Statement>>;
  #waiting: Task[] = [];
  #synchronous: 'full' | 'normal' | undefined;
  #idle: (() => void)[] = [];

  constructor(database: Sqlite.Database, options: GroupCommitOptions) {
    this.#database = database;
    this.#options = options;
    this.#sql = {
      begin: database.prepare('begin immediate'),
      commit: database.prepare('commit'),
      rollback: database.prepare('rollback'),
      savepoint: database.prepare('savepoint task'),
      release: database.prepare('release task'),
      back: database.prepare('rollback to task'),
    };
  }

  /**
   * `durable: false` is for what may be forgotten when the machine loses power (a crash of the
   * process loses nothing): such groups skip the fsync.
   */
  run<T>(work: () => T, { durable = true } = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      let settle = () => {};
      const attempt = () => {
        const outcome = this.#alone(work);
        settle = 'refusal' in outcome ? () => reject(outcome.refusal) : () => resolve(outcome.value);
      };
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ durable, attempt, settle: () => settle(), fail: reject });
    });
  }

  /** Resolves when nothing waits any more. */
  async drain(): Promise<void> {
    if (this.#waiting.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #flush(): void {
    const group = this.#waiting.slice(0, MAX_GROUP);
    if (!this.#transact(group)) for (const task of group) this.#transact([task]);
    this.#waiting = this.#waiting.slice(group.length);
    if (this.#waiting.length > 0) setImmediate(() => this.#flush());
    else for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** False when a group of several failed as a whole; a single one is told of its failure here. */
  #transact(group: readonly Task[]): boolean {
    try {
      this.#rollback();
      this.#synchronize(group.some(({ durable }) => durable) ? 'full' : 'normal');
      this.#sql.begin.run();
      for (const task of group) task.attempt();
      this.#sql.commit.run();
    } catch (error) {
      this.#tryRollback();
      this.#options.onRollback?.();
      if (group.length > 1) return false;
      group[0]?.fail(this.#options.translate(error));
      return true;
    }
    for (const task of group) task.settle();
    return true;
  }

  /** Nobody would catch what it throws, and the callers are told of the cause. What it leaves open the next transaction takes back first. */
  #tryRollback(): void {
    try {
      this.#rollback();
    } catch {
      // The transaction stays open.
    }
  }

  #rollback(): void {
    if (this.#database.inTransaction) this.#sql.rollback.run();
  }

  #alone<T>(work: () => T): { value: T } | { refusal: unknown } {
    this.#sql.savepoint.run();
    try {
      const value = work();
      this.#sql.release.run();
      return { value };
    } catch (error) {
      // SQLite has already rolled back everything after some errors, a full disk among them.
      if (!this.#options.isRefusal(error) || !this.#database.inTransaction) throw error;
      this.#sql.back.run();
      this.#sql.release.run();
      this.#options.onRollback?.();
      return { refusal: error };
    }
  }

  #synchronize(level: 'full' | 'normal'): void {
    if (this.#synchronous === level) return;
    this.#database.pragma(`synchronous = ${level}`);
    this.#synchronous = level;
  }
}
