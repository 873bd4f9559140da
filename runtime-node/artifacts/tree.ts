import { createHash } from 'node:crypto';
import { link, mkdir, open, realpath, symlink } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import type { Meter } from './room.ts';

export interface UnpackLimits {
  /** Of all files together, unpacked. */
  readonly max_bytes: number;
  readonly max_entries: number;
}

/** Room for what programs are, and an end to what only wants to fill the disk. */
export const UNPACK_LIMITS: UnpackLimits = { max_bytes: 16 * 1024 ** 3, max_entries: 200_000 };

/** Why an archive is not unpacked. It is the same each time, so nobody tries again. */
export class UnpackError extends Error {
  override readonly name = 'UnpackError';
  readonly kind: 'unsafe' | 'too_large' | 'bad_archive';
  constructor(kind: UnpackError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** One file of an unpacked artifact, by which a later start finds out whether it is still the same. */
export interface ListedFile {
  /** Relative, with slashes. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}
export type Listing = readonly ListedFile[];

interface Link {
  readonly path: string;
  readonly target: string;
}

/**
 * A folder that is filled from an archive. Names can't leave it: no absolute ones, no `..`, and while
 * files are written there is no symbolic link that a name could go through: those are made last, and each is
 * followed to its end to see that it stays inside. Of an entry's mode only the execute bit counts, since
 * the owner that the rest speaks of is nobody here; so nothing is setuid.
 */
export class Tree {
  readonly #root: string;
  readonly #limits: UnpackLimits;
  readonly #meter: Meter;
  readonly #signal: AbortSignal;
  readonly #files = new Map<string, ListedFile>();
  readonly #links: Link[] = [];
  readonly #folders = new Set<string>();
  #entries = 0;
  #bytes = 0;

  constructor(root: string, limits: UnpackLimits, { meter, signal }: { readonly meter: Meter; readonly signal: AbortSignal }) {
    this.#root = root;
    this.#limits = limits;
    this.#meter = meter;
    this.#signal = signal;
  }

  async folder(name: string): Promise<void> {
    this.#countEntry();
    const path = safePath(name);
    if (path !== '') await this.#makeFolder(path, name);
  }

  /** `body` is read to its end, or destroyed. */
  async file(name: string, mode: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    this.#countEntry();
    const path = await this.#place(name);
    const hash = createHash('sha256');
    const handle = await open(join(this.#root, path), 'wx', (mode & 0o100) === 0 ? 0o644 : 0o755).catch((error: unknown) =>
      Promise.reject(asTwice(error, name)),
    );
    let size = 0;
    try {
      for await (const chunk of body) {
        this.#signal.throwIfAborted();
        size += chunk.length;
        this.#countBytes(chunk.length);
        await this.#meter(chunk.length);
        hash.update(chunk);
        for (let start = 0; start < chunk.length; ) start += (await handle.write(chunk, start)).bytesWritten;
      }
      // The umask of the node must not decide who may read it.
      await handle.chmod((mode & 0o100) === 0 ? 0o644 : 0o755);
    } finally {
      await handle.close();
    }
    this.#files.set(path, { path, size, sha256: hash.digest('hex') });
  }

  /** Another name of a file that came before. */
  async hardLink(name: string, target: string): Promise<void> {
    this.#countEntry();
    const path = await this.#place(name);
    const fault = faultOf(target);
    if (fault !== undefined) throw unsafe(name, `it is a hard link, and the name of its target, ${quoted(target)}, ${fault}`);
    const original = this.#files.get(safePath(target));
    if (original === undefined)
      throw unsafe(name, `it is a hard link to ${quoted(target)}, which is no file that the archive holds before it`);
    await link(join(this.#root, original.path), join(this.#root, path)).catch((error: unknown) => Promise.reject(asTwice(error, name)));
    this.#files.set(path, { ...original, path });
  }

  async symbolicLink(name: string, target: string): Promise<void> {
    this.#countEntry();
    if (target === '' || target.includes('\0')) throw unsafe(name, 'it is a symbolic link to nothing');
    if (isAbsolute(target) || /^[A-Za-z]:|^[\\/]/.test(target))
      throw unsafe(name, `it is a symbolic link out of the archive, to ${quoted(target)}`);
    this.#links.push({ path: await this.#place(name), target });
  }

  /** Makes the links, once no more files come, and tells what there is. */
  async finish(): Promise<Listing> {
    const root = await realpath(this.#root);
    for (const { path, target } of this.#links) {
      await symlink(target, join(this.#root, path)).catch((error: unknown) => Promise.reject(asTwice(error, path)));
    }
    for (const { path, target } of this.#links) {
      const end = await realpath(join(root, path)).catch(() => undefined);
      if (end === undefined) throw unsafe(path, `it is a symbolic link to ${quoted(target)}, which the archive does not hold`);
      const inside = relative(root, end);
      if (inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
        throw unsafe(path, `it is a symbolic link out of the archive, to ${quoted(target)}`);
      }
    }
    return [...this.#files.values()];
  }

  /** The safe path of a new entry, with the folders above it made. */
  async #place(name: string): Promise<string> {
    const path = safePath(name);
    if (path === '') throw unsafe(name, 'it has no name');
    await this.#makeFolder(dirname(path), name);
    return path;
  }

  async #makeFolder(path: string, name: string): Promise<void> {
    if (path === '.' || this.#folders.has(path)) return;
    await this.#makeFolder(dirname(path), name);
    await mkdir(join(this.#root, path), { mode: 0o755 }).catch((error: unknown) => Promise.reject(asTwice(error, name)));
    this.#folders.add(path);
  }

  #countEntry(): void {
    this.#signal.throwIfAborted();
    this.#entries += 1;
    if (this.#entries <= this.#limits.max_entries) return;
    throw new UnpackError('too_large', `the archive has more than ${this.#limits.max_entries} entries`);
  }

  #countBytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes <= this.#limits.max_bytes) return;
    throw new UnpackError('too_large', `the archive has more than ${this.#limits.max_bytes} bytes when it is unpacked`);
  }
}

/** Relative, with slashes, without `.` and empty parts; the empty string for the root itself. Throws `UnpackError`. */
export function safePath(name: string): string {
  const fault = faultOf(name);
  if (fault !== undefined) throw unsafe(name, `its name ${fault}`);
  return partsOf(name).join('/');
}

/** Why a name is not safe; undefined for one that is. */
function faultOf(name: string): string | undefined {
  if (name.includes('\0')) return 'holds a NUL character';
  if (name.includes('\\')) return 'holds a backslash, which is a folder on some systems';
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) return 'is absolute';
  return partsOf(name).includes('..') ? 'leaves the archive' : undefined;
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.');
}

export function unsafe(name: string, why: string): UnpackError {
  return new UnpackError('unsafe', `the archive was not unpacked because of its entry ${quoted(name)}: ${why}`);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function asTwice(error: unknown, name: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EEXIST') return new UnpackError('unsafe', `the archive names ${quoted(name)} twice, or as a file and as a folder`);
  if (code === 'ENAMETOOLONG') return new UnpackError('bad_archive', `the name ${quoted(name)} in the archive is too long for this disk`);
  return error;
}
