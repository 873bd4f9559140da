import { toTimestamp } from '../contract/ids.ts';
import type { Clock } from '../ports/clock.ts';
import { type FileDeps, writeJsonFile } from './json-file.ts';

/** The steps of locating, in the order in which they are tried. */
export type LocateStepName = 'mdns' | 'peers' | 'cloud' | 'self';

/**
 * `found`: it leads to a control plane. `rejected`: somebody answered and was refused. `no_answer`:
 * asked and not answered. `off`: not tried, by configuration or because this version has no such step.
 */
export type StepOutcome = 'found' | 'rejected' | 'no_answer' | 'off';

export interface LocateStep {
  readonly step: LocateStepName;
  readonly outcome: StepOutcome;
  /** Who was asked. */
  readonly url?: string;
  /** Why, in words for a person. */
  readonly detail: string;
  /** On the LAN: who was asked or turned away, the first 32. */
  readonly candidates?: readonly TracedCandidate[];
  readonly duration_ms: number;
}

/** One who answered, or should have, in a step on the LAN. */
export interface TracedCandidate {
  readonly url: string;
  /** As proved, else as somebody said. */
  readonly node_id?: string;
  readonly outcome: Exclude<StepOutcome, 'off'>;
  readonly detail: string;
}

/** One round of locating, kept for `bootplane why`. */
export interface LocateTrace {
  readonly node_id: string;
  readonly at: string;
  /** Why the round was made. */
  readonly reason: LocateReason;
  readonly steps: readonly LocateStep[];
  /** In words; what was found, or that nothing was. */
  readonly result: string;
  readonly duration_ms: number;
}

/**
 * `takeover`: the leader is gone for sure. `hint`: an advert told of something new. `periodic`: all is
 * well, and something better is looked for.
 */
export type LocateReason = 'boot' | 'lost' | 'takeover' | 'hint' | 'periodic';

export const TRACE_FILE = 'discovery-trace.json';
/** A round like the one before is written again only this often, to spare the disk. */
const REWRITE_AFTER_MS = 300_000;

export interface TraceKeeper {
  readonly last: LocateTrace | undefined;
  /** When everybody was asked last, by the monotonic clock. */
  readonly full_at: number;
  keep(trace: Omit<LocateTrace, 'at'>): Promise<void>;
}

/** Keeps the last round in memory and in `discovery-trace.json`. */
export function createTraceKeeper(deps: FileDeps & { readonly clock: Clock }): TraceKeeper {
  let last: LocateTrace | undefined;
  let full_at = Number.NEGATIVE_INFINITY;
  let written: { outcome: string; at: number } | undefined;
  return {
    get last() {
      return last;
    },
    get full_at() {
      return full_at;
    },
    async keep(trace) {
      last = { ...trace, at: toTimestamp(deps.clock.now()) };
      const outcome = outcomeOf(last);
      const now = deps.clock.monotonic();
      if (trace.reason !== 'hint') full_at = now;
      if (written?.outcome === outcome && now - written.at < REWRITE_AFTER_MS) return;
      if (await writeJsonFile(deps, TRACE_FILE, last)) written = { outcome, at: now };
    },
  };
}

/**
 * What makes two rounds differ for a reader. In a round that is made while all is well only what came of it does: who is
 * asked is drawn anew each time, and in a large site each such round would be written. In one that looks for a control
 * plane who was asked does too: it is what the reader of such a round wants to know.
 */
function outcomeOf({ reason, steps, result }: LocateTrace): string {
  if (reason === 'hint' || reason === 'periodic') return result;
  return JSON.stringify([steps.map(({ step, outcome, url, detail, candidates }) => [step, outcome, url, detail, candidates]), result]);
}
