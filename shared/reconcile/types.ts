import type { BootstrapEvent } from '../contract/event.ts';
import type { ServiceReport } from '../contract/node.ts';
import type { PlannedService } from '../contract/plan.ts';
import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Component, ComponentStatus, Components, Incompatible } from '../contract/status.ts';

/** A verified document (or the part of it that concerns this node) with what names it. */
export interface Desired<T> {
  readonly body: T;
  readonly generation: number;
  readonly hash: string;
}

/**
 * `add` and `update` run by themselves. `incompatible` is shown and skipped. `destroy` removes data
 * or shortens its life and never runs without intent.
 */
export type Safety = 'add' | 'update' | 'incompatible' | 'destroy';

/** What every action of every component says of itself, for people and for `--dry-run`. */
export interface ActionView {
  /** The action, as `ensure-bucket`. */
  readonly kind: string;
  readonly safety: Safety;
  /** What it is about, as `bucket captures` or `queue frames`. */
  readonly subject: string;
  readonly before?: unknown;
  readonly after?: unknown;
  /** For `incompatible` and `destroy`: why it is skipped and what a person can do. */
  readonly detail?: string;
}

/** What an apply of one component would do. `failed` names why the actual state could not be read. */
export interface ComponentDiff {
  readonly component: Component;
  readonly backend: string;
  readonly actions: readonly ActionView[];
  readonly failed?: string;
}

/** Where finished steps are told. Never rejects, never blocks an apply. */
export type Report = (event: BootstrapEvent) => void;

/** Numbers the applies of one idempotency key. Kept on disk: a number never comes twice. Rejects when it can't be kept. */
export interface Attempts {
  next(component: Component, idempotency_key: string): Promise<number>;
}

/** Storage, then broker, then vector index; one that fails does not keep the next from running. */
export interface EnvironmentReconciler {
  /** Runs all three, reports each, and resolves with how they stand. Never rejects. */
  apply(profile: Desired<EnvironmentProfile>): Promise<Components>;
  /** What `apply` would do. Writes nothing. */
  diff(profile: Desired<EnvironmentProfile>): Promise<ComponentDiff[]>;
  /** How each stands after its last apply. */
  status(): Components;
}

/** Local services: plain processes, started in plan order, each waiting for its health check. */
export interface ServiceManager {
  /** Finds what an earlier run of this node left running. Called once, before the first apply. */
  adopt(): Promise<void>;
  /**
   * Starts what is missing, restarts what changed, stops (in reverse order) what the list no longer
   * has. Resolves when each one is healthy or has failed. A later call supersedes one under way. Never rejects.
   */
  apply(services: Desired<readonly PlannedService[]>): Promise<ComponentStatus>;
  /** What `apply` would do. Starts and stops nothing. */
  diff(services: Desired<readonly PlannedService[]>): Promise<ComponentDiff>;
  /** Every service as it stands now. */
  reports(): ServiceReport[];
  status(): ComponentStatus | undefined;
  /** Stops all in reverse order of start, waiting for each. */
  stop(): Promise<void>;
  /** Ends supervision and leaves the processes running (a node that hands over to its next version). */
  detach(): void;
}

export type { Incompatible };
