import type { BootstrapEvent } from '../../shared/contract/event.ts';
import type { EnvironmentProfile } from '../../shared/contract/profile.ts';
import type { PrunePreview, PruneResult } from '../../shared/contract/prune.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import type { ObjectStorage } from '../../shared/ports/object-storage.ts';
import type { Ownership } from '../../shared/ports/ownership.ts';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { createAttempts } from '../../shared/reconcile/attempts.ts';
import { createMaker } from '../../shared/reconcile/ownership.ts';
import { createPrune, type FormerNames, type Intent, type PruneDeps } from '../../shared/reconcile/prune/index.ts';
import { createEnvironmentReconciler } from '../../shared/reconcile/reconciler.ts';
import { createTurns } from '../../shared/reconcile/turns.ts';
import type { Desired } from '../../shared/reconcile/types.ts';
import { desiredProfile, type EnvironmentOptions, memoryBackends, type ProfileInput } from './memory-environment.ts';
import { memoryOwnership } from './memory-ownership.ts';
import { memoryStateFiles } from './memory-state-files.ts';
import { recordingLog } from './recording-log.ts';
import { SimulatedClock } from './simulated-clock.ts';

export const OUR_MARK = 'bootplane:this-fleet';

interface Backends {
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
}

export type PruneOverrides = Partial<
  Pick<PruneDeps, 'reconciledBy' | 'forwards' | 'call_limit_ms' | 'removal_limit_ms' | 'node_id'> & { ownership: Ownership }
>;

/** One node that applies profiles and prunes, on any backends. `doubts`, `profile` and `former` are what its discovery would say. */
export function pruneOn(backends: Backends, overrides: PruneOverrides = {}, clock: SimulatedClock = new SimulatedClock()) {
  const { ownership = memoryOwnership(), ...given } = overrides;
  const log = recordingLog();
  const events: BootstrapEvent[] = [];
  const files = memoryStateFiles();
  const node: { doubts: string[]; profile: Desired<EnvironmentProfile> | undefined; former: FormerNames } = {
    doubts: [],
    profile: undefined,
    former: { buckets: [], classes: [] },
  };
  const intent: Intent = {
    profile: () => node.profile,
    doubts: () => node.doubts,
    ask: async () => node.doubts,
    former: async () => node.former,
  };
  const report = (event: BootstrapEvent) => void events.push(event);
  const shared = { node_id: 'node-1', clock, log, attempts: createAttempts({ files, clock, log }), report, ...backends, ...given };
  const inTurn = createTurns();
  const reconciler = createEnvironmentReconciler({ ...shared, inTurn, maker: createMaker({ ownership, made_by: OUR_MARK, log }) });
  const prune = createPrune({ ...shared, inTurn, ownership, made_by: OUR_MARK, intent });
  let generation = 0;
  return {
    node,
    clock,
    log,
    events,
    ownership,
    reconciler,
    prune,
    inTurn,
    /** Publishes a profile, which is applied at once. */
    async apply(input: ProfileInput) {
      generation += 1;
      node.profile = await desiredProfile(input, generation);
      return reconciler.apply(node.profile);
    },
    preview: () => prune.preview(),
    /** Approves the hash of a preview. */
    async approve(preview: PrunePreview, include_non_empty = false) {
      if (preview.hash === undefined) throw new Error(`there is nothing to approve: ${JSON.stringify(preview)}`);
      return prune.run({ hash: preview.hash, include_non_empty }, 'fleet-key (operator)');
    },
  };
}

/** The same, with backends in memory. */
export function pruneWorld(options: EnvironmentOptions = {}, overrides: PruneOverrides = {}) {
  const made = memoryBackends(options);
  // A copy, so that a test can put something in the place of a method.
  const backends = { ...made, bus: { ...made.bus } };
  return { ...pruneOn(backends, overrides, backends.clock), backends };
}

/** `remove-queue queue frames`, in the order in which it would run. */
export function named(preview: PrunePreview): string[] {
  return preview.components.flatMap(({ actions }) => actions.map(({ kind, subject }) => `${kind} ${subject}`));
}

export function outcomes(answer: PruneResult | { refused: unknown }): Record<string, string> {
  if ('refused' in answer) throw new Error(`refused: ${JSON.stringify(answer.refused)}`);
  return Object.fromEntries(answer.results.map(({ kind, subject, outcome }) => [`${kind} ${subject}`, outcome]));
}
