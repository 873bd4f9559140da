import { open, rm, stat } from 'node:fs/promises';
import { ARTIFACT_BYTES, artifactPath } from '../../shared/contract/artifact.ts';
import { backoffMs } from '../../shared/decide/backoff.ts';
import type { ProvedSource } from '../../shared/discovery/types.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Random } from '../../shared/ports/random.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { NoRoomError, type Room } from './room.ts';

export interface FetchDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Whom to ask, the best first; each has proved itself. Asked anew in each round. */
  readonly sources: (signal: AbortSignal) => AsyncIterable<ProvedSource>;
}

export interface FetchTask {
  readonly sha256: string;
  /** Where the bytes gather. What an earlier call left there is not fetched again. */
  readonly path: string;
  /** Takes the complete file. `mismatch`: its hash is another one, so that everything is fetched anew. */
  readonly accept: (path: string) => Promise<'taken' | 'mismatch'>;
  /** Rejects with `NoRoomError` where an artifact of so many bytes, of which some are here, does not fit. */
  readonly need: (total: number, here: number) => Promise<void>;
  /** For what comes, whatever was said of its size. */
  readonly room: Pick<Room, 'meter'>;
  /** The artifact has come another way meanwhile. */
  readonly isThere: () => Promise<boolean>;
  readonly note: (words: string) => void;
  readonly signal: AbortSignal;
}

/** What it took: `received_bytes` is the size of what was missing when no byte came twice. */
export interface Fetched {
  readonly received_bytes: number;
}

/** Nobody has it, or nobody gives it. `message` says who was asked and what came of it. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
}

/** So long without a byte ends a connection, milliseconds. */
const STALL_MS = 10_000;
/** So long without any progress ends the attempt, milliseconds; whoever wants the artifact starts another one. */
const GIVE_UP_MS = 30_000;
const BACKOFF = { base_ms: 500, cap_ms: 5_000 };

/**
 * Fetches one artifact, from as many sources as it takes: after a broken connection the rest comes from the next
 * one, and no byte that has arrived is asked for again. Where there is no room for it nothing is fetched, and what has
 * arrived is given up: what the node itself has to write matters more. Rejects with `FetchError` when no byte has
 * come for a while, with the system's error when the disk refuses, and with the signal's reason.
 */
export async function fetchArtifact(deps: FetchDeps, task: FetchTask): Promise<Fetched> {
  const { clock, random } = deps;
  const givers: Givers = { received_bytes: 0, liars: new Set(), now: new Set((await sizeOf(task.path)) > 0 ? ['an earlier start'] : []) };
  let lastProgress = clock.monotonic();
  for (let round = 0; ; round += 1) {
    if (await task.isThere()) return { received_bytes: givers.received_bytes };
    const said: string[] = [];
    const outcome = await askAll(deps, task, givers, said);
    task.signal.throwIfAborted();
    if (outcome === 'taken') return { received_bytes: givers.received_bytes };
    if (outcome === 'progress') {
      lastProgress = clock.monotonic();
      round = 0;
    }
    if (clock.monotonic() - lastProgress >= GIVE_UP_MS) throw new FetchError(await describe(task, said));
    task.note(await describe(task, said));
    await clock.sleep(Math.max(100, backoffMs(BACKOFF, round, random.next())), task.signal);
    task.signal.throwIfAborted();
  }
}

interface Givers {
  /** All bytes of bodies that came, useful or not. */
  received_bytes: number;
  /** Who gave what was not the artifact, all by itself. */
  readonly liars: Set<string>;
  /** Who gave what is here now. */
  readonly now: Set<string>;
}

/** One round over all sources. */
async function askAll(deps: FetchDeps, task: FetchTask, givers: Givers, said: string[]): Promise<'taken' | 'progress' | 'nothing'> {
  const { liars, now } = givers;
  let outcome: 'progress' | 'nothing' = 'nothing';
  for await (const source of deps.sources(task.signal)) {
    if (task.signal.aborted) return outcome;
    if (liars.has(source.url)) {
      said.push(`${source.url}: what it gave was not the artifact`);
      continue;
    }
    const part = await takePart(deps, task, source);
    givers.received_bytes += part.received;
    if (part.gained > 0) {
      outcome = 'progress';
      now.add(source.url);
    }
    if (part.isEmptied) now.clear();
    said.push(`${source.url}: ${part.words}`);
    if (!part.complete) continue;
    if ((await task.accept(task.path)) === 'taken') return 'taken';
    await rm(task.path, { force: true });
    // Of several givers nobody knows which one it was: then all of it comes from one.
    if (now.size <= 1) liars.add(source.url);
    now.clear();
    said.push('what had arrived had another hash, and was thrown away');
    return 'nothing';
  }
  return outcome;
}

interface Part {
  /** Bytes that were missing. */
  readonly gained: number;
  readonly received: number;
  readonly complete: boolean;
  readonly words: string;
  /** There was no room: what had come before was given up, too. */
  readonly isEmptied?: boolean;
}

async function takePart({ clock }: FetchDeps, task: FetchTask, { url, fetch }: ProvedSource): Promise<Part> {
  const { sha256, path, signal, note, room } = task;
  const file = await open(path, 'a', 0o600);
  const call = new AbortController();
  const ending = AbortSignal.any([signal, call.signal]);
  let at = (await file.stat()).size;
  const start = at;
  let received = 0;
  const answered = (complete: boolean, words: string): Part => ({ gained: at - start, received, complete, words });
  try {
    const headers = start === 0 ? {} : { range: `bytes=${start}-`, 'if-range': `"${sha256}"` };
    const asked = fetch(new Request(new URL(artifactPath(sha256), url), { headers, signal: ending, redirect: 'manual' }));
    const response = await withinReach(clock, asked, ending);
    const given = readHead(response, start);
    if ('complete' in given) return answered(true, 'it was complete');
    if ('refused' in given) {
      await response.body?.cancel().catch(() => undefined);
      return answered(false, given.refused);
    }
    if (given.total !== undefined) await task.need(given.total, start);
    const meter = room.meter();
    let skip = given.skip;
    const reader = given.body.getReader();
    for (;;) {
      const { done, value } = await withinReach(clock, reader.read(), ending);
      if (done) break;
      received += value.length;
      const fresh = value.subarray(Math.min(skip, value.length));
      skip -= value.length - fresh.length;
      if (at + fresh.length > (given.total ?? ARTIFACT_BYTES)) return answered(false, 'it sent more than it had said');
      await meter(fresh.length);
      await writeAll(file, fresh);
      at += fresh.length;
      note(progress(at, given.total));
    }
    return answered(given.total === undefined || at === given.total, `it ended after ${at} of ${given.total} bytes`);
  } catch (error) {
    if (isFull(error)) {
      await file.truncate();
      return { gained: 0, received, complete: false, words: messageOf(error), isEmptied: true };
    }
    if (codeOf(error).startsWith('E') && error instanceof Error && 'syscall' in error && error.syscall === 'write') throw error;
    return answered(false, reasonOf(error));
  } finally {
    call.abort();
    await file.close();
  }
}

type Given =
  | { readonly complete: true }
  | { readonly refused: string }
  | { readonly body: ReadableStream<Uint8Array>; readonly total: number | undefined; readonly skip: number };

/** What an answer to a request from byte `start` on holds. A server may ignore the range: then the first bytes are skipped. */
function readHead({ status, headers, body }: Response, start: number): Given {
  const [, from, , size] = /^bytes (\d{1,15}|\*)(?:-(\d{1,15}))?\/(\d{1,15})$/.exec(headers.get('content-range') ?? '') ?? [];
  if (status === 416)
    return Number(size) === start
      ? { complete: true }
      : { refused: `it has ${size ?? 'an unknown number of'} bytes, and ${start} are here` };
  if (status === 206) {
    if (Number(from) !== start || body === null) return { refused: `it gave another range than from byte ${start}` };
    if (Number(size) > ARTIFACT_BYTES) return tooLarge(Number(size));
    return { body, total: Number(size), skip: 0 };
  }
  if (status !== 200) return { refused: status === 404 ? 'it does not have it' : `it answered ${status}` };
  const length = headers.get('content-length');
  const total = length === null ? undefined : Number(length);
  if (total !== undefined && total > ARTIFACT_BYTES) return tooLarge(total);
  if (total !== undefined && total < start) return { refused: `it has ${total} bytes, and ${start} are here` };
  return { body: body ?? new ReadableStream({ start: (controller) => controller.close() }), total, skip: start };
}

/** Believed, it could fill the disk. */
function tooLarge(size: number): Given {
  return { refused: `it says that it has ${size} bytes, and an artifact may have ${ARTIFACT_BYTES}` };
}

/** Rejects when nothing has come for a while. */
async function withinReach<T>(clock: Clock, work: Promise<T>, signal: AbortSignal): Promise<T> {
  const waiting = new AbortController();
  const stalled = clock.sleep(STALL_MS, AbortSignal.any([waiting.signal, signal])).then(() => {
    signal.throwIfAborted();
    throw new Error(`nothing came for ${STALL_MS / 1000} s`);
  });
  stalled.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work, stalled]);
  } finally {
    waiting.abort();
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, bytes: Uint8Array): Promise<void> {
  for (let start = 0; start < bytes.length; ) start += (await file.write(bytes, start)).bytesWritten;
}

/** Not only by what is left to the node: a quota may end sooner. */
function isFull(error: unknown): boolean {
  return error instanceof NoRoomError || ['ENOSPC', 'EDQUOT'].includes(codeOf(error));
}

async function describe({ path }: FetchTask, said: readonly string[]): Promise<string> {
  const size = await sizeOf(path);
  const whom = said.length === 0 ? 'no node that has proved itself could be asked' : said.join('; ');
  return size === 0 ? whom : `${progress(size, undefined)} are here; ${whom}`;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

function progress(bytes: number, total: number | undefined): string {
  return total === undefined ? `${megabytes(bytes)} MB` : `${megabytes(bytes)} of ${megabytes(total)} MB`;
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}

/** Of what fetch throws, only the cause says what it was. */
function reasonOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? `${error.message} (${error.cause.message})` : messageOf(error);
}
