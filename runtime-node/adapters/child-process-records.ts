import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { codeOf, messageOf } from '../thrown.ts';

const ProcessRecord = z.object({
  run: z.string().regex(/^[0-9a-f-]{8,64}$/),
  name: z.string(),
  version: z.string(),
  spec_hash: z.string(),
  pid: z.number().int().min(2),
  started: z.string(),
});
/** What is kept of a started process: it tells the process itself from children that it detached. */
export type ProcessRecord = z.infer<typeof ProcessRecord>;

export interface ProcessRecords {
  /** Synchronous, so that nothing comes between a spawn and its record but a crash of this very moment. */
  add(record: ProcessRecord): void;
  /** What can't be read is left out: the marks in the environments still tell of it. */
  list(): ProcessRecord[];
  remove(run: string): void;
}

/** One file per run, mode 0600, in a folder that services can't write: a forged record would have a stranger killed. */
export function openProcessRecords(folder: string, setAside: (path: string, why: string) => void = () => undefined): ProcessRecords {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = (run: string) => join(folder, `${run}.json`);
  return {
    add(record) {
      writeFileSync(`${path(record.run)}.new`, JSON.stringify(record), { mode: 0o600 });
      renameSync(`${path(record.run)}.new`, path(record.run));
    },
    list() {
      return namesIn(folder)
        .filter((name) => name.endsWith('.json'))
        .flatMap((name) => read(join(folder, name), setAside) ?? []);
    },
    remove(run) {
      rmSync(path(run), { force: true });
    },
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(path: string, setAside: (path: string, why: string) => void): ProcessRecord | undefined {
  try {
    return ProcessRecord.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    // Too many open files, say, tells nothing of the record.
    if (!['', 'EISDIR'].includes(codeOf(error))) return undefined;
    try {
      setAside(path, messageOf(error));
    } catch {
      // It stays where it is: what runs is recognised all the same.
    }
    return undefined;
  }
}
