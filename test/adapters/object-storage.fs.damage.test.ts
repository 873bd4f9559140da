import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { bodyFiles, openFs, temporaryRoot } from './object-storage.fs.support.ts';

const BLOCK_BYTES = 256 * 1024;

async function flipBit(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = new Uint8Array(1);
    await file.read(byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ 1;
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
}

describe('damage on disk', () => {
  const root = temporaryRoot();
  let storage: FsStorage;
  beforeEach(async () => {
    storage = await openFs(root.path);
    await storage.ensureBucket('bucket');
  });
  afterEach(() => storage.close());

  const store = async (size: number) => {
    await storage.put('bucket', 'key', new Uint8Array(size).fill(7));
    const [file] = await bodyFiles(root.path);
    return file ?? '';
  };
  /** What a consumer gets until the stream ends or errors. */
  const consume = async (options = {}) => {
    const bytes: number[] = [];
    const reader = (await storage.get('bucket', 'key', options)).body.getReader();
    for (;;) {
      const { done, value } = await reader
        .read()
        .catch((error: unknown) => Promise.reject(Object.assign(error as Error, { got: bytes.length })));
      if (done) return bytes.length;
      for (const byte of value) bytes.push(byte);
    }
  };

  test.each([1, 100, BLOCK_BYTES])('a flipped bit in a body of %i bytes rejects the get', async (size) => {
    const file = await store(size);
    await flipBit(file, size - 1);
    await expect(storage.get('bucket', 'key')).rejects.toMatchObject({ kind: 'corrupt', message: expect.stringContaining('bucket/key') });
    expect((await storage.head('bucket', 'key')).size).toBe(size);
  });

  test('a flipped bit further back errors the stream before any damaged byte', async () => {
    const file = await store(4 * BLOCK_BYTES);
    await flipBit(file, 2 * BLOCK_BYTES + 5);
    await expect(consume()).rejects.toMatchObject({ kind: 'corrupt', got: 2 * BLOCK_BYTES });
  });

  test('the last block is held back when the whole differs from its SHA-256', async () => {
    await store(3 * BLOCK_BYTES);
    await storage.close();
    const catalog = new Database(join(root.path, 'catalog.sqlite'));
    catalog.prepare("update versions set sha256 = 'other'").run();
    catalog.close();
    storage = await openFs(root.path);
    await expect(consume()).rejects.toMatchObject({ kind: 'corrupt', got: 2 * BLOCK_BYTES });
  });

  test('a range is refused when its own blocks are damaged, and only then', async () => {
    const file = await store(3 * BLOCK_BYTES);
    await flipBit(file, BLOCK_BYTES + 10);
    expect(await consume({ range: { start: 0, end: 99 } })).toBe(100);
    expect(await consume({ range: { start: 2 * BLOCK_BYTES } })).toBe(BLOCK_BYTES);
    await expect(consume({ range: { start: BLOCK_BYTES + 500, end: BLOCK_BYTES + 600 } })).rejects.toMatchObject({ kind: 'corrupt' });
  });

  test.each([0, 99, 101])('a body of 100 bytes that has %i on disk is corrupt', async (size) => {
    const file = await store(100);
    if (size < 100) await truncate(file, size);
    else await writeFile(file, new Uint8Array(size).fill(7));
    await expect(storage.get('bucket', 'key')).rejects.toMatchObject({ kind: 'corrupt' });
  });

  test('a body that is missing is corrupt, not absent', async () => {
    await rm(await store(100));
    await expect(storage.get('bucket', 'key')).rejects.toMatchObject({ kind: 'corrupt' });
    await storage.put('bucket', 'key', new Uint8Array(5));
    expect(await consume()).toBe(5);
  });

  test('a damaged catalog is said at the start', async () => {
    await storage.close();
    await writeFile(join(root.path, 'catalog.sqlite'), 'this is no database, and it is long enough to be read as one'.repeat(20));
    await expect(openFs(root.path)).rejects.toMatchObject({ kind: 'corrupt', message: expect.stringContaining('catalog.sqlite') });
  });

  test('a catalog of a later format is refused and left as it is', async () => {
    await storage.close();
    const path = join(root.path, 'catalog.sqlite');
    const catalog = new Database(path);
    catalog.pragma('user_version = 99');
    catalog.close();
    const before = await readFile(path);
    await expect(openFs(root.path)).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining('format 99') });
    expect(await readFile(path)).toEqual(before);
  });
});
