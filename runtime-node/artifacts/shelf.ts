import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import { Count, Sha256 } from '../../shared/contract/ids.ts';
import { syncFolder } from '../adapters/sync-folder.ts';
import { codeOf } from '../thrown.ts';
import type { Listing } from './tree.ts';
import type { Packing } from './unpack.ts';

const ListingFile = z.object({ files: z.array(z.object({ path: z.string(), size: Count, sha256: Sha256 })) });

/** An artifact's folder is named by its hash; a plain file has its name in it too, since that is no part of the bytes. */
export function folderName(sha256: string, packing: Packing): string {
  return packing.kind === 'file' ? `${sha256}.${packing.name}` : sha256;
}

/**
 * The unpacked artifacts of a node: `<hash>/` with what was in one, and `<hash>.json` with the hashes of its files. A
 * folder stands under its name only when it is whole: it is filled beside it and renamed.
 */
export class Shelf {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  path(name: string): string {
    return join(this.root, name);
  }

  /** Where the bytes of an artifact gather. */
  async partial(sha256: string): Promise<string> {
    const folder = join(this.root, 'partial');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return join(folder, sha256);
  }

  async has(name: string): Promise<boolean> {
    return (await stat(this.path(name)).catch(() => undefined))?.isDirectory() === true;
  }

  /** What differs from what was unpacked, in words; undefined when nothing does. Files that came later do not matter. */
  async findDamage(name: string): Promise<string | undefined> {
    const listing = await this.#readListing(name);
    if (listing === undefined) return 'the list of its files is not there or can not be read';
    for (const { path, size, sha256 } of listing) {
      const file = join(this.path(name), path);
      const found = await lstat(file).catch(() => undefined);
      if (found === undefined) return `${path} is gone`;
      if (!found.isFile()) return `${path} is no file any more`;
      if (found.size !== size) return `${path} has ${found.size} bytes, not ${size}`;
      if ((await hashOf(file)) !== sha256) return `${path} has other contents`;
    }
    return undefined;
  }

  /** Moves a folder out of the way, for a person to look at. Only the last one is kept. */
  async setAside(name: string): Promise<string> {
    const aside = `${this.path(name)}.damaged`;
    await rm(aside, { recursive: true, force: true });
    await rename(this.path(name), aside);
    return aside;
  }

  /** Fills a new folder and puts it in its place. What `fill` leaves when it rejects is removed. */
  async add(name: string, fill: (folder: string, scratch: string) => Promise<Listing>): Promise<string> {
    const [fresh, scratch] = [join(this.root, `.new-${name}`), join(this.root, `.zip-${name}`)];
    await mkdir(this.root, { recursive: true, mode: 0o711 });
    await rm(fresh, { recursive: true, force: true });
    try {
      await mkdir(fresh, { mode: 0o755 });
      const files = await fill(fresh, scratch);
      await writeFile(`${this.path(name)}.json`, JSON.stringify({ files }), { mode: 0o600 });
      await rename(fresh, this.path(name));
      await syncFolder(this.root);
      return this.path(name);
    } catch (error) {
      for (const left of [fresh, scratch]) await rm(left, { recursive: true, force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** Removes what no longer has to stay, and what a crash left. */
  async removeAllBut(keeps: (sha256: string) => boolean): Promise<void> {
    const names = await readdir(this.root).catch(() => []);
    const partials = (await readdir(join(this.root, 'partial')).catch(() => [])).map((name) => join('partial', name));
    for (const name of [...names, ...partials]) {
      const sha256 = /(?:^|[/\\]|^\.new-|^\.zip-)([0-9a-f]{64})(?:\.|$)/.exec(name)?.[1];
      if (sha256 !== undefined && !keeps(sha256)) await rm(join(this.root, name), { recursive: true, force: true });
    }
  }

  async #readListing(name: string): Promise<Listing | undefined> {
    try {
      return ListingFile.parse(JSON.parse(await readFile(`${this.path(name)}.json`, 'utf8'))).files;
    } catch (error) {
      if (codeOf(error) === 'EMFILE') throw error;
      return undefined;
    }
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
