import type { Answer } from 'dns-packet';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { sameName } from './names.ts';
import { type OwnRecords, rdata } from './records.ts';

/** RFC 6762, section 8.1. */
const PROBES = 3;
const PROBE_INTERVAL_MS = 250;
/** The loser of two who ask for one name at the same time tries again after this (section 8.2). */
const LOST_MS = 1000;
/** Eight announcements at most, the interval doubled each time (section 8.3). */
const ANNOUNCEMENTS = 8;

export interface ClaimDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Rejects when there is no network to send on. */
  probe(): Promise<void>;
  announce(): Promise<void>;
  /** Called with each first packet that went out. */
  sent(): void;
  readonly signal: AbortSignal;
}

/** Asks three times whether a name is free. `lose` sends it back to the start; for a conflict the caller aborts it. */
export class Claim {
  readonly #deps: ClaimDeps;
  #lost = false;

  constructor(deps: ClaimDeps) {
    this.#deps = deps;
  }

  /** Another has asked for the same name at the same time, and wins. */
  lose(): void {
    this.#lost = true;
  }

  /** Resolves with true when the name is ours, with false when it was aborted. */
  async run(): Promise<boolean> {
    const { clock, random, signal } = this.#deps;
    await clock.sleep(random.next() * PROBE_INTERVAL_MS, signal);
    while (!signal.aborted) {
      this.#lost = false;
      if (await this.#probeAll()) return !signal.aborted;
      await clock.sleep(LOST_MS, signal);
    }
    return false;
  }

  async #probeAll(): Promise<boolean> {
    const { clock, signal, probe, sent } = this.#deps;
    for (let count = 0; count < PROBES; count += 1) {
      try {
        await probe();
      } catch {
        return false;
      }
      sent();
      await clock.sleep(PROBE_INTERVAL_MS, signal);
      if (this.#lost || signal.aborted) return false;
    }
    return true;
  }
}

/** Says it now and, as long as it is not aborted, seven times more, at 1, 3, 7, … 127 seconds. Resolves when it ends. */
export async function announceAgain({ clock, signal, announce, sent }: Omit<ClaimDeps, 'probe' | 'random'>): Promise<void> {
  for (let count = 0; count < ANNOUNCEMENTS && !signal.aborted; count += 1) {
    const said = await announce().then(
      () => true,
      () => false,
    );
    if (said) sent();
    await clock.sleep(1000 * 2 ** count, signal);
  }
}

/**
 * Tie-break of two that probe for one name at once (RFC 6762, section 8.2): the records are sorted by
 * class, type and data, and compared one by one; the greater wins. True when theirs wins. What equals ours
 * is our own packet coming back.
 */
export function losesTo(own: OwnRecords, theirs: readonly Answer[], name: string, ours: (record: Answer) => boolean): boolean {
  const proposed = theirs.filter((record) => sameName(record.name, name));
  if (proposed.length === 0 || proposed.every(ours)) return false;
  const left = sortable(own.unique.filter((record) => sameName(record.name, name)) as readonly Answer[]);
  const right = sortable(proposed);
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const [a, b] = [left[index], right[index]];
    // Who runs out of records first loses.
    if (a === undefined || b === undefined) return a === undefined;
    const order = Buffer.compare(a, b);
    if (order !== 0) return order < 0;
  }
  return false;
}

const TYPE_NUMBERS: Readonly<Record<string, number>> = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33 };

/** All are of class IN. The number of the type, then the data. */
function sortable(records: readonly Answer[]): Buffer[] {
  return records
    .flatMap((record) => {
      const data = rdata(record);
      return data === undefined ? [] : [Buffer.concat([Buffer.of(TYPE_NUMBERS[record.type] ?? 255), data])];
    })
    .sort(Buffer.compare);
}
