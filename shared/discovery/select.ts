import type { ServiceReport } from '../contract/node.ts';
import type { NodePlan, PlannedService } from '../contract/plan.ts';
import { numberOf } from '../decide/emergency.ts';
import { holdingPlaces, isEligible } from '../decide/placement.ts';
import type { Desired } from '../reconcile/types.ts';
import type { Verified } from './verify.ts';

export interface SelectingNode {
  readonly node_id: string;
  readonly site: string;
  readonly capabilities: readonly string[];
}

export interface Selection {
  /** What runs here: as the verified plan has it, in plan order. */
  readonly services: Desired<readonly PlannedService[]>;
  /** Names that were told and are not started. */
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
}

/** True when an answer was made from just this version of the Cluster Plan. */
export function matches(answer: NodePlan, { document: { meta } }: Verified<'plan'>): boolean {
  return answer.generation === meta.generation && answer.hash === meta.hash && (answer.emergency ?? 0) === numberOf(meta);
}

/** True when a version is a later one than that which an answer was made from. */
export function isLater({ document: { meta } }: Verified<'plan'>, { generation = -1, emergency = 0 }: NodePlan): boolean {
  return meta.generation > generation || (meta.generation === generation && numberOf(meta) > emergency);
}

/** True when an answer goes by what another machine has reported that runs as the same node, from a copied disk perhaps: it is not this one's. */
export function isOfClone({ instance_id: reported }: NodePlan, instance_id: string): boolean {
  return reported !== undefined && reported !== instance_id;
}

/**
 * The services that an answer takes away and that came up after what was `told` before it was asked for, from what was cached
 * perhaps: who knows that they run here may leave them here, and give away no place of theirs elsewhere.
 */
export function takenUntold({ services }: NodePlan, told: readonly string[], reports: readonly ServiceReport[]): string[] {
  const named = services.map(({ name }) => name);
  return holdingPlaces(reports).filter((name) => !named.includes(name) && !told.includes(name));
}

/**
 * What a node runs: the services of the verified plan that the answer names. The answer selects names
 * only, so a Supervisor that was taken over can start nothing that the fleet did not sign, nor start
 * it on a node that the signed placement keeps it from. `spared` go on where the plan has them for a node with the role of the
 * answer, as it has them: in a new version where it names one.
 */
export function selectServices(answer: NodePlan, plan: Verified<'plan'>, node: SelectingNode, spared: readonly string[] = []): Selection {
  const { generation, hash } = plan.document.meta;
  const named = new Set(answer.services.map(({ name }) => name));
  const planned = new Set(plan.body.services.map(({ name }) => name));
  const strangers = [...named].filter((name) => !planned.has(name));
  const isSpared = ({ name, placement }: PlannedService) =>
    spared.includes(name) && isEligible(placement, node.site, { ...node, role: answer.role });
  const chosen = plan.body.services.filter((service) => named.has(service.name) || isSpared(service));
  const misplaced = chosen.filter((service) => !mayRunOn(service, node));
  return {
    services: { body: chosen.filter((service) => !misplaced.includes(service)), generation, hash },
    refused: [
      ...strangers.map((name) => ({ name, reason: `a Supervisor named a service that no verified plan holds: ${name}` })),
      ...misplaced.map(({ name }) => ({ name, reason: `a Supervisor named a service that its plan does not allow on this node: ${name}` })),
    ],
  };
}

/** As far as one node can tell: not by role, which the same Supervisor gives, nor by count. */
export function mayRunOn({ placement }: PlannedService, { node_id, site, capabilities }: SelectingNode): boolean {
  return isEligible({ ...placement, roles: [] }, site, { node_id, role: 'worker', capabilities });
}
