import type { Fetch } from '../client.ts';
import type { NodePlan } from '../contract/plan.ts';
import type { Lease } from './lease.ts';

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
  /** Present when this node leads. */
  readonly lease?: Lease;
  /** The lease of the cloud that confirms this leader. */
  readonly cloud_lease?: Lease;
  readonly leader?: KnownLeader;
  readonly provisional: boolean;
  /** How long the lease that another holds is good for: a node that may lead looks again after that. */
  readonly look_again_ms?: number;
}

/** True for a leader on the network of this node: its news are listened to, and others take over from it. */
export function isOnLan({ source, lease }: Located): boolean {
  return lease === undefined && (source === 'mdns' || source === 'peer');
}

/** The leader is gone for sure: its process is dead, it released its lease, or it was silent for a whole TTL. */
export interface Takeover {
  /** node_id of the leader that is gone. */
  readonly gone: string;
  /** Where it was, so that one that stepped down can say whom it follows. */
  readonly gone_url?: string;
  /** Who takes over, in order, as that leader told. */
  readonly successors: NodePlan['successors'];
}

/** In words, for the trace and the log. */
export function describe({ source, url, lease, cloud_lease, leader, provisional }: Located): string {
  if (source === 'self') {
    const confirmation = cloud_lease === undefined ? '' : ', confirmed by the cloud';
    return `leads by its own Supervisor, epoch ${lease?.epoch}${provisional ? ', provisional until the cloud answers' : confirmation}`;
  }
  if (lease !== undefined) return `leads by the lease of ${url}, epoch ${lease.epoch}`;
  return leader === undefined ? `follows ${url}; nobody leads the site` : `follows ${url}; ${leader.node_id} leads, epoch ${leader.epoch}`;
}
