import { toTimestamp } from '../shared/contract/ids.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import { type StateFiles, StateFilesError } from '../shared/ports/state-files.ts';
import { isWorthTelling, type Repeated, repeatedAfter, withCount } from '../shared/reconcile/repeats.ts';
import { messageOf } from './thrown.ts';

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
  /** Of the call that wrote it: nothing that was asked of the file later has come yet. */
  readonly turn: number;
  readonly refused: Repeated;
}

/**
 * State files on a disk that may be full. A write that it refuses rejects, as ever, and its text is kept and written as
 * soon as there is room: most callers write only when something changes, and what they wrote last would be missing until then.
 * What is asked of a file later counts, also while an earlier call is under way.
 */
export function createLateWrites({ files, clock, log }: LateWritesDeps): LateWrites {
  const waiting = new Map<string, Waiting>();
  const turns = new Map<string, number>();
  const nextTurn = (name: string): number => {
    const turn = (turns.get(name) ?? 0) + 1;
    turns.set(name, turn);
    return turn;
  };
  const isLatest = (name: string, turn: number) => turns.get(name) === turn;
  const settle = (name: string, turn: number) => {
    if (isLatest(name, turn) && waiting.delete(name)) log.info(`${name} is written: there is room again`, { file: name });
  };
  const refuse = (name: string, text: string, turn: number, error: unknown): unknown => {
    if (!isFull(error)) return error;
    const refused = repeatedAfter(waiting.get(name)?.refused, error.message, toTimestamp(clock.now()));
    if (isLatest(name, turn)) waiting.set(name, { text, turn, refused });
    const log_words = withCount(error.message, refused);
    return new StateFilesError('full', error.message, { cause: error, is_told: !isWorthTelling(refused), log_words });
  };
  const retry = async (name: string, { text, turn }: Waiting) => {
    if (!isLatest(name, turn)) return;
    try {
      await files.write(name, text);
      settle(name, turn);
    } catch (error) {
      if (isFull(error) || !isLatest(name, turn)) return;
      waiting.delete(name);
      log.warn(`${name} can't be written, and that is not tried again: ${messageOf(error)}`, { file: name });
    }
  };
  return {
    files: {
      ...files,
      async write(name, text) {
        const turn = nextTurn(name);
        try {
          await files.write(name, text);
        } catch (error) {
          throw refuse(name, text, turn, error);
        }
        settle(name, turn);
      },
      setAside(name, why, reason) {
        nextTurn(name);
        waiting.delete(name);
        return files.setAside(name, why, reason);
      },
      remove(name) {
        nextTurn(name);
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
        await Promise.all([...waiting].map(([name, one]) => retry(name, one)));
      }
    },
  };
}

function isFull(error: unknown): error is StateFilesError {
  return error instanceof StateFilesError && error.kind === 'full';
}
