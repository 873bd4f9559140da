import { randomFillSync } from 'node:crypto';
import { open, stat, unlink } from 'node:fs/promises';

/** Room for a removal's commit in the write-ahead log: 50 rows, at most 5 pages of 4 KiB each. */
const RESERVE_BYTES = 1024 * 1024;

/**
 * A file that keeps some space back. A delete has to write to the catalog before it frees anything, so
 * on a disk without one free byte nothing could be deleted and nothing would ever expire. The reserve is
 * given up for that and filled again when there is room.
 */
export class Reserve {
  readonly #path: string;
  #filled = false;

  constructor(path: string) {
    this.#path = path;
  }

  get released(): boolean {
    return !this.#filled;
  }

  /** Takes the space if it is to be had; the storage works without it too. */
  async fill(): Promise<void> {
    const size = await stat(this.#path).then(
      (file) => file.size,
      () => 0,
    );
    this.#filled = size === RESERVE_BYTES || (await this.#write());
  }

  async release(): Promise<void> {
    this.#filled = false;
    await unlink(this.#path).catch(() => undefined);
  }

  /** Not zeros: file systems that compress would keep no space for them. */
  async #write(): Promise<boolean> {
    try {
      const file = await open(this.#path, 'w', 0o600);
      try {
        await file.writeFile(randomFillSync(new Uint8Array(RESERVE_BYTES)));
      } finally {
        await file.close();
      }
      return true;
    } catch {
      await this.release();
      return false;
    }
  }
}
