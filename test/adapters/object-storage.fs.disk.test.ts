import { spawnSync } from 'node:child_process';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toStorageError } from '../../runtime-node/adapters/storage-fs/errors.ts';
import type { FsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { StorageError } from '../../shared/ports/object-storage.ts';
import { bodyFiles, openFs, temporaryRoot } from './object-storage.fs.support.ts';

describe('the storage folder', () => {
  const root = temporaryRoot();
  let storage: FsStorage;
  beforeEach(async () => {
    storage = await openFs(join(root.path, 'new', 'storage'));
    await storage.ensureBucket('bucket');
  });
  afterEach(() => storage.close());
  const folder = () => join(root.path, 'new', 'storage');

  test('is made for its user alone, and so are the bodies', async () => {
    await storage.put('bucket', 'key', new Uint8Array(10));
    expect((await stat(folder())).mode & 0o777).toBe(0o700);
    for (const file of await bodyFiles(folder())) expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test('keeps every name inside itself', async () => {
    const hostile = [
      '../../escape',
      '/etc/escape',
      '..',
      '.',
      'a/../../b',
      'CON',
      'nul.txt',
      'x\\y',
      'line\nbreak',
      'nul\0byte',
      'x'.repeat(1024),
    ];
    for (const key of hostile) await storage.put('bucket', key, new TextEncoder().encode(key));
    expect(await readdir(root.path)).toEqual(['new']);
    for (const file of await bodyFiles(folder())) expect(file.slice(folder().length)).toMatch(/^\/bodies\/[0-9a-f]{2}\/[0-9a-f-]{36}$/);
    for (const key of hostile) {
      const { body } = await storage.get('bucket', key);
      expect(await new Response(body as BodyInit).text()).toBe(key);
    }
    expect((await storage.list('bucket')).objects).toHaveLength(hostile.length);
  });

  test('holds one file for each body and none for what was replaced or deleted', async () => {
    for (let round = 0; round < 5; round += 1) for (const key of ['a', 'b']) await storage.put('bucket', key, new Uint8Array(round));
    await storage.delete('bucket', 'a');
    expect(await bodyFiles(folder())).toHaveLength(1);
    expect(await storage.sweep()).toBe(0);
  });

  test('loses what a crash left, and only that, in a sweep', async () => {
    await storage.put('bucket', 'kept', new Uint8Array([1, 2, 3]));
    await storage.ensureVersioning('bucket', true);
    await storage.put('bucket', 'kept', new Uint8Array([4]));
    await mkdir(join(folder(), 'bodies', 'ff'), { recursive: true });
    await writeFile(join(folder(), 'bodies', 'ff', '0192aaaa-0000-7000-8000-0000000000ff'), 'left by a crash');
    expect(await storage.sweep()).toBe(1);
    expect(await bodyFiles(folder())).toHaveLength(2);
  });

  test('a sweep beside a put leaves the body that is being written', async () => {
    let send: (chunk?: Uint8Array) => void = () => undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        send = (chunk) => (chunk === undefined ? controller.close() : controller.enqueue(chunk));
      },
    });
    const putting = storage.put('bucket', 'slow', body);
    send(new Uint8Array(300_000));
    while ((await bodyFiles(folder())).length === 0);
    expect(await storage.sweep()).toBe(0);
    send();
    expect((await putting).size).toBe(300_000);
    expect((await storage.get('bucket', 'slow')).info.size).toBe(300_000);
  });

  test('keeps everything over a restart', async () => {
    await storage.ensureVersioning('bucket', true);
    await storage.ensureTags('bucket', { team: 'edge' });
    await storage.ensureLifecycle('bucket', [{ id: 'a', prefix: 'x', expire_days: 3 }]);
    for (const text of ['one', 'two']) await storage.put('bucket', 'key', new TextEncoder().encode(text), { content_type: 'text/plain' });
    const before = [await storage.readBuckets(['bucket']), await storage.listVersions('bucket')];
    await storage.close();
    // The same seed again: ids that are taken must not be used twice.
    storage = await openFs(folder());
    expect([await storage.readBuckets(['bucket']), await storage.listVersions('bucket')]).toEqual(before);
    await storage.put('bucket', 'key', new TextEncoder().encode('three'));
    expect(new Set((await storage.listVersions('bucket')).map(({ version_id }) => version_id)).size).toBe(3);
  });

  test('does as S3 does where simpler storages differ', async () => {
    await storage.ensureVersioning('bucket', false);
    expect((await storage.readBuckets(['bucket']))[0]?.versioning).toBe('suspended');
    await storage.ensureVersioning('bucket', true);
    await storage.delete('bucket', 'absent');
    expect(await storage.listVersions('bucket')).toMatchObject([{ key: 'absent', delete_marker: true, latest: true }]);
  });

  test('belongs to one storage at a time', async () => {
    await expect(openFs(folder())).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining('another process') });
    await storage.close();
    await (await openFs(folder())).close();
  });

  test('a closed storage refuses calls, and close waits for those under way', async () => {
    const putting = storage.put('bucket', 'key', new Uint8Array(1_000_000));
    const { body } = await storage.put('bucket', 'read', new Uint8Array(1_000_000)).then(() => storage.get('bucket', 'read'));
    await storage.close();
    await storage.close();
    expect((await putting).size).toBe(1_000_000);
    await expect(storage.readBuckets(['bucket'])).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining('closed') });
    await expect(new Response(body as BodyInit).arrayBuffer()).rejects.toThrow();
  });

  test('a refused put releases the source of its body', async () => {
    let cancelled = 0;
    const cancel = () => {
      cancelled += 1;
    };
    const body = () => new ReadableStream<Uint8Array>({ cancel });
    await expect(storage.put('missing-bucket', 'key', body())).rejects.toMatchObject({ kind: 'no_such_bucket' });
    await expect(storage.put('bucket', '', body())).rejects.toMatchObject({ kind: 'bad_name' });
    expect(cancelled).toBe(2);
  });

  test.each([0, 1001, 1.5, -1])('list refuses the limit %d', async (limit) => {
    await expect(storage.list('bucket', { limit })).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('1 to 1000'),
    });
  });

  test.each([{ start: 5, end: 4 }, { start: -1 }, { start: 0.5 }])('get refuses the range %j', async (range) => {
    await storage.put('bucket', 'key', new Uint8Array(10));
    await expect(storage.get('bucket', 'key', { range })).rejects.toMatchObject({ kind: 'range_not_satisfiable' });
  });
});

describe('a disk that refuses', () => {
  const root = temporaryRoot();

  test('full and read-only disks are told apart and lose nothing', async (context) => {
    const script = resolve(import.meta.dirname, 'object-storage.fs.small-disk.ts');
    // A real small disk, in a mount namespace of its own that ends with the child.
    const shell = `mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" "$3" "$1"`;
    const child = spawnSync(
      'unshare',
      ['--user', '--map-root-user', '--mount', 'sh', '-c', shell, 'sh', root.path, process.execPath, script],
      {
        encoding: 'utf8',
      },
    );
    if (child.error !== undefined || /unshare|mount/.test(child.stderr))
      context.skip(`no small disk can be mounted here: ${child.stderr || child.error}`);
    expect(child.stderr).toBe('');
    expect(JSON.parse(child.stdout)).toEqual({
      full_put: 'full',
      full_stream: 'full',
      many: 'full',
      old: 'old',
      bodies_left: true,
      deletes: ['stored'],
      after_space: 'stored',
      read_only: 'failed',
      read_only_message: 'the file system is read-only (EROFS); remount it writable',
    });
  });

  test.each([
    ['ENOSPC', 'full', 'disk is full'],
    ['EDQUOT', 'full', 'quota'],
    ['SQLITE_FULL', 'full', 'disk is full'],
    ['EROFS', 'failed', 'read-only'],
    ['EACCES', 'failed', 'permission'],
    ['SQLITE_BUSY', 'failed', 'another process'],
    ['SQLITE_CORRUPT_INDEX', 'corrupt', 'damaged'],
    ['EIO', 'failed', 'input/output'],
  ])('%s becomes %s', (code, kind, words) => {
    const error = toStorageError(Object.assign(new Error('input/output error'), { code }), 'store bucket/key');
    expect(error).toBeInstanceOf(StorageError);
    expect(error.kind).toBe(kind);
    expect(error.message).toMatch(new RegExp(`^could not store bucket/key: .*${words}`));
  });
});
