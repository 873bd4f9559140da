import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The variable in a service's environment by which its processes, and their children, are recognised. */
export const MARK_NAME = 'BOOTPLANE_MARK';

export interface ProcessMark {
  /** Names the data directory (device and inode): two nodes on one machine never take each other's processes. */
  readonly data: string;
  /** For people who look at a process; a left-over is recognised by `data`, which outlives a new node_id. */
  readonly node_id: string;
  /** New for each start of a process. */
  readonly run: string;
  readonly name: string;
  readonly version: string;
  readonly spec_hash: string;
}

const FORMAT = 'v1';
const PROBE_FORMAT = 'probe-v1';

/** What `data` is for a data directory. Makes its folder `processes` (mode 0700), whose device and inode it tells. */
export function nameDataDir(data_dir: string): string {
  const folder = join(data_dir, 'processes');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { dev, ino } = statSync(folder);
  return `${dev.toString(16)}-${ino.toString(16)}`;
}

/** The mark of a command that checks a service: another format, so that it never counts as a copy of the service. */
export function encodeProbeMark(data: string): string {
  return `${PROBE_FORMAT}:${data}`;
}

export function encodeMark({ data, node_id, run, name, version, spec_hash }: ProcessMark): string {
  return [FORMAT, data, node_id, run, name, version, spec_hash].map(encodeURIComponent).join(':');
}

/** Undefined for a text that is no mark of this format. */
export function decodeMark(text: string): ProcessMark | undefined {
  try {
    const [format, data, node_id, run, name, version, spec_hash, ...rest] = text.split(':').map(decodeURIComponent);
    if (format !== FORMAT || rest.length > 0) return undefined;
    if (!data || !node_id || !run || !name || !version || !spec_hash) return undefined;
    return { data, node_id, run, name, version, spec_hash };
  } catch {
    return undefined;
  }
}
