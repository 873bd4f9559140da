import { open, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { type Meter, NoRoomError } from './room.ts';
import { type Tree, UnpackError, unsafe } from './tree.ts';

/** What `versionMadeBy` calls systems whose attributes hold a Unix mode (APPNOTE 4.4.2.2). */
const UNIX = [3, 19];
const FILE_TYPE = 0o170000;
const SYMLINK = 0o120000;
const FOLDER = 0o040000;
const REGULAR = 0o100000;
const MAX_LINK_BYTES = 4096;

export interface Scratch {
  readonly path: string;
  readonly meter: Meter;
}

/** Unpacks a zip. It is copied to `scratch` first, because its list of contents is at its end. */
export async function unpackZip(tree: Tree, packed: Readable, { path: scratch, meter }: Scratch): Promise<void> {
  try {
    // Opened before anything can fail: a stream that opens it itself may make it after it was removed.
    const file = await open(scratch, 'w', 0o600);
    await pipeline(packed, (chunks) => metered(chunks, meter), file.createWriteStream());
    const zip = await openPromise(scratch).catch((error: unknown) => Promise.reject(toBad(error)));
    try {
      await takeAll(tree, zip);
    } finally {
      zip.close();
    }
  } finally {
    await rm(scratch, { force: true });
  }
}

async function* metered(chunks: AsyncIterable<Uint8Array>, meter: Meter): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    await meter(chunk.length);
    yield chunk;
  }
}

async function takeAll(tree: Tree, zip: ZipFile): Promise<void> {
  try {
    for await (const entry of zip.eachEntry()) await take(tree, zip, entry);
  } catch (error) {
    throw toBad(error);
  }
}

async function take(tree: Tree, zip: ZipFile, entry: Entry): Promise<void> {
  const { fileName: name } = entry;
  const mode = UNIX.includes(entry.versionMadeBy >> 8) ? entry.externalFileAttributes >>> 16 : 0;
  const type = mode & FILE_TYPE;
  if (name.endsWith('/') || type === FOLDER) return tree.folder(name);
  if (type !== 0 && type !== REGULAR && type !== SYMLINK)
    throw unsafe(name, 'it is a device or a pipe, and only files, folders and links are unpacked');
  if (entry.isEncrypted()) throw new UnpackError('bad_archive', `the entry ${JSON.stringify(name)} of the zip is encrypted`);
  const body = await zip.openReadStreamPromise(entry);
  // It may fail before anybody reads it, while its folder is made: whoever reads it then is told, and nobody has to hear it now.
  body.on('error', () => {});
  return type === SYMLINK ? tree.symbolicLink(name, await readLink(name, body)) : tree.file(name, mode, body);
}

async function readLink(name: string, body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_LINK_BYTES) throw unsafe(name, 'it is a symbolic link with a target that is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What yauzl finds wrong has no kind: anything that is not of this machine and not refused here is the archive's. */
function toBad(error: unknown): unknown {
  if (
    error instanceof UnpackError ||
    error instanceof NoRoomError ||
    !(error instanceof Error) ||
    'syscall' in error ||
    error.name === 'AbortError'
  )
    return error;
  if (/^(invalid relative path|absolute path|invalid characters in fileName)/.test(error.message)) {
    return new UnpackError('unsafe', `the archive was not unpacked because of an entry: ${error.message}`, { cause: error });
  }
  return new UnpackError('bad_archive', `it is no zip archive that can be read: ${error.message}`, { cause: error });
}
