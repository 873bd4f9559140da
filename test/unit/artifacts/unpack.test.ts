import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NoRoomError, Room } from '../../../runtime-node/artifacts/room.ts';
import { type Tree, UnpackError, type UnpackLimits } from '../../../runtime-node/artifacts/tree.ts';
import { packingOf, unpack } from '../../../runtime-node/artifacts/unpack.ts';
import { unpackZip } from '../../../runtime-node/artifacts/zip.ts';
import { sha256, tarOf, tgzOf, zipOf } from '../../support/archives.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 ** 2;
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'unpack-'));
  await mkdir(join(home, 'in'));
});
afterEach(() => rm(home, { recursive: true }));

const roomy = new Room('', async () => undefined);
const run = (path: string, bytes: Uint8Array, limits?: UnpackLimits, signal = new AbortController().signal, room = roomy) =>
  unpack({
    packing: packingOf(path),
    open: async () => Readable.from(pieces(bytes)),
    folder: join(home, 'in'),
    scratch: join(home, 'scratch'),
    signal,
    room,
    ...(limits === undefined ? {} : { limits }),
  });
const failure = (path: string, bytes: Uint8Array, limits?: UnpackLimits) =>
  run(path, bytes, limits).then(
    () => ({ kind: 'unpacked', message: '' }),
    (error: unknown) => (error instanceof UnpackError ? error : { kind: 'another error', message: String(error) }),
  );
/** Nothing may be beside the folder that was given. */
const outside = async () => (await readdir(home)).filter((name) => name !== 'in');
const read = (path: string) => readFile(join(home, 'in', path), 'utf8');
const modeOf = async (path: string) => ((await stat(join(home, 'in', path))).mode & 0o7777).toString(8);

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 1000) yield bytes.subarray(start, start + 1000);
}

describe('what is unpacked', () => {
  const entries = [
    { name: './bin/', type: 'directory' as const },
    { name: './bin/server', mode: 0o4755, body: '#!/bin/sh\n' },
    { name: 'lib/data.txt', mode: 0o600, body: 'x'.repeat(5000) },
    { name: 'current', type: 'symlink' as const, linkname: 'bin/server' },
    { name: 'lib/up', type: 'symlink' as const, linkname: '../bin' },
    { name: 'lib/same.txt', type: 'link' as const, linkname: './lib/data.txt' },
    { name: 'empty', body: '' },
  ];
  test.each([
    ['x.tar', tarOf],
    ['x.tar.gz', tgzOf],
    ['X.TGZ', tgzOf],
  ])('a tar as %s: files, folders, links; the execute bit and nothing else of the mode', async (path, make) => {
    const listing = await run(path, await make(entries));
    expect(await read('bin/server')).toBe('#!/bin/sh\n');
    expect(await read('lib/same.txt')).toBe('x'.repeat(5000));
    expect(await read('lib/up/server')).toBe('#!/bin/sh\n');
    expect(await readlink(join(home, 'in/current'))).toBe('bin/server');
    expect([await modeOf('bin/server'), await modeOf('lib/data.txt'), await modeOf('lib')]).toEqual(['755', '644', '755']);
    expect(listing).toContainEqual({ path: 'bin/server', size: 10, sha256: sha256(Buffer.from('#!/bin/sh\n')) });
    expect(listing.map((file) => file.path).sort()).toEqual(['bin/server', 'empty', 'lib/data.txt', 'lib/same.txt']);
    expect(await outside()).toEqual([]);
  });

  test('a zip of Unix and one of Windows, whose names have backslashes', async () => {
    await run(
      'x.zip',
      zipOf([
        { name: 'bin/', mode: 0o040755 },
        { name: 'bin/server', mode: 0o104755, body: '#!/bin/sh\n' },
        { name: 'current', mode: 0o120777, body: 'bin/server' },
        { name: 'lib\\data.txt', body: 'data' },
      ]),
    );
    expect([await read('current'), await read('lib/data.txt')]).toEqual(['#!/bin/sh\n', 'data']);
    expect([await modeOf('bin/server'), await modeOf('lib/data.txt')]).toEqual(['755', '644']);
    expect((await lstat(join(home, 'in/current'))).isSymbolicLink()).toBe(true);
    expect(await outside()).toEqual([]);
  });

  test('anything else is one file, ready to run', async () => {
    await run('dist/server', Buffer.from('#!/bin/sh\n'));
    expect([await read('server'), await modeOf('server')]).toEqual(['#!/bin/sh\n', '755']);
  });

  test.each(['', '.', '..', 'a/..', 'a\\b', `${'x'.repeat(181)}`])('the path %j names no file', (path) => {
    expect(() => packingOf(path)).toThrow(UnpackError);
  });
});

describe('what is refused, and writes nothing outside', () => {
  const tar: [string, Parameters<typeof tarOf>[0]][] = [
    ['a name with ..', [{ name: '../evil', body: 'x' }]],
    ['a name with .. in the middle', [{ name: 'a/../../evil', body: 'x' }]],
    ['an absolute name', [{ name: '/tmp/evil', body: 'x' }]],
    ['a drive', [{ name: 'C:/evil', body: 'x' }]],
    ['a backslash', [{ name: '..\\evil', body: 'x' }]],
    ['a folder with ..', [{ name: '../evil/', type: 'directory' }]],
    ['a symbolic link to above', [{ name: 'a', type: 'symlink', linkname: '..' }]],
    ['a symbolic link without a target', [{ name: 'a', type: 'symlink' }]],
    ['a hard link without a target', [{ name: 'a', type: 'link' }]],
    ['an absolute symbolic link', [{ name: 'a', type: 'symlink', linkname: '/etc' }]],
    ['a symbolic link to nothing', [{ name: 'a', type: 'symlink', linkname: 'missing' }]],
    [
      'a symbolic link that leaves through another',
      [
        { name: 'p/q/up', type: 'symlink', linkname: '../..' },
        { name: 'out', type: 'symlink', linkname: 'p/q/up/..' },
      ],
    ],
    [
      'a file through a symbolic link',
      [
        { name: 'a', type: 'symlink', linkname: '.' },
        { name: 'a/file', body: 'x' },
      ],
    ],
    ['a hard link to above', [{ name: 'a', type: 'link', linkname: '../../etc/passwd' }]],
    ['an absolute hard link', [{ name: 'a', type: 'link', linkname: '/etc/passwd' }]],
    ['a hard link to what is not in it', [{ name: 'a', type: 'link', linkname: 'b' }]],
    [
      'a hard link to a symbolic link',
      [
        { name: 'b', type: 'symlink', linkname: '/etc/passwd' },
        { name: 'a', type: 'link', linkname: 'b' },
      ],
    ],
    ['a character device', [{ name: 'a', type: 'character-device', devmajor: 1, devminor: 5 }]],
    ['a block device', [{ name: 'a', type: 'block-device', devmajor: 8, devminor: 0 }]],
    ['a pipe', [{ name: 'a', type: 'fifo' }]],
    [
      'the same file twice',
      [
        { name: 'a', body: '1' },
        { name: './a', body: '2' },
      ],
    ],
    [
      'a file and a folder of one name',
      [
        { name: 'a', body: '1' },
        { name: 'a/b', body: '2' },
      ],
    ],
  ];
  test.each(tar)('tar: %s', async (_, entries) => {
    const refused = await failure('x.tar', await tarOf([{ name: 'first', body: 'fine' }, ...entries]));
    expect(refused).toMatchObject({ kind: 'unsafe' });
    expect(refused.message).toMatch(/the archive/);
    expect(await outside()).toEqual([]);
  });

  test.each([
    ['/etc/passwd', 'is absolute'],
    ['../../etc/passwd', 'leaves the archive'],
    ['b', 'which is no file that the archive holds'],
  ])('tar: of a hard link to %s its own name is told, and what is wrong with its target', async (linkname, fault) => {
    const refused = await failure('x.tar', await tarOf([{ name: 'a', type: 'link', linkname }]));
    expect(refused.message).toContain(`its entry "a": it is a hard link`);
    expect(refused.message).toContain(JSON.stringify(linkname));
    expect(refused.message).toContain(fault);
  });

  const zip: [string, Parameters<typeof zipOf>[0]][] = [
    ['a name with ..', [{ name: '../evil', body: 'x' }]],
    ['a name with backslashes and ..', [{ name: '..\\..\\evil', body: 'x' }]],
    ['an absolute name', [{ name: '/tmp/evil', body: 'x' }]],
    ['a drive', [{ name: 'C:\\evil', body: 'x' }]],
    ['a symbolic link to above', [{ name: 'a', mode: 0o120777, body: '../..' }]],
    ['an endless link', [{ name: 'a', mode: 0o120777, body: 'x'.repeat(5000) }]],
    ['a pipe', [{ name: 'a', mode: 0o010644, body: '' }]],
  ];
  test.each(zip)('zip: %s', async (_, entries) => {
    expect(await failure('x.zip', zipOf([{ name: 'first', body: 'fine' }, ...entries]))).toMatchObject({ kind: 'unsafe' });
    expect(await outside()).toEqual([]);
  });

  test('too many entries, too many bytes: bombs are bounded by what they unpack to', async () => {
    const limits = { max_bytes: 1_000_000, max_entries: 10 };
    const zeros = new Uint8Array(20_000_000);
    expect(await failure('x.tgz', await tgzOf([{ name: 'a', body: zeros }]), limits)).toMatchObject({ kind: 'too_large' });
    await rm(join(home, 'in'), { recursive: true });
    await mkdir(join(home, 'in'));
    expect(await failure('x.zip', zipOf([{ name: 'a', body: zeros }]), limits)).toMatchObject({ kind: 'too_large' });
    await rm(join(home, 'in'), { recursive: true });
    await mkdir(join(home, 'in'));
    const many = Array.from({ length: 11 }, (_, index) => ({ name: `f${index}`, body: '' }));
    expect(await failure('x.tar', await tarOf(many), limits)).toMatchObject({ kind: 'too_large' });
    await rm(join(home, 'in'), { recursive: true });
    await mkdir(join(home, 'in'));
    expect(await failure('x.bin', zeros, limits)).toMatchObject({ kind: 'too_large' });
    expect(await outside()).toEqual([]);
  });

  test('what is no archive, or only a part of one', async () => {
    const whole = await tgzOf([{ name: 'a', body: 'x'.repeat(100_000) }]);
    const zipped = zipOf([{ name: 'a', body: 'x'.repeat(1000) }]);
    const bad: [string, Uint8Array][] = [
      ['x.tar.gz', whole.subarray(0, whole.length - 100)],
      ['x.tar.gz', Buffer.from('no gzip at all')],
      ['x.tar.gz', gzipSync('no tar at all'.repeat(100))],
      ['x.tar', (await tarOf([{ name: 'a', body: 'x'.repeat(3000) }])).subarray(0, 2000)],
      ['x.zip', Buffer.from('no zip at all')],
      ['x.zip', zipped.subarray(0, zipped.length - 30)],
      ['x.zip', zipOf([{ name: 'a', body: 'x'.repeat(1000), claimed: 10 }])],
      ['x.zip', zipOf([{ name: 'a', body: 'x', flags: 1 }])],
    ];
    for (const [path, bytes] of bad) {
      expect(await failure(path, bytes), path).toMatchObject({ kind: 'bad_archive' });
      await rm(join(home, 'in'), { recursive: true });
      await mkdir(join(home, 'in'));
    }
  });

  test('an entry of a zip that turns out bad before anybody reads it is an error and no crash', async () => {
    const seen: string[] = [];
    const file = async (name: string, _mode: number, body: Readable) => {
      seen.push(name);
      await until('the entry to fail', async () => body.errored !== null);
      for await (const _ of body);
    };
    const packed = Readable.from([zipOf([{ name: 'a', body: 'x'.repeat(1000), claimed: 10 }])]);
    const unpacking = unpackZip({ file } as unknown as Tree, packed, { path: join(home, 'scratch'), meter: async () => undefined });
    await expect(unpacking).rejects.toMatchObject({ kind: 'bad_archive' });
    expect(seen).toEqual(['a']);
  });

  test.each([
    ['x.tar', tarOf],
    ['x.tgz', tgzOf],
    ['x.zip', async (entries: Parameters<typeof zipOf>[0]) => zipOf(entries)],
    ['x.bin', async () => new Uint8Array(MIB)],
  ])('a disk without room for it ends %s with what is free there, and it may be tried again', async (path, make) => {
    const bytes = await make([{ name: 'a', body: 'x'.repeat(MIB) }]);
    const room = new Room('/data/artifacts', async () => ({ free: 16 * MIB + 10, size: 40 * MIB }));
    const error = await run(path, bytes, undefined, undefined, room).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(NoRoomError);
    expect(String(error)).toMatch(/MB are free in \/data\/artifacts, of which 16\.8 MB are left to the node; free some space there/);
    expect(await outside()).toEqual([]);
  });

  test('a zip that fits packed and not unpacked is no bad archive', async () => {
    let looks = 0;
    const disk = async () => ({ free: looks++ === 0 ? 30 * MIB : 16 * MIB, size: 40 * MIB });
    const unpacking = run('x.zip', zipOf([{ name: 'a', body: 'x' }]), undefined, undefined, new Room('/data', disk));
    await expect(unpacking).rejects.toThrow(NoRoomError);
    expect(looks).toBe(2);
    expect(await outside()).toEqual([]);
  });

  test('an abort ends it, and an error of the source is told as it is', async () => {
    const bytes = await tarOf([{ name: 'a', body: 'x' }]);
    await expect(run('x.tar', bytes, undefined, AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
    const breaking = async function* () {
      yield bytes.subarray(0, 100);
      throw new Error('the disk is gone');
    };
    for (const path of ['x.tar', 'x.zip', 'x.bin']) {
      const task = { packing: packingOf(path), folder: join(home, 'in'), scratch: join(home, 'scratch'), room: roomy };
      const work = unpack({ ...task, open: async () => Readable.from(breaking()), signal: new AbortController().signal });
      await expect(work).rejects.toThrow('the disk is gone');
    }
    expect(await outside()).toEqual([]);
  });
});
