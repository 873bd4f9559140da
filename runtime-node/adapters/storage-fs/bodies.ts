import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type ObjectBody, StorageError } from '../../../shared/ports/object-storage.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { codeOf } from '../../thrown.ts';
import { syncFolder } from '../sync-folder.ts';

/** Bytes that share one CRC-32: what a range read has to read at least, and what memory one read or write takes. */
export const BLOCK_BYTES = 256 * 1024;

/** What the catalog keeps of a body, so that any part of it can be verified alone. */
export interface BodyFile {
  readonly id: string;
  readonly size: number;
  readonly sha256: string;
  /** CRC-32 of each block of `BLOCK_BYTES`, 4 bytes big-endian each. */
  readonly crcs: Uint8Array;
}

/**
 * The files that hold the bodies. A file is named by a random id and never by its key, so that no key
 * can leave the folder, collide on a case-insensitive file system or meet a reserved name. A file is
 * written once, and is an object's body only when a row of the catalog says so: what a crash leaves
 * behind is found by `sweep`.
 */
export class Bodies {
  readonly #folder: string;
  readonly #random: Random;
  /** Written, but not yet in the catalog. */
  readonly #unclaimed = new Set<string>();

  constructor(folder: string, random: Random) {
    this.#folder = folder;
    this.#random = random;
  }

  /** Writes a body durably. `claim` must follow once the catalog has it, else `discard`. */
  async write(body: ObjectBody): Promise<BodyFile> {
    const { id, handle } = await this.#create();
    try {
      const written = await writeBlocks(handle, body);
      await handle.sync();
      await handle.close();
      await syncFolder(this.#shard(id));
      return { id, ...written };
    } catch (error) {
      await handle.close().catch(() => undefined);
      await this.discard(id);
      throw error;
    }
  }

  claim(id: string): void {
    this.#unclaimed.delete(id);
  }

  /** Drops a body that no row names (any more). What can't be removed now is left to the next sweep. */
  async discard(id: string): Promise<void> {
    await unlink(this.#path(id)).catch(() => undefined);
    this.#unclaimed.delete(id);
  }

  open(id: string): Promise<FileHandle> {
    return open(this.#path(id), 'r');
  }

  /** Removes the files that `known` has no row for; returns how many. Safe beside writes. */
  async sweep(known: (id: string) => boolean): Promise<number> {
    let removed = 0;
    for (const shard of await readdir(this.#folder)) {
      const names = await readdir(join(this.#folder, shard));
      const orphans = names.filter((id) => !this.#unclaimed.has(id) && !known(id));
      for (const id of orphans) await this.discard(id);
      removed += orphans.length;
    }
    return removed;
  }

  async #create(): Promise<{ id: string; handle: FileHandle }> {
    for (let attempt = 0; ; attempt += 1) {
      const id = this.#random.uuid();
      this.#unclaimed.add(id);
      try {
        return { id, handle: await this.#createFile(id) };
      } catch (error) {
        this.#unclaimed.delete(id);
        // An id that is taken happens only with a seeded source that started over.
        if (codeOf(error) !== 'EEXIST' || attempt === 1000) throw error;
      }
    }
  }

  async #createFile(id: string): Promise<FileHandle> {
    try {
      return await open(this.#path(id), 'wx', 0o600);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await mkdir(this.#shard(id), { recursive: true, mode: 0o700 });
      await syncFolder(this.#folder);
      return await open(this.#path(id), 'wx', 0o600);
    }
  }

  #path(id: string): string {
    return join(this.#shard(id), id);
  }

  /** 256 folders, by the random end of the id: its start is a time and would fill one folder after the other. */
  #shard(id: string): string {
    return join(this.#folder, id.slice(-2));
  }
}

async function writeBlocks(handle: FileHandle, body: ObjectBody): Promise<Omit<BodyFile, 'id'>> {
  const sha256 = createHash('sha256');
  const crcs: number[] = [];
  let size = 0;
  for await (const block of blocksOf(body)) {
    sha256.update(block);
    crcs.push(crc32(block));
    size += block.length;
    await writeAll(handle, block);
  }
  const list = Buffer.alloc(crcs.length * 4);
  crcs.forEach((crc, index) => {
    list.writeUInt32BE(crc, index * 4);
  });
  return { size, sha256: sha256.digest('hex'), crcs: list };
}

/** The body in full blocks, the last one perhaps shorter. A yielded block is valid until the next one is asked for. */
async function* blocksOf(body: ObjectBody): AsyncGenerator<Uint8Array> {
  if (body instanceof Uint8Array) {
    for (let start = 0; start < body.length; start += BLOCK_BYTES) yield body.subarray(start, start + BLOCK_BYTES);
    return;
  }
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  let filled = 0;
  for await (const chunk of chunksOf(body)) {
    for (let start = 0; start < chunk.length; ) {
      const piece = chunk.subarray(start, start + BLOCK_BYTES - filled);
      block.set(piece, filled);
      filled += piece.length;
      start += piece.length;
      if (filled < BLOCK_BYTES) continue;
      yield block;
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

/** Cancels the stream when the consumer stops early (a full disk), so that its source is released. */
async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        ended = true;
        throw new StorageError('failed', `the body's stream broke off, nothing was kept: ${String(cause)}`, { cause });
      });
      if (done) break;
      if (!(value instanceof Uint8Array)) throw new StorageError('failed', 'the body must be a stream of Uint8Array');
      yield value;
    }
    ended = true;
  } finally {
    if (!ended) await reader.cancel().catch(() => undefined);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let start = 0; start < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, start, bytes.length - start);
    start += bytesWritten;
  }
}
