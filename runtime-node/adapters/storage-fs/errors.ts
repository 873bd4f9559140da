import { StorageError, type StorageErrorKind } from '../../../shared/ports/object-storage.ts';
import { codeOf } from '../../thrown.ts';

/**
 * Turns what the file system or SQLite threw into the port's error. `doing` completes the sentence
 * "could not …", as `store captures/a.png`.
 */
export function toStorageError(cause: unknown, doing: string): StorageError {
  if (cause instanceof StorageError) return cause;
  const code = codeOf(cause);
  const words = cause instanceof Error && cause.message !== '' ? cause.message : String(cause);
  const reason = code === '' || words.includes(code) ? words : `${words} (${code})`;
  return new StorageError(kindOf(code), `could not ${doing}: ${adviceFor(code) ?? reason}`, { cause });
}

export function isFull(error: unknown): boolean {
  return kindOf(codeOf(error)) === 'full';
}

function kindOf(code: string): StorageErrorKind {
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL') return 'full';
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') return 'corrupt';
  return 'failed';
}

function adviceFor(code: string): string | undefined {
  if (code === 'ENOSPC' || code === 'SQLITE_FULL') return `the disk is full (${code}); free some space`;
  if (code === 'EDQUOT') return `the disk quota is used up (${code}); free some space or raise the quota`;
  if (code === 'EROFS' || code.startsWith('SQLITE_READONLY')) return `the file system is read-only (${code}); remount it writable`;
  if (code === 'EACCES' || code === 'EPERM') return `permission denied (${code}); the folder must belong to the user that runs bootplane`;
  if (code.startsWith('SQLITE_BUSY')) return `another process holds the storage folder (${code}); stop it first`;
  if (code === 'EMFILE' || code === 'ENFILE') return `too many open files (${code}); raise the limit (ulimit -n)`;
  if (kindOf(code) === 'corrupt') return `catalog.sqlite is damaged (${code}); restore the storage folder from a backup`;
  return undefined;
}
