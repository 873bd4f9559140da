import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

export interface Tail {
  readonly lines: string[];
  /** A last line that is not ended yet. */
  readonly partial: string;
  /** Where that line begins, bytes. */
  readonly next: number;
}

/** The last `count` ended lines of a file, read from its end, so that a large file costs no more than a small one. */
export async function readTail(path: string, count: number): Promise<Tail> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    let start = size;
    let bytes = Buffer.alloc(0);
    while (start > 0 && countNewlines(bytes) <= count) {
      const length = Math.min(CHUNK_BYTES, start);
      start -= length;
      bytes = Buffer.concat([await readAt(file, start, length), bytes]);
    }
    const ended = bytes.lastIndexOf(NEWLINE) + 1;
    const lines = ended === 0 ? [] : bytes.toString('utf8', 0, ended - 1).split('\n');
    return { lines: count === 0 ? [] : lines.slice(-count), partial: bytes.toString('utf8', ended), next: start + ended };
  } finally {
    await file.close();
  }
}

function countNewlines(bytes: Buffer): number {
  let count = 0;
  for (const byte of bytes) if (byte === NEWLINE) count += 1;
  return count;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/**
 * Gives each line that is ended after `position`, until the signal aborts. A file that got shorter
 * was rotated (copied and cut): it is read from its beginning.
 */
export async function* followLines(path: string, position: number, everyMs: number, signal: AbortSignal): AsyncGenerator<string> {
  let next = position;
  let rest = Buffer.alloc(0);
  while (!signal.aborted) {
    const { bytes, start } = await readFrom(path, next);
    if (start < next) rest = Buffer.alloc(0);
    next = start + bytes.length;
    rest = Buffer.concat([rest, bytes]);
    const ended = rest.lastIndexOf(NEWLINE) + 1;
    if (ended > 0) yield* rest.toString('utf8', 0, ended - 1).split('\n');
    rest = rest.subarray(ended);
    if (bytes.length < CHUNK_BYTES) await sleep(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

async function readFrom(path: string, position: number): Promise<{ bytes: Buffer; start: number }> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const start = size < position ? 0 : position;
    return { bytes: await readAt(file, start, CHUNK_BYTES), start };
  } finally {
    await file.close();
  }
}
