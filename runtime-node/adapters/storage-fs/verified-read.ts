import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { BLOCK_BYTES, type BodyFile } from './bodies.ts';

/** Bytes `start` to `end` of a body, `end` not included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a body without ever handing out a byte that was not verified: each block is compared with its
 * CRC-32 before any of it leaves, so ranges are as safe as whole reads and memory stays at one block.
 * A whole read also compares the SHA-256, before its last block leaves. What does not match ends the
 * stream with `corrupt`; `first` finds it early, so that `get` itself rejects for small objects.
 */
export class VerifiedRead {
  readonly #file: FileHandle;
  readonly #body: BodyFile;
  readonly #span: Span;
  readonly #name: string;
  readonly #whole: Hash | undefined;
  #position: number;

  /** `name` is the bucket and key, for the message. */
  constructor(file: FileHandle, body: BodyFile, span: Span, name: string) {
    this.#file = file;
    this.#body = body;
    this.#span = span;
    this.#name = name;
    this.#position = span.start;
    if (span.start === 0 && span.end === body.size) this.#whole = createHash('sha256');
  }

  /** The next verified bytes of the span, or undefined after the last. */
  async next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.done) return undefined;
    const index = Math.floor(this.#position / BLOCK_BYTES);
    const blockStart = index * BLOCK_BYTES;
    const block = await this.#block(index, Math.min(BLOCK_BYTES, this.#body.size - blockStart));
    const bytes = block.subarray(this.#position - blockStart, this.#span.end - blockStart);
    this.#position += bytes.length;
    this.#whole?.update(bytes);
    if (this.done && this.#whole !== undefined && this.#whole.digest('hex') !== this.#body.sha256) throw this.#corrupt('SHA-256 differs');
    return bytes;
  }

  get done(): boolean {
    return this.#position >= this.#span.end;
  }

  /** Compares the file's length with the catalog's: the cheap check that an empty body needs too. */
  async checkSize(): Promise<void> {
    const { size } = await this.#file.stat();
    if (size !== this.#body.size) throw this.#corrupt(`the file has ${size} bytes, not ${this.#body.size}`);
  }

  async #block(index: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const block = new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await this.#file.read(block, filled, length - filled, index * BLOCK_BYTES + filled);
      if (bytesRead === 0) throw this.#corrupt('the file became shorter');
      filled += bytesRead;
    }
    const expected = new DataView(this.#body.crcs.buffer, this.#body.crcs.byteOffset, this.#body.crcs.byteLength).getUint32(index * 4);
    if (crc32(block) !== expected) throw this.#corrupt(`block ${index} (from byte ${index * BLOCK_BYTES}) differs from its checksum`);
    return block;
  }

  #corrupt(what: string): StorageError {
    return new StorageError(
      'corrupt',
      `${this.#name} is damaged on disk: ${what} (body ${this.#body.id}); check the disk and store the object again`,
    );
  }
}
