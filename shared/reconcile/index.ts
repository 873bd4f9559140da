/** The reconcilers of storage, broker and vector index. Published as `bootplane/reconcile`. */
export type { ActionOf, Catalogue, ExecutableKind, Executors, PlannedAction } from './action.ts';
export { type AttemptsDeps, createAttempts } from './attempts.ts';
export { brokerComponent, brokerExecutors } from './broker.ts';
export type { BrokerAction, BrokerActions } from './broker-actions.ts';
export { diffBroker } from './broker-diff.ts';
export type { EnvironmentComponent } from './component.ts';
export { type DriftLoopDeps, driftDelayMs, runDriftLoop } from './drift-loop.ts';
export { createEnvironmentReconciler, type ReconcilerDeps } from './reconciler.ts';
export { storageComponent, storageExecutors } from './storage.ts';
export type { StorageAction, StorageActions } from './storage-actions.ts';
export { diffStorage } from './storage-diff.ts';
export type * from './types.ts';
export { vectorComponent, vectorExecutors } from './vector.ts';
export type { VectorAction, VectorActions } from './vector-actions.ts';
export { diffVector } from './vector-diff.ts';
