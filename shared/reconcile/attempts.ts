import * as z from 'zod';
import { Count, Sha256 } from '../contract/ids.ts';
import { Component } from '../contract/status.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { StateFiles } from '../ports/state-files.ts';
import type { Attempts } from './types.ts';
import { describeError } from './wording.ts';

export interface AttemptsDeps {
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly log: Log;
  /** How many keys are remembered; the one that was longest unused goes first. Default 256. */
  readonly max_keys?: number;
}

export const ATTEMPTS_FILE = 'attempts.json';
const MAX_KEYS = 256;
/** 2100-01-01 in milliseconds since the Unix epoch. */
const FAR_FLOOR = 4_102_444_800_000;

const AttemptsFile = z.object({
  /** At least the highest number of every key that is no longer listed: a key that comes back counts on from here. */
  floor: Count,
  /** Longest unused first. */
  keys: z.array(z.object({ component: Component, idempotency_key: Sha256, attempt: Count })),
});
type AttemptsFile = z.infer<typeof AttemptsFile>;

/** Numbers applies from 1 on, in `attempts.json`. Rejects with `StateFilesError` when a number can't be kept. */
export function createAttempts(deps: AttemptsDeps): Attempts {
  let last: Promise<unknown> = Promise.resolve();
  let state: AttemptsFile | undefined;

  async function next(component: Component, idempotency_key: string): Promise<number> {
    state ??= await load(deps);
    const counted = count(state, { component, idempotency_key }, deps.max_keys ?? MAX_KEYS);
    // Remembered before it is written: after a write that failed half way, the number is not given again.
    state = counted.state;
    await deps.files.write(ATTEMPTS_FILE, JSON.stringify(state));
    return counted.attempt;
  }

  return {
    next(component, idempotency_key) {
      const number = last.then(() => next(component, idempotency_key));
      last = number.catch(() => {});
      return number;
    },
  };
}

/** The next number of a key, and the state that remembers it. Pure. */
export function count(
  { floor, keys }: AttemptsFile,
  key: Pick<AttemptsFile['keys'][number], 'component' | 'idempotency_key'>,
  max_keys: number,
): { attempt: number; state: AttemptsFile } {
  const before = keys.find(({ idempotency_key }) => idempotency_key === key.idempotency_key);
  const attempt = (before?.attempt ?? floor) + 1;
  const all = [...keys.filter((one) => one !== before), { ...key, attempt }];
  const forgotten = all.slice(0, Math.max(0, all.length - max_keys));
  const state = { floor: Math.max(floor, ...forgotten.map((one) => one.attempt)), keys: all.slice(forgotten.length) };
  return { attempt, state };
}

async function load({ files, clock, log }: AttemptsDeps): Promise<AttemptsFile> {
  try {
    const text = await files.read(ATTEMPTS_FILE);
    return text === undefined ? { floor: 0, keys: [] } : parse(text);
  } catch (error) {
    const why = describeError(error);
    const kept_as = await files.setAside(ATTEMPTS_FILE, why).catch(() => undefined);
    log.warn(`${ATTEMPTS_FILE} can't be read: put aside, attempts are numbered from the time on`, { kept_as, error: why });
    // Numbers grow slower than milliseconds, so the time is above every number that was ever given. A clock that
    // starts at 1970 would number from the beginning again: then from beyond what any right clock has given.
    return { floor: Math.floor(Math.max(0, clock.now()) + (clock.trusted() ? 0 : FAR_FLOOR)), keys: [] };
  }
}

function parse(text: string): AttemptsFile {
  try {
    return AttemptsFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error('it is not valid', { cause });
  }
}
