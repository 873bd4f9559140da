import { closeSync, lstatSync, openSync, readSync, type Stats } from 'node:fs';
import type Sqlite from 'better-sqlite3';
import { codeOf, messageOf } from '../../thrown.ts';
import { IN_MEMORY } from './in-memory.ts';

/**
 * Moves a file that can't be used out of the way, with what SQLite keeps beside it, and says so to whoever
 * should know. Throws what the file system throws.
 */
export type SetAside = (path: string, why: string) => void;

/** What SQLite keeps beside a database file. */
export const SIDE_FILES = ['-wal', '-shm', '-journal'] as const;

/** Above this a database is not read as a whole when it is opened, bytes: a start must not take minutes. */
const CHECKED_BYTES = 64 * 1024 * 1024;
const NOT_ITSELF = ['SQLITE_CORRUPT', 'SQLITE_NOTADB', 'SQLITE_IOERR_SHORT_READ', 'SQLITE_IOERR_CORRUPTFS'];
/** The first four bytes of a write-ahead log, in both byte orders of its checksums (sqlite.org/fileformat2.html, section 4.1). */
const WAL_MAGIC = [0x377f0682, 0x377f0683];

/** Found by `refuseDamage`. */
class DamageError extends Error {
  override readonly name = 'DamageError';
}

/** True when the file itself is at fault. A lock, a full disk or a missing right says nothing about it. */
export function isDamage(error: unknown): boolean {
  const code = codeOf(error);
  return error instanceof DamageError || NOT_ITSELF.some((prefix) => code.startsWith(prefix));
}

/**
 * Opens a database. With `setAside`, one that is damaged is moved away and `open` makes an empty one in its place:
 * a node that does not start would be the greater damage. Throws what `open` throws, and what `setAside` does.
 */
export function openOrReplace<T>(path: string, setAside: SetAside | undefined, open: () => T): T {
  if (setAside === undefined || path === IN_MEMORY) return open();
  const why = findPlainDamage(path);
  if (why !== undefined) setAside(path, why);
  else if (isForeignLog(`${path}-wal`)) setAside(`${path}-wal`, 'it is no write-ahead log, so the last changes in it are lost');
  try {
    return open();
  } catch (error) {
    if (!isDamage(error)) throw error;
    setAside(path, messageOf(error));
    return open();
  }
}

/** Reads a database as a whole, when it is not too large for that. Throws when something in it does not fit together. */
export function refuseDamage(database: Sqlite.Database): void {
  const bytes = Number(database.pragma('page_count', { simple: true })) * Number(database.pragma('page_size', { simple: true }));
  if (bytes > CHECKED_BYTES) return;
  const found = database.pragma('quick_check(1)', { simple: true });
  if (found !== 'ok') throw new DamageError(String(found));
}

/** Throws for what `openOrReplace` replaces before it opens anything. */
export function refusePlainDamage(path: string): void {
  const why = findPlainDamage(path);
  if (why !== undefined) throw new DamageError(why);
}

/** What SQLite would not call damage: it takes an empty file for a new database, and a folder for a file that it can't open. */
function findPlainDamage(path: string): string | undefined {
  const folder = [path, ...SIDE_FILES.map((end) => path + end)].find((one) => look(one)?.isDirectory() === true);
  if (folder !== undefined) return `${folder} is a folder`;
  return look(path)?.size === 0 ? 'it is empty' : undefined;
}

function isForeignLog(path: string): boolean {
  if ((look(path)?.size ?? 0) === 0) return false;
  const head = Buffer.alloc(4);
  const file = openSync(path, 'r');
  try {
    return readSync(file, head) === head.length && !WAL_MAGIC.includes(head.readUInt32BE());
  } finally {
    closeSync(file);
  }
}

function look(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
