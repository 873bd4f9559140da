import type { BootstrapEvent } from '../contract/event.ts';
import type { ServiceReport } from '../contract/node.ts';
import type { PlannedService } from '../contract/plan.ts';
import type { EnvironmentProfile } from '../contract/profile.ts';
import type { ActionView, ComponentDiff, Safety } from '../contract/reconcile.ts';
import type { Component, ComponentStatus, Components, Incompatible } from '../contract/status.ts';

/** A verified document (or the part of it that concerns this node) with what names it. */
export interface Desired<T> {
  readonly body: T;
  readonly generation: number;
  readonly hash: string;
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
  /** Calls the listener when an external goes away or answers again: what it lacks is applied at once then, and how it stands is told. */
  onPresence?(listener: () => void): void;
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

export type { ActionView, ComponentDiff, Incompatible, Safety };
