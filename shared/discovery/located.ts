import type { Fetch } from '../client.ts';
import type { EpochMemory } from './epoch-memory.ts';
import type { Lease } from './lease.ts';
import type { StepOutcome } from './trace.ts';
import type { DiscoveryDeps } from './types.ts';

/** Who leads the site, as the control plane told. */
export interface KnownLeader {
  readonly node_id: string;
  readonly leader_url: string;
  readonly epoch: number;
}

/** A control plane that was found and proved. */
export interface Located {
  readonly source: 'mdns' | 'peer' | 'cloud' | 'self';
  /** Where calls go. */
  readonly url: string;
  readonly fetch: Fetch;
  /** Whose documents these are: generations are compared within one line only. */
  readonly line: string;
  /** Present when this node leads. */
  readonly lease?: Lease;
  /** The lease of the cloud that confirms this leader. */
  readonly cloud_lease?: Lease;
  readonly leader?: KnownLeader;
  readonly provisional: boolean;
  /** How long the lease that another holds is good for: a node that may lead looks again after that. */
  readonly look_again_ms?: number;
}

export interface StepContext {
  readonly deps: DiscoveryDeps;
  readonly epochs: EpochMemory;
  readonly credential: string;
  readonly signal: AbortSignal;
  /** What the node follows already; then the round looks only for something as good or better. */
  readonly current?: Located;
}

export interface StepResult {
  readonly outcome: StepOutcome;
  readonly detail: string;
  readonly url?: string;
  readonly located?: Located;
}

/** In words, for the trace and the log. */
export function describe({ source, url, lease, leader, provisional }: Located): string {
  if (source === 'self')
    return `leads by its own Supervisor, epoch ${lease?.epoch}${provisional ? ', provisional until the cloud answers' : ''}`;
  if (lease !== undefined) return `leads by the lease of ${url}, epoch ${lease.epoch}`;
  return leader === undefined ? `follows ${url}; nobody leads the site` : `follows ${url}; ${leader.node_id} leads, epoch ${leader.epoch}`;
}
