import type { BacklogStatus, EnvironmentComponentName } from '../../contract/backlog.ts';
import { canonicalJson } from '../../contract/canonical.ts';
import type { Made } from '../../contract/made.ts';
import type { EnvironmentProfile } from '../../contract/profile.ts';
import type { PruneAction, PruneEvidence, PruneKept } from '../../contract/prune.ts';
import type { BackendName, Renewal } from '../../ports/ownership.ts';

/** One removal with what runs it. */
export interface Removal {
  readonly view: PruneAction;
  /** Subjects that must not have failed or stayed earlier in the same run. */
  readonly needs: readonly string[];
  /**
   * Rejects with `StaysError` or with an error of the port. `view.evidence.empty` was approved: then the backend itself
   * refuses to remove it where it is not empty any more, but for what is `unguarded`. Nothing more goes after `signal`.
   */
  execute(signal: AbortSignal): Promise<void>;
  /** It was made here, and is not there any more. */
  readonly forget?: Made;
  /** It was made here, and is another way now. */
  readonly renew?: Renewal;
}

/** What a look at one backend found. */
export interface Findings {
  /** In the order in which they may run. */
  readonly removals: readonly Removal[];
  readonly kept: readonly PruneKept[];
  /** Noted as made here, and not there any more, or somebody else's now. */
  readonly gone: readonly Made[];
}

/** What is known before the look. */
export interface Known {
  readonly made_by: string;
  /** What this node noted of this backend. */
  readonly owned: readonly Made[];
  /** Names in earlier profiles. What a backend marks as made here is found by them, whichever node made it. */
  readonly former: FormerNames;
}

export interface FormerNames {
  readonly buckets: readonly string[];
  readonly classes: readonly string[];
}

/** A backend that things may be removed from. */
export interface PrunePlace {
  readonly name: BackendName;
  /** As `s3`. */
  readonly backend: string;
  /** Other machines see it too. */
  readonly is_shared: boolean;
  /** Of a component with an external. */
  readonly backlog?: () => BacklogStatus;
  find(profile: EnvironmentProfile, known: Known): Promise<Findings>;
}

export type { EnvironmentComponentName };

/** It is not removed, for a reason that is no failure. */
export class StaysError extends Error {
  override readonly name = 'StaysError';
  readonly kind = 'stays';
}

export const NOTHING_LOST: PruneEvidence = { empty: true, holds: {} };
export const NO_LONGER_NAMED = 'bootplane made it, and the profile no longer names it';

/** What is approved as empty is looked at once more where the backend can't do that itself. */
export async function refuseGrown(approved: PruneEvidence, read: () => Promise<PruneEvidence>): Promise<void> {
  if (approved.empty && !(await read()).empty) throw new StaysError('it is not empty any more');
}

/** A run takes its time, and what somebody has made anew since the look is theirs. `is`: as it stands now, if it does. */
export function refuseChanged(was: unknown, is: unknown): void {
  if (is !== undefined && textOf(is) !== textOf(was)) throw new StaysError('it is not any more what was shown');
}

/** The same for the same values; what is absent and what is undefined are one. */
export function textOf(value: unknown): string {
  return canonicalJson(JSON.parse(JSON.stringify(value)));
}
