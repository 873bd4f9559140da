import type { EnvironmentComponentName } from '../contract/backlog.ts';
import type { Made } from '../contract/made.ts';

/**
 * What this node made on its backends: the only things that it may ever remove. What is not in here was there before, or
 * was made by somebody else.
 * Default: SQLite on the disk of the node. What a call resolves with outlives the process; a loss of power may take the
 * last notes along, which then count as foreign, and never brings back what was told to be forgotten. Each may reject with an `Error`.
 */
export interface Ownership {
  /** Notes what was just made. What was noted of the same place before is replaced. */
  note(backend: BackendName, made: readonly Made[]): Promise<void>;
  /**
   * Notes how they are now, of those that are noted just as they were before. What was another way had been changed by
   * somebody else, and stays as it is noted; what is not noted stays foreign.
   */
  renew(backend: BackendName, changes: readonly Renewal[]): Promise<void>;
  /** All that was made there, in the order in which it was first noted. */
  list(backend: BackendName): Promise<Made[]>;
  /** They are gone, or somebody else's now. */
  forget(backend: BackendName, made: readonly Made[]): Promise<void>;
  close(): Promise<void>;
}

/** Both take the same place. */
export interface Renewal {
  readonly from: Made;
  readonly to: Made;
}

/** What was made on one backend says nothing about another. */
export interface BackendName {
  readonly component: EnvironmentComponentName;
  readonly identity: string;
}
