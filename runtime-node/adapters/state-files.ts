import { lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/ports/clock.ts';
import { type SetAsideReason, type StateFiles, StateFilesError } from '../../shared/ports/state-files.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { dropOldCopies, moveAside } from './set-aside.ts';
import { syncFolder } from './sync-folder.ts';

export interface StateFilesOptions {
  /** Made (mode 0700) when it is not there. The data directory's lock keeps a second process away. */
  readonly folder: string;
  readonly clock: Pick<Clock, 'now'>;
  /** Told of each file that was set aside. */
  readonly onSetAside?: (name: string, why: string, kept_as: string, reason: SetAsideReason) => void;
}

/** Plain names, and none that a `.tmp` of ours could meet. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/**
 * The StateFiles port on a folder. A write goes to a temporary file, fsync, rename, and fsync of the
 * folder, since without the last one a power cut may bring the old text back. Writes to one name run one
 * after the other, so the last call wins, and a temporary file left by a crash is overwritten by the next write.
 */
export function createStateFiles({ folder, clock, onSetAside }: StateFilesOptions): StateFiles & {
  /** Resolves when nothing is under way any more. Never rejects. */
  idle(): Promise<void>;
} {
  const queues = new Map<string, Promise<unknown>>();
  const inTurn = <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const turn = (queues.get(name) ?? Promise.resolve()).then(work, work);
    queues.set(name, turn);
    const leave = () => {
      if (queues.get(name) === turn) queues.delete(name);
    };
    turn.then(leave, leave);
    return turn;
  };
  // What failed is put into words inside its turn: who waits for the turn's end has then heard of it.
  const run = <T>(name: string, verb: string, work: (path: string) => Promise<T>): Promise<T> =>
    inTurn(name, async () => {
      try {
        if (!NAME.test(name)) throw new StateFilesError('failed', `${JSON.stringify(name)} is no plain file name`);
        return await work(join(folder, name));
      } catch (error) {
        throw toError(error, `${verb} ${join(folder, name)}`);
      }
    });

  return {
    async idle() {
      while (queues.size > 0) await Promise.allSettled(queues.values());
    },
    read: (name) => run(name, 'read', readText),
    write: (name, text) => run(name, 'write', () => replace(folder, name, text)),
    setAside: (name, why, reason = 'corrupt') =>
      run(name, 'set aside', async (path) => {
        if (!(await exists(path))) return undefined;
        const kept = moveAside(path, clock.now(), reason);
        dropOldCopies(path, reason);
        await syncFolder(folder);
        onSetAside?.(name, why, kept, reason);
        return kept;
      }),
    remove: (name) =>
      run(name, 'remove', async (path) => {
        if (!(await exists(path))) return;
        await rm(path, { force: true });
        await syncFolder(folder);
      }),
  };
}

function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
}

async function replace(folder: string, name: string, text: string): Promise<void> {
  const temporary = join(folder, `.${name}.tmp`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.chmod(0o600);
      await file.writeFile(text, 'utf8');
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(folder, name));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncFolder(folder);
}

function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
}

function toError(cause: unknown, doing: string): StateFilesError {
  if (cause instanceof StateFilesError) return cause;
  const code = codeOf(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new StateFilesError('full', `could not ${doing}: the disk is full (${code}); free some space`, { cause });
  if (code === 'EROFS')
    return new StateFilesError('read_only', `could not ${doing}: the file system is read-only (${code}); remount it writable`, { cause });
  const advice = code === 'EACCES' || code === 'EPERM' ? '; the data directory must belong to the user that runs bootplane' : '';
  return new StateFilesError('failed', `could not ${doing}: ${messageOf(cause)}${advice}`, { cause });
}
