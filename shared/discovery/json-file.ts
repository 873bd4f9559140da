import type * as z from 'zod';
import type { Log } from '../ports/log.ts';
import { type SetAsideReason, type StateFiles, StateFilesError } from '../ports/state-files.ts';

export interface FileDeps {
  readonly files: StateFiles;
  readonly log: Log;
}

/**
 * Reads a state file. A file that can't be used is set aside with an error in the log and counts as
 * absent, because a broken cache must never keep a node from starting.
 */
export async function readJsonFile<T>({ files, log }: FileDeps, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readText({ files, log }, name);
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  await setAside({ files, log }, name, whyInvalid(parsed.error));
  return undefined;
}

/** In words for people: what the schema says itself speaks of types, and says nothing where all of a file is damaged. */
export function whyInvalid({ issues }: z.ZodError): string {
  const path = issues[0]?.path.join('.') ?? '';
  return path === '' ? 'it is not valid' : `it is not valid: ${path} is missing or wrong`;
}

/** What `writeJsonFile` writes. */
export function textOf(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Replaces a state file. A disk that refuses is told in the log, ever less often, and changes nothing else: returns false. */
export async function writeJsonFile({ files, log }: FileDeps, name: string, value: unknown): Promise<boolean> {
  try {
    await files.write(name, textOf(value));
    return true;
  } catch (error) {
    if (error instanceof StateFilesError && error.is_told) return false;
    const why = error instanceof StateFilesError ? error.log_words : messageOf(error);
    log.warn(`${name} can't be written: ${why}; free space or make the data directory writable`, { file: name });
    return false;
  }
}

/** Moves a file that can't be used out of the way, for a person to look at. */
export async function setAside({ files, log }: FileDeps, name: string, why: string, reason?: SetAsideReason): Promise<void> {
  const kept = await files.setAside(name, why, reason).catch(() => undefined);
  log[reason === 'other-key' ? 'warn' : 'error'](`${name} can't be used: ${why}${kept === undefined ? '' : `; it is kept as ${kept}`}`, {
    file: name,
  });
}

/** The text of a state file; undefined when there is none or none that can be read: then it is set aside. */
export async function readText({ files, log }: FileDeps, name: string): Promise<string | undefined> {
  try {
    return await files.read(name);
  } catch (error) {
    // Whatever stands there instead of a file would keep the next one from being written, too.
    await setAside({ files, log }, name, messageOf(error));
    return undefined;
  }
}

/** The parsed text; undefined when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
