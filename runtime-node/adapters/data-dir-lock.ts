import { copyFileSync, existsSync, mkdirSync, rmSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { toTimestamp } from '../../shared/contract/ids.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { type Holder, readHolder, writeHolder } from '../holder-file.ts';
import { messageOf } from '../thrown.ts';
import { dropOldCopies, freeName } from './set-aside.ts';
import { isDamage, SIDE_FILES } from './sqlite-file/damage.ts';

const LOCK_FILE = 'lock.sqlite';

export interface DataDirLock {
  /** Gives the directory back. The end of the process does too, also kill -9. */
  release(): void;
}

export class DataDirLockError extends Error {
  readonly kind: 'held' | 'failed';
  /** For `held`, where it is known. */
  readonly holder: Holder | undefined;
  constructor(kind: DataDirLockError['kind'], message: string, holder?: Holder, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DataDirLockError';
    this.kind = kind;
    this.holder = holder;
  }
}

/**
 * Takes the data directory for this process, or throws `DataDirLockError` at once. Makes it with mode 0700.
 *
 * The lock is an exclusive SQLite transaction on `lock.sqlite` that is never committed: the kernel drops
 * it with the process, however that ends, so a lock is never stale and a pid never has to be guessed at.
 * Nobody may open that file otherwise in this process: closing it would drop the lock (POSIX). Hence the holder's
 * name is in a file of its own, which is only for people: it is believed while its process lives.
 */
export function lockDataDir(dir: string, clock: Pick<Clock, 'now'>): DataDirLock {
  const lock = takeLock(dir, clock.now());
  try {
    writeHolder(dir, { pid: process.pid, started_at: toTimestamp(clock.now()) });
  } catch {
    // The name only helps people: a full disk must not keep a node from starting.
  }
  return { release: () => void lock.close() };
}

function takeLock(dir: string, nowMs: number): Database.Database {
  try {
    makeFolder(dir);
    const path = join(dir, LOCK_FILE);
    try {
      return lockFile(path);
    } catch (error) {
      if (!isDamage(error)) throw error;
      emptyLock(path, nowMs);
      return lockFile(path);
    }
  } catch (error) {
    throw isBusy(error) ? heldError(dir) : failedError(dir, error);
  }
}

/**
 * Of a lock file nothing but the lock is needed. Nobody holds this one, since SQLite asks for the lock before it reads.
 * What stood in it is kept as a copy, and the file itself is emptied and not replaced: two processes must mean the same one.
 */
function emptyLock(path: string, nowMs: number): void {
  copyFileSync(path, join(dirname(path), freeName(dirname(path), LOCK_FILE, nowMs)));
  dropOldCopies(path);
  truncateSync(path);
  for (const end of SIDE_FILES) rmSync(path + end, { force: true });
}

/** Throws what SQLite throws. */
function lockFile(path: string): Database.Database {
  const db = new Database(path, { timeout: 0 });
  try {
    db.exec('begin exclusive');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * Makes a folder and those above it that are missing. Not by Node's own `recursive`: that tries again for
 * ever where the system answers "no such file" although the folder above is there, as /proc does.
 */
function makeFolder(dir: string): void {
  if (existsSync(dir)) return;
  makeFolder(dirname(dir));
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    // Another process, which will hold the lock, may have been quicker.
    if (!existsSync(dir)) throw error;
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

function heldError(dir: string): DataDirLockError {
  const holder = readHolder(dir);
  const who = holder === undefined ? 'another process' : `process ${holder.pid}, started ${holder.started_at}`;
  const advice = 'stop it first, or give this node a directory of its own with --data-dir';
  return new DataDirLockError('held', `the data directory ${dir} is in use by ${who}; ${advice}`, holder);
}

function failedError(dir: string, cause: unknown): DataDirLockError {
  const advice = 'it must be a folder that the user who runs bootplane can write to; name another with --data-dir';
  return new DataDirLockError('failed', `the data directory ${dir} can't be locked: ${messageOf(cause)}; ${advice}`, undefined, { cause });
}
