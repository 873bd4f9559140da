import type { Role } from '../contract/ids.ts';
import type { ClusterPlan, PlannedService } from '../contract/plan.ts';
import { isEligible, servicesOn } from '../decide/placement.ts';
import type { SelectingNode } from './select.ts';

export interface DraftedNode extends SelectingNode {
  readonly role: Role;
  /** What it runs now by the plan that it holds. */
  readonly has: readonly PlannedService[];
}

export interface DraftSelection {
  /** What would run here, in plan order. */
  readonly services: readonly PlannedService[];
  /** Names of services with a `count` whose place only the leader of the site can tell. They are taken to stay as they are. */
  readonly undecided: readonly string[];
}

/** What of a Cluster Plan that is not published would run on a node. `placed` is its placement on the site, where that is known. */
export function selectDraft(
  plan: Pick<ClusterPlan, 'services'>,
  node: DraftedNode,
  placed: Readonly<Record<string, readonly string[]>> | undefined,
): DraftSelection {
  if (placed !== undefined) return { services: servicesOn(plan, node.site, node, placed), undecided: [] };
  const able = plan.services.filter(({ placement }) => isEligible(placement, node.site, node) && placement.count !== 0);
  const before = new Map(node.has.map((service) => [service.name, service]));
  return {
    services: able.filter(({ name, placement }) => placement.count === undefined || before.has(name)),
    undecided: able.filter((service) => !isSettled(service, before.get(service.name))).map(({ name }) => name),
  };
}

/** Who has a place keeps it while there are as many as before. */
function isSettled({ placement: { count } }: PlannedService, before: PlannedService | undefined): boolean {
  if (count === undefined) return true;
  if (before === undefined) return false;
  return before.placement.count !== undefined && count >= before.placement.count;
}
