import type { Adverts } from './adverts.ts';
import type { Candidate } from './candidate.ts';
import type { EpochMemory } from './epoch-memory.ts';
import type { Located, Takeover } from './located.ts';
import type { Peers } from './peers.ts';
import type { Proved } from './prove.ts';
import type { Standing } from './standing.ts';
import type { StepOutcome, TracedCandidate } from './trace.ts';
import type { DiscoveryDeps } from './types.ts';

/** What a round of locating starts from. */
export interface LocateContext {
  readonly deps: DiscoveryDeps;
  readonly epochs: EpochMemory;
  readonly credential: string;
  readonly signal: AbortSignal;
  readonly standing: Pick<Standing, 'phase' | 'located' | 'answer' | 'token' | 'twin' | 'ttl_seconds'>;
  readonly adverts: Adverts;
  readonly peers: Peers;
  /** What the node follows already; then the round looks only for something as good or better. */
  readonly current?: Located;
  /** Present when somebody has to take over at once: nothing is browsed, and the claim waits only for those before this node. */
  readonly takeover?: Takeover;
  /** With `current`: called when it must be left though nothing better was found. */
  readonly stepDown?: (why: string) => void;
}

export interface StepContext extends LocateContext {
  readonly round: Round;
}

/** What the steps of one round have found out for those after them. */
export interface Round {
  /** True when only those are asked that told of something new. */
  readonly isHinted: boolean;
  readonly hinted: readonly Candidate[];
  /** The origins that were asked: each once in a round. */
  readonly asked: Set<string>;
  /** Nodes of the site that advertise themselves, by node_id: enough to queue behind, not to follow. */
  readonly heard: Map<string, Candidate>;
  /** Nodes of the fleet that proved themselves, by node_id. */
  readonly proved: Map<string, Proved>;
  /** Another machine runs as this node; why this one keeps silent, where the other has more right. */
  clone?: { readonly yields?: string };
}

export interface StepResult {
  readonly outcome: StepOutcome;
  readonly detail: string;
  readonly url?: string;
  readonly candidates?: readonly TracedCandidate[];
  readonly located?: Located;
}
