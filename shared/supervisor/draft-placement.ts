import type { ClusterPlan } from '../contract/plan.ts';
import type { Placed } from '../decide/placement.ts';
import type { SupervisorOptions } from './context.ts';
import { placeSite } from './site-placement.ts';
import { createPlacementStore } from './store/placement.ts';

/** Where the services of a plan that have a `count` would run; undefined where this node does not lead its site. */
export type DraftPlacement = (fleet: string, plan: ClusterPlan) => Promise<Placed | undefined>;

/** Places a plan that is not published on the nodes that are there now. Writes nothing. */
export function createDraftPlacement(options: Pick<SupervisorOptions, 'database' | 'self' | 'ttl_seconds'>): DraftPlacement {
  const { database, self } = options;
  const store = createPlacementStore(database, options);
  return async (fleet, plan) => {
    // The registry of a node that does not lead is not the one that counts.
    if (self === undefined || !self.leadership().leads) return undefined;
    const { node, lease, placement } = await store.state(fleet, self.node_id);
    if (node === undefined || lease?.node_id !== self.node_id) return undefined;
    const members = await store.members(fleet, node.site);
    const task = { fleet, node, lease, plan, plan_hash: '', ttl_seconds: node.ttl_seconds };
    return placeSite(task, members, placement).placed;
  };
}
