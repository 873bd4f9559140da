import type { FileHandle } from 'node:fs/promises';
import { type GetOptions, StorageError } from '../../../shared/ports/object-storage.ts';
import type { BodyFile } from './bodies.ts';
import { toStorageError } from './errors.ts';
import { type Span, VerifiedRead } from './verified-read.ts';

/** The reads under way. Each holds its file open, so that an overwrite or delete does not touch what it gives. */
export class Reads {
  readonly #open = new Set<FileHandle>();

  /** The verified bytes of `range`. Rejects when the first block is damaged; takes over the file. */
  async start(file: FileHandle, body: BodyFile, name: string, range: GetOptions['range']): Promise<ReadableStream<Uint8Array>> {
    this.#open.add(file);
    try {
      const read = new VerifiedRead(file, body, spanOf(range, body.size, name), name);
      await read.checkSize();
      const first = await read.next();
      if (read.done) await this.#finish(file);
      return this.#stream(file, read, first, name);
    } catch (error) {
      await this.#finish(file);
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((file) => this.#finish(file)));
  }

  #stream(file: FileHandle, read: VerifiedRead, first: Uint8Array<ArrayBuffer> | undefined, name: string): ReadableStream<Uint8Array> {
    let ready = first;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const bytes = ready ?? (await read.next());
            ready = undefined;
            if (read.done) await this.#finish(file);
            if (bytes !== undefined) controller.enqueue(bytes);
            if (read.done) controller.close();
          } catch (error) {
            await this.#finish(file);
            throw toStorageError(error, `read ${name}`);
          }
        },
        cancel: () => this.#finish(file),
      },
      { highWaterMark: 0 },
    );
  }

  async #finish(file: FileHandle): Promise<void> {
    if (this.#open.delete(file)) await file.close().catch(() => undefined);
  }
}

function spanOf(range: GetOptions['range'], size: number, name: string): Span {
  if (range === undefined) return { start: 0, end: size };
  const end = Math.min(range.end ?? size - 1, size - 1);
  const valid = Number.isInteger(range.start) && Number.isInteger(end) && range.start >= 0 && range.start <= end;
  if (!valid)
    throw new StorageError('range_not_satisfiable', `${name} has ${size} bytes: none in the range ${range.start}-${range.end ?? ''}`);
  return { start: range.start, end: end + 1 };
}
