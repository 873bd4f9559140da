import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { NoRoomError } from './room.ts';
import { type Tree, UnpackError, unsafe } from './tree.ts';

/** The types of the library leave out that a link may name nothing. */
interface Entry extends AsyncIterable<Uint8Array> {
  readonly header: Omit<Header, 'linkname'> & { readonly linkname: string | null };
  resume(): unknown;
}

/** Unpacks a tar while it comes in. */
export async function unpackTar(tree: Tree, packed: Readable, gzipped: boolean): Promise<void> {
  const archive = extract();
  const failed: { error?: unknown } = {};
  // What goes wrong with an entry is told as it is; what goes wrong in the stream is told by the pipeline.
  const entries = takeAll(tree, archive as AsyncIterable<unknown> as AsyncIterable<Entry>).catch((error: unknown) => {
    failed.error = error;
    packed.destroy();
    throw error;
  });
  const flow = gzipped ? pipeline(packed, createGunzip(), archive) : pipeline(packed, archive);
  const [taken, flowed] = await Promise.allSettled([entries, flow]);
  if (flowed.status === 'rejected' && !isOwn(failed.error)) throw toBad(flowed.reason);
  if (taken.status === 'rejected') throw taken.reason;
}

async function takeAll(tree: Tree, archive: AsyncIterable<Entry>): Promise<void> {
  for await (const entry of archive) {
    await take(tree, entry);
    entry.resume();
  }
}

async function take(tree: Tree, entry: Entry): Promise<void> {
  const { name, type, mode, linkname } = entry.header;
  switch (type) {
    case 'file':
    case 'contiguous-file':
      return tree.file(name, mode, entry);
    case 'directory':
      return tree.folder(name);
    case 'symlink':
      return tree.symbolicLink(name, linkname ?? '');
    case 'link':
      return tree.hardLink(name, linkname ?? '');
    default:
      throw unsafe(name, `it is a ${type}, and only files, folders and links are unpacked`);
  }
}

/** Of this machine or of a refused entry, and not of the bytes. */
function isOwn(error: unknown): boolean {
  return error instanceof UnpackError || error instanceof NoRoomError || (error instanceof Error && 'syscall' in error);
}

/** The hash of the bytes was right, so it is what was packed that is wrong, unless reading them failed. */
function toBad(error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  const isFormat = /header|end of data|end of file|incorrect|invalid|unexpected/i.test(message);
  return isFormat
    ? new UnpackError('bad_archive', `it is no whole tar archive of the kind that its name says: ${message}`, { cause: error })
    : error;
}
