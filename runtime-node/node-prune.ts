import type { NodeKeys } from '../shared/contract/fleet-keys.ts';
import type { Discovery } from '../shared/discovery/types.ts';
import { createMaker, makerMark } from '../shared/reconcile/ownership.ts';
import { createPrune, type Intent, type Prune, type PruneDeps } from '../shared/reconcile/prune/index.ts';
import type { ReconcilerDeps } from '../shared/reconcile/reconciler.ts';
import { createTurns } from '../shared/reconcile/turns.ts';
import type { Ports } from './compose.ts';

export interface NodePruneParts extends Pick<PruneDeps, 'node_id' | 'clock' | 'log' | 'attempts' | 'report' | 'reconciledBy' | 'forwards'> {
  readonly ports: Pick<Ports, 'storage' | 'bus' | 'vector' | 'ownership'>;
  readonly fleetKeys: NodeKeys;
  readonly discovery: () => Pick<Discovery, 'intent'> | undefined;
}

export interface NodePrune {
  /** Undefined where nothing is noted of what is made: then nothing may be removed. */
  readonly prune: Prune | undefined;
  /** What the reconciler shares with it. */
  readonly reconciler: Pick<ReconcilerDeps, 'maker' | 'inTurn'>;
}

/** What removes things that this node made, and how the reconciler tells it of them. */
export function createNodePrune({ ports, fleetKeys, discovery, ...shared }: NodePruneParts): NodePrune {
  const { storage, bus, vector, ownership } = ports;
  const inTurn = createTurns();
  if (ownership === undefined) return { prune: undefined, reconciler: { inTurn } };
  const made_by = makerMark(fleetKeys.documents.key_id);
  return {
    prune: createPrune({ ...shared, storage, bus, vector, ownership, made_by, inTurn, intent: lateIntent(discovery) }),
    reconciler: { inTurn, maker: createMaker({ ownership, made_by, log: shared.log }) },
  };
}

/** Of the discovery that comes to be after the Supervisor which asks it. */
function lateIntent(discovery: NodePruneParts['discovery']): Intent {
  const starting = ['this node is starting'];
  return {
    profile: () => discovery()?.intent.profile(),
    doubts: () => discovery()?.intent.doubts() ?? starting,
    ask: async () => (await discovery()?.intent.ask()) ?? starting,
    former: async () => (await discovery()?.intent.former()) ?? { buckets: [], classes: [] },
  };
}
