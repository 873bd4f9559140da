import type { RunningProcess } from '../../shared/ports/process-host.ts';
import { decodeMark, type ProcessMark } from './child-process-mark.ts';
import type { ProcessRecord } from './child-process-records.ts';
import type { ProcessEntry } from './child-process-table.ts';

/** Everything that is left of one start: the process, its group, and children that left the group but carry its mark. */
export interface LiveRun extends RunningProcess {
  readonly run: string;
  readonly members: readonly ProcessEntry[];
}

export interface RunSources {
  readonly entries: readonly ProcessEntry[];
  readonly records: readonly ProcessRecord[];
  /** The data directory whose processes are ours. */
  readonly data: string;
  /** Runs that this host has seen alive: their group is theirs also after the process itself has ended. */
  readonly followed: ReadonlySet<string>;
}

interface Marked {
  readonly entry: ProcessEntry;
  readonly mark: ProcessMark;
}

/** Sorts the processes of a machine into our runs, oldest first. A run without a live process is left out. */
export function findRuns(sources: RunSources): LiveRun[] {
  const marked = sources.entries.flatMap((entry): Marked[] => {
    const mark = entry.mark === undefined ? undefined : decodeMark(entry.mark);
    return mark?.data === sources.data ? [{ entry, mark }] : [];
  });
  const ids = new Set([...sources.records.map(({ run }) => run), ...marked.map(({ mark }) => mark.run)]);
  return [...ids]
    .flatMap(
      (id) =>
        findRun(
          id,
          sources,
          marked.filter(({ mark }) => mark.run === id),
        ) ?? [],
    )
    .sort((a, b) => orderOf(a) - orderOf(b) || a.ref.pid - b.ref.pid);
}

function findRun(run: string, { entries, records, followed }: RunSources, marked: readonly Marked[]): LiveRun | undefined {
  const record = records.find((one) => one.run === run);
  const origin = record ?? marked[0]?.mark;
  if (origin === undefined) return undefined;
  const own = marked.map(({ entry }) => entry).sort((a, b) => a.order - b.order || a.pid - b.pid);
  const leader = record === undefined ? own.find(({ pid, pgid }) => pid === pgid) : entries.find((entry) => isSame(entry, record));
  const ref = record ?? leader ?? { pid: own[0]?.pgid ?? 0, started: own[0]?.started ?? '' };
  // Without its leader a group may be a stranger's that got the same number, unless we have followed it all along.
  const trusted = leader !== undefined || followed.has(run);
  const group = trusted ? entries.filter(({ pgid }) => pgid === ref.pid) : [];
  const members = [...new Set([...own, ...group])];
  if (members.length === 0) return undefined;
  const { name, version, spec_hash } = origin;
  const place = { pid: ref.pid, started: ref.started };
  return { run, ref: place, name, version, spec_hash, orphaned: leader === undefined, members };
}

function isSame(entry: ProcessEntry, record: ProcessRecord): boolean {
  return entry.pid === record.pid && entry.started === record.started;
}

function orderOf({ members }: LiveRun): number {
  return Math.min(...members.map(({ order }) => order));
}
