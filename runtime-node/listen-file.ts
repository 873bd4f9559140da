import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toTimestamp } from '../shared/contract/ids.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { StateFiles } from '../shared/ports/state-files.ts';
import { LISTEN_FILE, type ListenFile } from './commands/connect.ts';

/** Tells commands on this machine where the node listens. */
export async function rememberListening(files: StateFiles, url: string, clock: Clock): Promise<void> {
  const file: ListenFile = { url, pid: process.pid, started_at: toTimestamp(clock.now()) };
  await files.write(LISTEN_FILE, `${JSON.stringify(file)}\n`);
}

export function forgetListening(data_dir: string): Promise<void> {
  return rm(join(data_dir, LISTEN_FILE), { force: true });
}
