import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Log } from '../../shared/ports/log.ts';

export interface ServiceLogsOptions {
  /** One file per service, `<name>.log`, and older ones `<name>.log.1` (youngest) and so on. */
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  /** A file that is larger is rotated, bytes. Default 10 MiB. */
  readonly max_bytes?: number;
  /** How many rotated files are kept. Default 3. */
  readonly keep?: number;
  /** How often sizes are looked at, milliseconds. Default 5000. */
  readonly check_ms?: number;
}

/**
 * What services write. Their output goes straight to files in append mode, so that it needs no reader
 * and outlives the node; rotation copies and truncates, because a service keeps its file open. What
 * a service writes in the instant between the end of the copy and the truncation is lost, and so is what it wrote
 * during the copy beyond 8 MiB, which is told.
 */
export interface ServiceLogs {
  /** A file descriptor for the output of a service; the caller closes it. */
  openForAppend(name: string): number;
  /** Rotates what has grown too large, and names those services. Never rejects. */
  rotate(): Promise<string[]>;
  /** Rotates on a timer until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

const SUFFIX = '.log';
const ROTATING = '.rotating';
const UNREADABLE = '.unreadable';
/** Most bytes that are moved while nothing else runs in the node: a service may write faster than they can be copied. */
const MOST_MOVED = 8 * 1024 * 1024;

export function createServiceLogs(options: ServiceLogsOptions): ServiceLogs {
  const { folder, clock, max_bytes = 10 * 1024 * 1024, keep = 3, check_ms = 5_000 } = options;
  const path = (name: string) => join(folder, `${name}${SUFFIX}`);
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  recover(folder, keep, options.log);
  const logs: ServiceLogs = {
    openForAppend: (name) => openSync(path(name), 'a', 0o640),
    async rotate() {
      try {
        const large = readdirSync(folder).filter((file) => file.endsWith(SUFFIX) && sizeOf(join(folder, file)) > max_bytes);
        for (const file of large) await rotateFile(join(folder, file), keep, options.log);
        return large.map((file) => file.slice(0, -SUFFIX.length));
      } catch (error) {
        options.log.error(`the output of services in ${folder} could not be rotated`, { error: String(error) });
        return [];
      }
    },
    async run(signal) {
      while (!signal.aborted) {
        await logs.rotate();
        await clock.sleep(check_ms, signal);
      }
    },
  };
  return logs;
}

/** While `<file>.rotating` is there, readers wait: what they have not read yet is about to change its place. */
async function rotateFile(path: string, keep: number, log: Log): Promise<void> {
  const copy = `${path}${ROTATING}`;
  try {
    await copyFile(path, copy);
    const dropped = moveRest(path, copy);
    keepCopy(path, copy, keep);
    if (dropped > 0) log.warn(`the output in ${path} grew faster than it could be copied for rotation`, { dropped_bytes: dropped });
  } catch (error) {
    // The bound comes first: a log that can't be copied (a full disk) must not go on growing.
    rmSync(copy, { recursive: true, force: true });
    const dropped = sizeOf(path);
    truncateSync(path);
    log.error(`the output in ${path} could not be copied for rotation, ${dropped} bytes of it were dropped`, { error: String(error) });
  }
}

/**
 * Synchronous, so that as little as possible is written between the last copied byte and the truncation.
 * Returns how many bytes were left out.
 */
function moveRest(path: string, copy: string): number {
  const from = openSync(path, 'r+');
  const to = openSync(copy, 'a');
  try {
    const chunk = Buffer.alloc(64 * 1024);
    let offset = sizeOf(copy);
    const most = offset + MOST_MOVED;
    for (let read = -1; read !== 0 && offset < most; offset += read) {
      read = readSync(from, chunk, 0, chunk.length, offset);
      writeSync(to, chunk, 0, read);
    }
    const dropped = fstatSync(from).size - offset;
    ftruncateSync(from, 0);
    return dropped;
  } finally {
    closeSync(from);
    closeSync(to);
  }
}

function keepCopy(path: string, copy: string, keep: number): void {
  rmSync(`${path}.${keep}`, { force: true });
  for (let index = keep - 1; index >= 1; index -= 1) {
    if (sizeOf(`${path}.${index}`) > 0) renameSync(`${path}.${index}`, `${path}.${index + 1}`);
  }
  renameSync(copy, `${path}.1`);
}

/** A crash in the middle of a rotation: a copy of what the log still holds is dropped, any other is kept. */
function recover(folder: string, keep: number, log: Log): void {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(ROTATING))) {
    const copy = join(folder, file);
    try {
      recoverCopy(copy, keep);
    } catch (error) {
      log.error(`${copy}, which a crash left, can't be put back: it is set aside as ${file}${UNREADABLE}`, { error: String(error) });
      setAside(copy, log);
    }
  }
}

function recoverCopy(copy: string, keep: number): void {
  const path = copy.slice(0, -ROTATING.length);
  const start = head(copy);
  if (sizeOf(path) >= sizeOf(copy) && head(path).subarray(0, start.length).equals(start)) rmSync(copy);
  else keepCopy(path, copy, keep);
}

/** Under its own name it would keep the readers waiting. */
function setAside(copy: string, log: Log): void {
  try {
    renameSync(copy, `${copy}${UNREADABLE}`);
  } catch (error) {
    log.error(`${copy} can't be renamed: remove it`, { error: String(error) });
  }
}

function head(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc(4_096);
    return start.subarray(0, readSync(file, start, 0, start.length, 0));
  } finally {
    closeSync(file);
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
