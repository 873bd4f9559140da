import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Component } from '../contract/status.ts';
import type { PlannedAction } from './action.ts';

/** One part of the environment, as the reconciler drives it. */
export interface EnvironmentComponent {
  readonly component: Component;
  /** The kind of backend, as `fs` or `s3`. */
  readonly backend: string;
  /** How many actions of one kind may run at once. Absent: one after another. */
  readonly concurrency?: number;
  /** Names the backend itself where other machines see it too; absent for one of this node alone. */
  readonly shared_identity?: string;
  /** Reads what is there and says what to do, in order. Writes nothing. Rejects when it can't be read. */
  plan(profile: Partial<EnvironmentProfile>): Promise<PlannedAction[]>;
}
