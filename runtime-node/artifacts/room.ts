import { statfs } from 'node:fs/promises';
import { ArtifactError, type ArtifactStore } from '../../shared/ports/artifact-store.ts';

const MIB = 1024 ** 2;
/** So many bytes are written without another look at the disk: others write to it, too. */
const STEP_BYTES = 4 * MIB;

/** Bytes of the disk that a folder is on; undefined where it does not tell. */
export type AskDisk = (folder: string) => Promise<{ readonly free: number; readonly size: number } | undefined>;

/** An artifact does not fit beside what the node itself needs. `message` says how much is needed, how much is free, and where. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError';
}

/**
 * What artifacts leave free for all else that is written beside them: a disk that they fill keeps the node from its own
 * files. 5 %, but no less than four databases take for their write-ahead logs (4 MB each), and no more than a node may need.
 */
export function reserveOf(size: number): number {
  return Math.min(1024 * MIB, Math.max(16 * MIB, size * 0.05));
}

/** Called before each portion is written. Rejects with `NoRoomError`. */
export type Meter = (bytes: number) => Promise<void>;

/** The room that artifacts have on the disk of a folder. */
export class Room {
  readonly #folder: string;
  readonly #ask: AskDisk;

  constructor(folder: string, ask: AskDisk = askDisk) {
    this.#folder = folder;
    this.#ask = ask;
  }

  /** Rejects with `NoRoomError` where so many bytes more do not fit. `why` says why it is not the size that everybody knows. */
  async need(bytes: number, why?: string): Promise<void> {
    const { left, words } = await this.#look();
    if (left < bytes) throw new NoRoomError(`it needs ${megabytes(bytes)} MB${why === undefined ? '' : ` (${why})`}, and ${words}`);
  }

  /** For bytes of which nobody knows before how many come. */
  meter(): Meter {
    let [written, cleared] = [0, 0];
    return async (bytes) => {
      if (written + bytes > cleared) {
        const { left, words } = await this.#look();
        if (left < bytes) throw new NoRoomError(`it needs more than the ${megabytes(written)} MB that came, and ${words}`);
        cleared = written + Math.max(bytes, Math.min(STEP_BYTES, left));
      }
      written += bytes;
    };
  }

  async #look(): Promise<{ left: number; words: string }> {
    const disk = await this.#ask(this.#folder);
    if (disk === undefined) return { left: Number.POSITIVE_INFINITY, words: '' };
    const reserve = reserveOf(disk.size);
    const words = `${megabytes(disk.free)} MB are free in ${this.#folder}, of which ${megabytes(reserve)} MB are left to the node; free some space there`;
    return { left: disk.free - reserve, words };
  }
}

/** What a store on the disk of this node takes leaves it room: the same as the store, but for that. */
export function leavingRoom(store: ArtifactStore, room: Room): ArtifactStore {
  return {
    ...store,
    async put(sha256, body) {
      const meter = room.meter();
      let refused: unknown;
      const metered = new TransformStream<Uint8Array, Uint8Array>({
        async transform(chunk, controller) {
          await meter(chunk.byteLength).catch((error: unknown) => {
            refused = error;
            throw error;
          });
          controller.enqueue(chunk);
        },
      });
      try {
        return await store.put(sha256, body.pipeThrough(metered));
      } catch (error) {
        if (!(refused instanceof NoRoomError)) throw error;
        throw new ArtifactError('full', `the artifact was not stored: ${refused.message}`, { cause: refused });
      }
    },
  };
}

async function askDisk(folder: string): ReturnType<AskDisk> {
  // A disk that does not tell keeps nobody from trying.
  const found = await statfs(folder).catch(() => undefined);
  if (found === undefined || found.blocks === 0) return undefined;
  return { free: found.bavail * found.bsize, size: found.blocks * found.bsize };
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}
