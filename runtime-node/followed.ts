import type { DiscoveryState } from '../shared/discovery/types.ts';

/** Another node that leads, as it was proved to this one. */
export interface FollowedLeader {
  readonly kind: 'leader';
  /** Where it was dialled when it proved itself. */
  readonly url: string;
  readonly epoch: number;
  readonly node_id: string | undefined;
}

/** Who answers control calls that reach this node. */
export type Decider =
  /** This node leads. */
  | { readonly kind: 'own' }
  | FollowedLeader
  | { readonly kind: 'cloud'; readonly url: string }
  /** None is known at the moment. */
  | { readonly kind: 'nobody' };

type Standing = Pick<DiscoveryState, 'source' | 'leads' | 'epoch' | 'leader_node_id' | 'followed_url'>;

/** What was true before, or stands in the cache, decides nothing: only the control plane that is proved now. */
export function deciderOf(state: Standing): Decider {
  const { source, leads, epoch, leader_node_id, followed_url } = state;
  if (source === 'self') return leads ? { kind: 'own' } : { kind: 'nobody' };
  if (followed_url === undefined || source === undefined || source === 'cache') return { kind: 'nobody' };
  if (source === 'cloud') return { kind: 'cloud', url: followed_url };
  return { kind: 'leader', url: followed_url, epoch, node_id: leader_node_id };
}

/** True for one and the same in one and the same epoch. */
export function isSameDecider(a: Decider, b: Decider): boolean {
  if (a.kind === 'leader' && b.kind === 'leader') return a.url === b.url && a.epoch === b.epoch;
  if (a.kind === 'cloud' && b.kind === 'cloud') return a.url === b.url;
  return a.kind === b.kind;
}
