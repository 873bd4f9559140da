import { toTimestamp } from '../shared/contract/ids.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import { type StateFiles, StateFilesError } from '../shared/ports/state-files.ts';
import { isWorthTelling, type Repeated, repeatedAfter, withCount } from '../shared/reconcile/repeats.ts';

/** So often it is tried whether there is room again, milliseconds. */
const RETRY_MS = 5_000;

export interface LateWritesDeps {
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LateWrites {
  readonly files: StateFiles;
  /** What could not be written for want of room and still is not, in words for the health of the node. */
  waiting(): readonly string[];
  /** Writes it when there is room, until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

interface Waiting {
  readonly text: string;
  readonly refused: Repeated;
}

/**
 * State files on a disk that may be full. A write that it refuses rejects, as ever, and its text is kept and written as
 * soon as there is room: most callers write only when something changes, and what they wrote last would be missing until then.
 */
export function createLateWrites({ files, clock, log }: LateWritesDeps): LateWrites {
  const waiting = new Map<string, Waiting>();
  const drop = (name: string) => {
    if (waiting.delete(name)) log.info(`${name} is written: there is room again`, { file: name });
  };
  const refuse = (name: string, text: string, error: unknown): unknown => {
    if (!(error instanceof StateFilesError) || error.kind !== 'full') return error;
    const refused = repeatedAfter(waiting.get(name)?.refused, error.message, toTimestamp(clock.now()));
    waiting.set(name, { text, refused });
    const message = withCount(error.message, refused) ?? error.message;
    return new StateFilesError('full', message, { cause: error, is_told: !isWorthTelling(refused) });
  };
  const retry = async (name: string, text: string) => {
    await files.write(name, text);
    // A newer text may have been refused meanwhile.
    if (waiting.get(name)?.text === text) drop(name);
  };
  return {
    files: {
      ...files,
      async write(name, text) {
        const before = waiting.get(name);
        // What is tried again from now on is the newer text: the older one must not take its place.
        if (before !== undefined) waiting.set(name, { ...before, text });
        try {
          await files.write(name, text);
        } catch (error) {
          throw refuse(name, text, error);
        }
        drop(name);
      },
      setAside(name, why, reason) {
        waiting.delete(name);
        return files.setAside(name, why, reason);
      },
      remove(name) {
        waiting.delete(name);
        return files.remove(name);
      },
    },
    waiting() {
      if (waiting.size === 0) return [];
      return [`room on the disk of the data directory (storage_full): ${[...waiting.keys()].join(', ')} can't be written; free some space`];
    },
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(RETRY_MS, signal);
        if (signal.aborted) return;
        await Promise.allSettled([...waiting].map(([name, { text }]) => retry(name, text)));
      }
    },
  };
}
