import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import type { Room } from './room.ts';
import { type Listing, Tree, UNPACK_LIMITS, UnpackError, type UnpackLimits } from './tree.ts';

/** How an artifact is packed, by the name that the plan gives it. */
export type Packing = { readonly kind: 'tar.gz' | 'tar' | 'zip' } | { readonly kind: 'file'; readonly name: string };

/** A file name has at most 255 bytes, of which the hash takes its part. */
const MAX_NAME_BYTES = 180;

/** Throws `UnpackError` for a path that can name no file. */
export function packingOf(path: string): Packing {
  const lower = path.toLowerCase();
  if (lower.endsWith('.tar.gz') || lower.endsWith('.tgz')) return { kind: 'tar.gz' };
  if (lower.endsWith('.tar')) return { kind: 'tar' };
  if (lower.endsWith('.zip')) return { kind: 'zip' };
  const name = basename(path);
  const isPlain = name !== '' && name !== '.' && name !== '..' && !/[\\\0]/.test(name) && Buffer.byteLength(name) <= MAX_NAME_BYTES;
  if (!isPlain) throw new UnpackError('unsafe', `the artifact's path ${JSON.stringify(path)} names no file`);
  return { kind: 'file', name };
}

export interface UnpackTask {
  readonly packing: Packing;
  /** The packed bytes, from their start. May be called once. */
  readonly open: () => Promise<Readable>;
  /** An empty folder. */
  readonly folder: string;
  /** A path that nothing else uses, on the same disk: a zip has to be read from its end. */
  readonly scratch: string;
  /** That of the disk. */
  readonly room: Room;
  readonly limits?: UnpackLimits;
  readonly signal: AbortSignal;
}

/**
 * Unpacks into an empty folder and tells what is in it. Rejects with `UnpackError` for what is unsafe,
 * too large or no such archive, with `NoRoomError`, and with the system's error for a disk that refuses; the folder then
 * holds a part, for the caller to remove.
 */
export async function unpack(task: UnpackTask): Promise<Listing> {
  const tree = new Tree(task.folder, task.limits ?? UNPACK_LIMITS, { meter: task.room.meter(), signal: task.signal });
  try {
    await fill(tree, task);
    return await tree.finish();
  } catch (error) {
    // A stream that was ended in its middle says so in many ways.
    task.signal.throwIfAborted();
    throw error;
  }
}

/** The libraries are loaded by the first node that needs them, not by every start. */
async function fill(tree: Tree, { packing, open, scratch, room }: UnpackTask): Promise<void> {
  switch (packing.kind) {
    case 'file':
      return tree.file(packing.name, 0o755, await open());
    case 'zip':
      return (await import('./zip.ts')).unpackZip(tree, await open(), { path: scratch, meter: room.meter() });
    case 'tar':
    case 'tar.gz':
      return (await import('./tar.ts')).unpackTar(tree, await open(), packing.kind === 'tar.gz');
    default:
      packing satisfies never;
  }
}
