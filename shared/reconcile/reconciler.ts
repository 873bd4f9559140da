import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Components } from '../contract/status.ts';
import type { EventBus } from '../ports/event-bus.ts';
import type { ObjectStorage } from '../ports/object-storage.ts';
import type { VectorIndex } from '../ports/vector-index.ts';
import { brokerComponent } from './broker.ts';
import { type Prepared, prepareDefault } from './fall-forward/embedded-default.ts';
import type { Forwards } from './fall-forward/types.ts';
import { latestOnly } from './latest.ts';
import { type Maker, makerFor } from './ownership.ts';
import { applyPart, diffPart, type Part, type PartDeps, toPart } from './part.ts';
import { storageComponent } from './storage.ts';
import { createTurns, type InTurn } from './turns.ts';
import type { ComponentDiff, Desired, EnvironmentReconciler } from './types.ts';
import { vectorComponent } from './vector.ts';

export interface ReconcilerDeps extends Omit<PartDeps, 'call_limit_ms'> {
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
  /** Of the components with an external: both sides are brought to the profile, and the ports of the same names are not used. */
  readonly forwards?: Forwards;
  /** Told of a profile to which the embedded defaults beside externals were just brought. Never throws. */
  readonly onPrepared?: (profile: EnvironmentProfile) => void;
  /** Keeps what is made here. Without it nothing of it can be pruned. */
  readonly maker?: Maker;
  /** Shared with whatever must not run while an apply does. */
  readonly inTurn?: InTurn;
  /** Milliseconds that one call to a backend may take; default 60000. A slower one fails its component, and the next goes on. */
  readonly call_limit_ms?: number;
}

const CALL_LIMIT_MS = 60_000;

/**
 * Brings storage, broker and vector index to what a profile asks for, in this order, by additions and
 * safe updates only. Applies are serialised; of those that wait, the newest runs. Embedded defaults beside externals
 * come first: nothing that is written waits for an external that hangs.
 */
export function createEnvironmentReconciler(deps: ReconcilerDeps): EnvironmentReconciler {
  const runDeps = { ...deps, call_limit_ms: deps.call_limit_ms ?? CALL_LIMIT_MS };
  const { forwards = {}, maker, inTurn = createTurns() } = deps;
  const parts = [
    toPart((port) => storageComponent(port, makerFor(maker, 'storage', port)), deps.storage, forwards.storage),
    toPart((port) => brokerComponent(port, makerFor(maker, 'broker', port)), deps.bus, forwards.broker),
    toPart((port) => vectorComponent(port, makerFor(maker, 'vector', port)), deps.vector, forwards.vector),
  ];
  const applyAll = async (profile: Desired<EnvironmentProfile>) => {
    const prepared = new Map<Part, Prepared>();
    for (const part of parts) if (part.embedded !== undefined) prepared.set(part, await prepareDefault(runDeps, part.embedded, profile));
    if (prepared.size > 0) deps.onPrepared?.(profile.body);
    for (const part of parts) await applyPart(runDeps, part, profile, prepared.get(part));
    return status();
  };
  const status = (): Components =>
    Object.fromEntries(
      parts.flatMap(({ component, memory }) => (memory.status === undefined ? [] : [[component.component, memory.status]])),
    );

  return {
    apply: latestOnly((profile) => inTurn(() => applyAll(profile))),
    async diff(profile) {
      const diffs: ComponentDiff[] = [];
      for (const part of parts) diffs.push(await diffPart(runDeps, part, profile));
      return diffs;
    },
    status,
  };
}
