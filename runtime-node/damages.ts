import { basename } from 'node:path';
import { toTimestamp } from '../shared/contract/ids.ts';
import type { FileSetAside } from '../shared/contract/status.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import type { SetAsideReason } from '../shared/ports/state-files.ts';
import { dropOldCopies, moveAside } from './adapters/set-aside.ts';

/** Health shows no more than this: what comes after says nothing new. */
const SHOWN = 20;

/** Everything that could not be used and was moved away since the start of the process. */
export interface Damages {
  /** The oldest first. */
  readonly list: readonly FileSetAside[];
  /**
   * Moves a file (or folder) away, with what SQLite keeps beside it, and notes it. Of what the node can make again, a
   * few copies are kept. Throws what the file system throws.
   */
  setAside(path: string, why: string): void;
  /** The same for data of services: every copy stays, since nothing can make it again. */
  setDataAside(path: string, why: string): void;
  /** Notes one that somebody else has moved away and logged. */
  note(file: string, why: string, kept_as: string | undefined, reason?: SetAsideReason): void;
  /** Called for each that was noted before and for each that follows. Replaces the one before. */
  onDamage(listener: (damage: FileSetAside) => void): void;
}

export function createDamages({ clock, log }: { readonly clock: Pick<Clock, 'now'>; readonly log: Log }): Damages {
  const list: FileSetAside[] = [];
  let listener: (damage: FileSetAside) => void = () => undefined;
  const note: Damages['note'] = (file, why, kept_as, reason) => {
    const at = toTimestamp(clock.now());
    const of = reason === 'other-key' ? { reason: 'other_key' as const } : {};
    const damage = { file, why, ...(kept_as === undefined ? {} : { kept_as }), ...of, at };
    if (list.length < SHOWN) list.push(damage);
    listener(damage);
  };
  const move = (path: string, why: string) => {
    const kept_as = moveAside(path, clock.now());
    log.error(`${basename(path)} can't be used: ${why}; it is kept as ${kept_as}, and a new one takes its place`, { file: basename(path) });
    note(basename(path), why, kept_as);
  };
  return {
    list,
    note,
    setAside(path, why) {
      move(path, why);
      dropOldCopies(path);
    },
    setDataAside: move,
    onDamage(next) {
      listener = next;
      for (const damage of list) next(damage);
    },
  };
}
