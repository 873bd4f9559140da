import { readFile, stat } from 'node:fs/promises';
import type { WatchedText } from '../../shared/ports/watched-text.ts';
import { codeOf, messageOf } from '../thrown.ts';

/** What is larger is neither a token nor a set of keys. */
const MOST_BYTES = 256 * 1024;

/** A file that somebody else replaces, also by a link, as Kubernetes does with what it projects. */
export function watchedFile(path: string): WatchedText {
  return {
    name: path,
    async version() {
      const { mtimeMs, size, ino, dev } = await stat(path).catch(refuse);
      if (size > MOST_BYTES) throw new Error(`has more than ${MOST_BYTES} bytes`);
      return [mtimeMs, size, ino, dev].join(' ');
    },
    read: () => readFile(path, 'utf8').catch(refuse),
  };
}

function refuse(error: unknown): never {
  throw new Error(codeOf(error) === 'ENOENT' ? 'is not there' : `can't be read (${messageOf(error)})`, { cause: error });
}
