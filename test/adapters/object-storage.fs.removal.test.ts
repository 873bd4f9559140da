import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import type { FsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { bodyFiles, openFs, temporaryRoot } from './object-storage.fs.support.ts';

const OBJECTS = 220;

describe('removal of a bucket with content', () => {
  const root = temporaryRoot();

  test('is not seen again after kill -9, and is finished by the next start', async () => {
    const left = [];
    await withStorage(root.path, (storage) => fill(storage, 'other', 3));
    for (const turns of [0, 3, 20, 60]) {
      await withStorage(root.path, (storage) => fill(storage, 'doomed', OBJECTS));
      await removeAndDie(root.path, turns);
      left.push(rowsLeft(root.path) - 3);
      await withStorage(root.path, async (storage) => {
        expect(await storage.readBuckets(['doomed'])).toEqual([]);
        await startedOnce(storage);
        expect(await storage.bucketStats('other')).toMatchObject({ objects: 3 });
        expect(await bodyFiles(root.path)).toHaveLength(3);
      });
      expect(rowsLeft(root.path)).toBe(3);
    }
    expect(left.some((rows) => rows > 0 && rows < OBJECTS)).toBe(true);
  });

  test('that a crash cut off does not come back into a new bucket of that name', async () => {
    await withStorage(root.path, (storage) => fill(storage, 'doomed', 120));
    // As a crash leaves it after the first commit.
    withCatalog(root.path, (db) => db.exec("insert into removals (bucket) values ('doomed')"));
    await withStorage(root.path, async (storage) => {
      expect(await storage.readBuckets(['doomed'])).toEqual([]);
      await expect(storage.list('doomed')).rejects.toMatchObject({ kind: 'no_such_bucket' });
      await storage.ensureBucket('doomed');
      expect((await storage.list('doomed')).objects).toEqual([]);
      await storage.put('doomed', 'new', new Uint8Array([1]));
      await startedOnce(storage);
      expect(await storage.bucketStats('doomed')).toMatchObject({ objects: 1, bytes: 1 });
    });
  });

  test('leaves what is being read whole, and refuses what is being written', async () => {
    await withStorage(root.path, async (storage) => {
      await storage.ensureBucket('doomed');
      await storage.put('doomed', 'read', new Uint8Array(600_000).fill(7));
      const { body } = await storage.get('doomed', 'read');
      const { promise: gate, resolve: open } = Promise.withResolvers<void>();
      const slow = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await gate;
          controller.enqueue(new Uint8Array([1]));
          controller.close();
        },
      });
      const put = storage.put('doomed', 'late', slow).catch((error: unknown) => error);
      await storage.removeBucket('doomed');
      open();
      expect(await put).toMatchObject({ kind: 'no_such_bucket' });
      expect((await new Response(body as BodyInit).arrayBuffer()).byteLength).toBe(600_000);
      expect(await bodyFiles(root.path)).toEqual([]);
    });
  });

  test('is shown before it begins, as at least so many where there is more', async () => {
    await withStorage(root.path, (storage) => storage.ensureBucket('large'));
    withCatalog(root.path, (db) =>
      db.exec(`
        insert into versions (bucket, key, version_id, latest, delete_marker, size, modified_ms)
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 10001)
        select 'large', cast('k' || n as blob), 'null', 1, 0, 2, 0 from numbers
      `),
    );
    await withStorage(root.path, async (storage) => {
      const stats = await storage.bucketStats('large');
      expect(stats).toEqual({ objects: 10_000, older_versions: 0, bytes: 20_000, unfinished_uploads: 0, truncated: true });
    });
  });

  test('opens a catalog that was made before buckets could be removed', async () => {
    await withStorage(root.path, (storage) => fill(storage, 'old', 2));
    withCatalog(root.path, (db) => db.exec('drop table removals'));
    await withStorage(root.path, async (storage) => {
      await storage.removeBucket('old');
      expect(await storage.readBuckets(['old'])).toEqual([]);
    });
  });
});

async function fill(storage: FsStorage, bucket: string, objects: number): Promise<void> {
  await storage.ensureBucket(bucket);
  await Promise.all(Array.from({ length: objects }, (_, n) => storage.put(bucket, `some/${n}`, new Uint8Array([n % 256]))));
}

/** What an owner does when it starts, without the expiry that follows. */
async function startedOnce(storage: FsStorage): Promise<void> {
  await storage.run(AbortSignal.abort());
}

async function withStorage(path: string, work: (storage: FsStorage) => Promise<void>): Promise<void> {
  const storage = await openFs(path, { seed: Math.floor(Math.random() * 2 ** 30) });
  try {
    await work(storage);
  } finally {
    await storage.close();
  }
}

async function removeAndDie(path: string, turns: number): Promise<void> {
  const script = resolve(import.meta.dirname, 'object-storage.fs.remover.ts');
  const child = spawn(process.execPath, [script, path, String(turns)], { stdio: ['ignore', 'ignore', 'inherit'] });
  expect((await once(child, 'exit'))[1]).toBe('SIGKILL');
}

function withCatalog<T>(path: string, work: (db: Database.Database) => T): T {
  const db = new Database(`${path}/catalog.sqlite`);
  try {
    return work(db);
  } finally {
    db.close();
  }
}

function rowsLeft(path: string): number {
  return withCatalog(path, (db) => Number(db.prepare('select count(*) from versions').pluck().get()));
}
