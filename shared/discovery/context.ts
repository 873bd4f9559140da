import type { Adverts } from './adverts.ts';
import type { Documents } from './documents.ts';
import type { EpochMemory } from './epoch-memory.ts';
import type { Peers } from './peers.ts';
import type { Refusals } from './refusals.ts';
import type { Standing } from './standing.ts';
import type { StepsLog } from './steps-log.ts';
import type { TraceKeeper } from './trace.ts';
import type { DiscoveryDeps } from './types.ts';

/** What the loops of one node share. */
export interface NodeContext {
  readonly deps: DiscoveryDeps;
  /** This node's own credential; the fleet key itself is never sent. */
  readonly credential: string;
  readonly epochs: EpochMemory;
  readonly traces: TraceKeeper;
  readonly adverts: Adverts;
  readonly peers: Peers;
  readonly documents: Documents;
  readonly refusals: Refusals;
  readonly standing: Standing;
  readonly steps: StepsLog;
  /** Hands what is held to the appliers. Called after each look at what is desired, whatever came of it. */
  readonly applyHeld: () => void;
  /** Called as soon as another plan is held: an apply of the one before must not go on until the look has ended. */
  readonly supersedePlan: () => void;
  /** Something that `cluster.json` shows may have changed. */
  readonly changed: () => void;
}
