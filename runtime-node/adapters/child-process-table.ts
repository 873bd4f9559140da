import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { MARK_NAME } from './child-process-mark.ts';

/** A live process of the machine. */
export interface ProcessEntry {
  readonly pid: number;
  readonly pgid: number;
  /** With `pid` it names one process for good: no reused pid has the same. */
  readonly started: string;
  /** Grows with the start time; only for comparing. */
  readonly order: number;
  /** The mark in its environment, where the platform shows that. */
  readonly mark?: string;
}

export interface ProcessTable {
  /** False where environments can't be read, so that only recorded processes are recognised. */
  readonly shows_marks: boolean;
  /** All processes but those that have ended and wait to be reaped. */
  list(): Promise<ProcessEntry[]>;
  /** One process, also when it has ended and was not reaped yet. Synchronous, to be asked right after a spawn. */
  look(pid: number): { readonly started: string; readonly ended: boolean } | undefined;
}

export function openProcessTable(): ProcessTable {
  return existsSync('/proc/self/stat') ? procTable() : psTable();
}

/** Linux: `/proc` (proc(5)); the start time is field 22 of `stat`, in ticks since the boot that `boot_id` names. */
export function procTable(root = '/proc'): ProcessTable {
  const boot = (readText(`${root}/sys/kernel/random/boot_id`) ?? 'boot').slice(0, 8);
  const read = (pid: string) => {
    const stat = readText(`${root}/${pid}/stat`);
    return stat === undefined ? undefined : parseStat(stat);
  };
  return {
    shows_marks: true,
    async list() {
      return readdirSync(root).flatMap((name) => {
        const stat = /^\d+$/.test(name) ? read(name) : undefined;
        // Threads of the kernel have no group.
        if (stat === undefined || stat.ended || stat.pgid === 0) return [];
        const mark = readMark(`${root}/${name}/environ`);
        const { pgid, ticks } = stat;
        return [{ pid: Number(name), pgid, started: `${ticks}.${boot}`, order: ticks, ...(mark !== undefined && { mark }) }];
      });
    },
    look(pid) {
      const stat = read(String(pid));
      return stat === undefined ? undefined : { started: `${stat.ticks}.${boot}`, ended: stat.ended };
    },
  };
}

/** The name in parentheses may hold anything, so counting begins after the last one. */
function parseStat(stat: string): { pgid: number; ticks: number; ended: boolean } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pgid: Number(fields[2]), ticks: Number(fields[19]), ended: 'ZX'.includes(fields[0] ?? 'X') };
}

function readMark(path: string): string | undefined {
  const environ = readText(path);
  if (environ === undefined || !environ.includes(`${MARK_NAME}=`)) return undefined;
  return environ
    .split('\0')
    .find((line) => line.startsWith(`${MARK_NAME}=`))
    ?.slice(MARK_NAME.length + 1);
}

/**
 * A process may end, or belong to somebody else, at any moment: then there is nothing to read. As UTF-8, which Node reads
 * at half the cost of any other encoding for files without a size: what is looked for in them is ASCII.
 */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

const PS_COLUMNS = ['-o', 'pid=,pgid=,stat=,lstart='];
const PS_ENV = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** macOS and others: `ps`, whose start time is exact to the second. It shows no environments. */
export function psTable(): ProcessTable {
  return {
    shows_marks: false,
    async list() {
      const { stdout } = await promisify(execFile)('ps', ['-ax', ...PS_COLUMNS], { env: PS_ENV, maxBuffer: 1 << 26 });
      return stdout
        .split('\n')
        .flatMap((line) => parsePs(line) ?? [])
        .filter(({ ended }) => !ended);
    },
    look(pid) {
      return parsePs(spawnSync('ps', ['-p', String(pid), ...PS_COLUMNS], { env: PS_ENV, encoding: 'utf8' }).stdout);
    },
  };
}

function parsePs(line: string): (ProcessEntry & { ended: boolean }) | undefined {
  const [, pid, pgid, stat, started] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S.*?)\s*$/.exec(line) ?? [];
  if (pid === undefined || stat === undefined || started === undefined) return undefined;
  return { pid: Number(pid), pgid: Number(pgid), started, order: Date.parse(`${started} UTC`), ended: stat.startsWith('Z') };
}
