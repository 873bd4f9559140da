import { mkdtempSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { createFsStorage, type FsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { type LogLine, recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

/** A new folder for each test, removed afterwards. */
export function temporaryRoot(): { readonly path: string } {
  let path = '';
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'storage-fs-'));
  });
  afterEach(() => rm(path, { recursive: true, force: true }));
  return {
    get path() {
      return path;
    },
  };
}

export function openFs(root: string, parts: { clock?: Clock; lines?: LogLine[]; seed?: number } = {}): Promise<FsStorage> {
  const { clock = new SimulatedClock(), lines = [], seed } = parts;
  return createFsStorage({ root, clock, random: seededRandom(seed), log: recordingLog(lines) });
}

/** Paths of all body files. */
export async function bodyFiles(root: string): Promise<string[]> {
  const entries = await readdir(join(root, 'bodies'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
