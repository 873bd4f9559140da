import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toTimestamp } from '../shared/contract/ids.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import { type StateFiles, StateFilesError } from '../shared/ports/state-files.ts';
import { LISTEN_FILE, type ListenFile } from './commands/connect.ts';

/** So often it is looked whether the file is still there, milliseconds. */
const LOOK_MS = 10_000;

export interface ListenParts {
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Listening {
  /** Tells commands on this machine where the node listens. It only helps them: a disk that refuses must not keep a node from starting. */
  tell(): Promise<void>;
  /** Tells it again where somebody has removed the file, until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function createListening({ files, clock, log }: ListenParts, url: string): Listening {
  const file: ListenFile = { url, pid: process.pid, started_at: toTimestamp(clock.now()) };
  const tell = () =>
    files.write(LISTEN_FILE, `${JSON.stringify(file)}\n`).catch((error: unknown) => {
      if (error instanceof StateFilesError && error.is_told) return;
      log.warn('commands on this machine do not find this node without --url until this is written', { error });
    });
  return {
    tell,
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(LOOK_MS, signal);
        if (signal.aborted) return;
        // One that can't be read is there.
        const text = await files.read(LISTEN_FILE).catch(() => '');
        if (text === undefined && !signal.aborted) await tell();
      }
    },
  };
}

export function forgetListening(data_dir: string): Promise<void> {
  return rm(join(data_dir, LISTEN_FILE), { force: true });
}
