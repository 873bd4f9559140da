import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { toTimestamp } from '../../shared/contract/ids.ts';
import type { SetAsideReason } from '../../shared/ports/state-files.ts';
import { SIDE_FILES } from './sqlite-file/damage.ts';

/** Why a file was moved, as its name says it. */
type Reason = SetAsideReason | 'replaced';
/** So many copies of one file are kept: the first, which holds most, and the newest. */
const KEPT = 3;

/** Renames a file within its folder so that its name says when and why; returns the new name. */
export function moveAside(path: string, nowMs: number, reason: Reason = 'corrupt'): string {
  const kept = freeName(dirname(path), basename(path), nowMs, reason);
  for (const end of ['', ...SIDE_FILES]) if (existsSync(path + end)) renameSync(path + end, join(dirname(path), kept + end));
  return kept;
}

/** A name beside `name` that says when, and that nothing has yet. */
export function freeName(folder: string, name: string, nowMs: number, reason: Reason = 'corrupt'): string {
  // Windows allows no colon in a file name.
  const aside = `${name}.${reason}-${toTimestamp(nowMs).replaceAll(':', '-')}`;
  let free = aside;
  for (let count = 2; existsSync(join(folder, free)); count += 1) free = `${aside}-${count}`;
  return free;
}

/** Keeps the number of copies bounded: a disk that damages a file again and again must not fill up by it. */
export function dropOldCopies(path: string, reason: SetAsideReason = 'corrupt'): void {
  const copies = listCopies(dirname(path), reason).filter((name) => name.startsWith(`${basename(path)}.${reason}-`));
  // Their names hold the time. A clock that was set back only changes which of them stay.
  for (const name of copies.slice(1, Math.max(1, copies.length - KEPT + 1))) {
    for (const end of ['', ...SIDE_FILES]) rmSync(join(dirname(path), name + end), { force: true, recursive: true });
  }
}

/** The names of everything in a folder that was set aside, the oldest of each file first. */
export function listCopies(folder: string, reason: SetAsideReason = 'corrupt'): string[] {
  return readdirSync(folder)
    .filter((name) => name.includes(`.${reason}-`) && !SIDE_FILES.some((end) => name.endsWith(end)))
    .sort();
}
