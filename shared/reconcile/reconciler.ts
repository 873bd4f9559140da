import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Components } from '../contract/status.ts';
import type { EventBus } from '../ports/event-bus.ts';
import type { ObjectStorage } from '../ports/object-storage.ts';
import type { VectorIndex } from '../ports/vector-index.ts';
import { applyComponent, type ComponentMemory } from './apply-component.ts';
import { brokerComponent } from './broker.ts';
import type { EnvironmentComponent } from './component.ts';
import type { RunDeps } from './component-run.ts';
import { withDeadline } from './deadline.ts';
import { latestOnly } from './latest.ts';
import { storageComponent } from './storage.ts';
import type { ComponentDiff, Desired, EnvironmentReconciler } from './types.ts';
import { vectorComponent } from './vector.ts';
import { describeError } from './wording.ts';

export interface ReconcilerDeps extends Omit<RunDeps, 'call_limit_ms'> {
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
  /** Milliseconds that one call to a backend may take; default 60000. A slower one fails its component, and the next goes on. */
  readonly call_limit_ms?: number;
}

const CALL_LIMIT_MS = 60_000;

/**
 * Brings storage, broker and vector index to what a profile asks for, in this order, by additions and
 * safe updates only. Applies are serialised; of those that wait, the newest runs.
 */
export function createEnvironmentReconciler(deps: ReconcilerDeps): EnvironmentReconciler {
  const runDeps = { ...deps, call_limit_ms: deps.call_limit_ms ?? CALL_LIMIT_MS };
  const parts = [storageComponent(deps.storage), brokerComponent(deps.bus), vectorComponent(deps.vector)].map((component) => ({
    component,
    memory: {} as ComponentMemory,
  }));
  const status = (): Components =>
    Object.fromEntries(
      parts.flatMap(({ component, memory }) => (memory.status === undefined ? [] : [[component.component, memory.status]])),
    );

  return {
    apply: latestOnly(async (profile) => {
      for (const { component, memory } of parts) await applyComponent(runDeps, component, profile, memory);
      return status();
    }),
    async diff(profile) {
      const diffs: ComponentDiff[] = [];
      for (const { component } of parts) diffs.push(await diffComponent(runDeps, component, profile));
      return diffs;
    },
    status,
  };
}

async function diffComponent(
  { clock, call_limit_ms }: Pick<RunDeps, 'clock' | 'call_limit_ms'>,
  { component, backend, plan }: EnvironmentComponent,
  { body }: Desired<EnvironmentProfile>,
): Promise<ComponentDiff> {
  try {
    const planned = await withDeadline(clock, call_limit_ms, () => plan(body));
    return { component, backend, actions: planned.map(({ view }) => view) };
  } catch (error) {
    return { component, backend, actions: [], failed: describeError(error) };
  }
}
