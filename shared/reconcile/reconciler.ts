import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Component, Components } from '../contract/status.ts';
import type { EventBus } from '../ports/event-bus.ts';
import type { ObjectStorage } from '../ports/object-storage.ts';
import type { VectorIndex } from '../ports/vector-index.ts';
import { applyComponent, type ComponentMemory, leaveComponent } from './apply-component.ts';
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
  /**
   * The node that reconciles this backend for others, where that is not this one: two nodes at different generations
   * must never fight over one backend. Default: nobody else does.
   */
  readonly reconciledBy?: (component: Component, identity: string) => string | undefined;
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
      for (const { component, memory } of parts) {
        const other = reconciledBy(deps, component);
        if (other === undefined) await applyComponent(runDeps, component, profile, memory);
        else await leaveComponent(runDeps, component, profile, { memory, reconciled_by: other });
      }
      return status();
    }),
    async diff(profile) {
      const diffs: ComponentDiff[] = [];
      for (const { component } of parts) diffs.push(await diffComponent({ ...deps, ...runDeps }, component, profile));
      return diffs;
    },
    status,
  };
}

function reconciledBy({ reconciledBy }: Pick<ReconcilerDeps, 'reconciledBy'>, { component, shared_identity }: EnvironmentComponent) {
  return shared_identity === undefined ? undefined : reconciledBy?.(component, shared_identity);
}

async function diffComponent(
  deps: Pick<ReconcilerDeps, 'reconciledBy'> & Pick<RunDeps, 'clock' | 'call_limit_ms'>,
  environment: EnvironmentComponent,
  { body }: Desired<EnvironmentProfile>,
): Promise<ComponentDiff> {
  const { component, backend, plan } = environment;
  const { clock, call_limit_ms } = deps;
  const reconciled_by = reconciledBy(deps, environment);
  if (reconciled_by !== undefined) return { component, backend, actions: [], reconciled_by };
  try {
    const planned = await withDeadline(clock, call_limit_ms, () => plan(body));
    return { component, backend, actions: planned.map(({ view }) => view) };
  } catch (error) {
    return { component, backend, actions: [], failed: describeError(error) };
  }
}
