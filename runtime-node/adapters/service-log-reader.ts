import { closeSync, existsSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Clock } from '../../shared/ports/clock.ts';

interface LogLinesOptions {
  /** How many of the last lines. */
  readonly lines?: number;
}

interface FollowOptions extends LogLinesOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const CHUNK = 64 * 1024;
const LOOK_MS = 200;
const NEWLINE = 0x0a;

/** The last lines of a log with its rotated files, oldest first. */
export async function* tailLog(path: string, { lines = 100 }: LogLinesOptions = {}): AsyncIterable<string> {
  const splitter = new LineSplitter();
  yield* splitter.add(await readLast(path, sizeOf(path), lines));
  yield* splitter.end();
}

/** The last lines, then each new one as it is written. Ends, with what stands unfinished, when the signal aborts. */
export async function* followLog(path: string, { lines = 0, clock, signal }: FollowOptions): AsyncIterable<string> {
  const splitter = new LineSplitter();
  let place: Place = { offset: sizeOf(path), newest: signatureOf(`${path}.1`) };
  yield* splitter.add(await readLast(path, place.offset, lines));
  while (!signal.aborted) {
    const step = await readOn(path, place);
    place = step.place;
    for (const bytes of step.pieces) yield* splitter.add(bytes);
    if (step.is_idle) await clock.sleep(LOOK_MS, signal);
  }
  yield* splitter.end();
}

/** How far a reader is: an offset in the live file, and which rotated file was the newest then. */
interface Place {
  readonly offset: number;
  readonly newest: string | undefined;
}

interface Step {
  /** Behind the pieces. */
  readonly place: Place;
  /** Each is good until the next is asked for. */
  readonly pieces: Iterable<Uint8Array>;
  /** There is nothing to read for now. */
  readonly is_idle: boolean;
}

/**
 * Some of what came since. The node may rotate at any moment, so what was read of the live file
 * counts only when no rotation has begun or ended meanwhile; else the next step finds it in a rotated file.
 */
async function readOn(path: string, place: Place): Promise<Step> {
  if (isRotating(path)) return { place, pieces: [], is_idle: true };
  const [oldest] = listNewer(path, place.newest);
  if (oldest !== undefined) return readRotated(oldest, place);
  const size = sizeOf(path);
  const from = size < place.offset ? 0 : place.offset;
  const bytes = await readAt({ path, from, to: Math.min(size, from + CHUNK) });
  if (isRotating(path) || signatureOf(`${path}.1`) !== place.newest) return { place, pieces: [], is_idle: false };
  return { place: { ...place, offset: from + bytes.length }, pieces: [bytes], is_idle: bytes.length === 0 && from >= size };
}

/** The rest of what was the live file. An open file stays the same under a rename, and when it is removed. */
function readRotated(path: string, place: Place): Step {
  const file = openQuietly(path);
  if (file === undefined) return { place, pieces: [], is_idle: true };
  const entry = fstatSync(file);
  return { place: { offset: 0, newest: toSignature(entry) }, pieces: piecesOf(file, place.offset, entry.size), is_idle: false };
}

/** Closes the file, also when nobody wants the rest. */
function* piecesOf(file: number, from: number, to: number): Iterable<Uint8Array> {
  try {
    const piece = Buffer.alloc(CHUNK);
    for (let at = from, read = -1; at < to && read !== 0; at += read) {
      read = readSync(file, piece, 0, Math.min(CHUNK, to - at), at);
      yield piece.subarray(0, read);
    }
  } finally {
    closeSync(file);
  }
}

function isRotating(path: string): boolean {
  return existsSync(`${path}.rotating`);
}

function openQuietly(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}

interface Range {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

/** Rotated files that are younger than the known one, oldest first. */
function listNewer(path: string, known: string | undefined): string[] {
  const newer: string[] = [];
  for (let index = 1; ; index += 1) {
    const signature = signatureOf(`${path}.${index}`);
    if (signature === undefined || signature === known) return newer.reverse();
    newer.push(`${path}.${index}`);
  }
}

function signatureOf(path: string): string | undefined {
  const entry = entryOf(path);
  return entry === undefined ? undefined : toSignature(entry);
}

/** A rename keeps all of these; a later copy has another time. */
function toSignature({ ino, size, mtimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs}`;
}

/** The bytes of the last `lines` lines that end at `end` of the live file, reaching back into rotated files. */
async function readLast(path: string, end: number, lines: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let missing = lines;
  for (let index = 0; missing > 0; index += 1) {
    const file = index === 0 ? path : `${path}.${index}`;
    if (index > 0 && entryOf(file) === undefined) break;
    for (let to = index === 0 ? end : sizeOf(file); to > 0 && missing > 0; to -= CHUNK) {
      const chunk = await readAt({ path: file, from: Math.max(0, to - CHUNK), to });
      // The newline that ends the very last line begins no line after it.
      const { start, found } = startOfLast(chunk, missing, chunks.length === 0);
      missing -= found;
      chunks.unshift(chunk.subarray(start));
    }
  }
  return Buffer.concat(chunks);
}

/** Where the last `lines` lines of a chunk begin, and how many line starts were found in it. */
function startOfLast(chunk: Buffer, lines: number, is_end: boolean): { start: number; found: number } {
  let found = 0;
  for (let at = is_end ? chunk.length - 2 : chunk.length - 1; at >= 0; at -= 1) {
    if (chunk[at] !== NEWLINE) continue;
    found += 1;
    if (found === lines) return { start: at + 1, found };
  }
  return { start: 0, found };
}

async function readAt({ path, from, to }: Range): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(to - from), 0, to - from, from);
    return buffer.subarray(0, bytesRead);
  } catch {
    // Rotated away between the look and the read.
    return Buffer.alloc(0);
  } finally {
    await file?.close();
  }
}

/** Cuts bytes into lines of text; a character that is split over two chunks stays whole. */
class LineSplitter {
  readonly #decoder = new TextDecoder();
  #rest = '';

  add(bytes: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  end(): string[] {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = '';
    return rest === '' ? [] : [rest];
  }
}

function sizeOf(path: string): number {
  return entryOf(path)?.size ?? 0;
}

function entryOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}
