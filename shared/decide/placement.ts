import type { Role } from '../contract/ids.ts';
import type { Liveness } from '../contract/node.ts';
import type { ClusterPlan, Placement, PlannedService } from '../contract/plan.ts';
import { rankByRendezvous } from './rendezvous.ts';

export interface PlacementNode {
  readonly node_id: string;
  readonly role: Role;
  readonly capabilities: readonly string[];
  readonly liveness: Liveness;
}

/** Node ids by service name. */
export type Placed = Readonly<Record<string, readonly string[]>>;

/** Who has a service already. They keep it as long as they may. */
export interface Incumbents {
  /** The nodes that report it as running. They come first. */
  readonly running: Placed;
  /** The nodes that it was placed on the last time; they may still be starting it. */
  readonly placed?: Placed;
}

export interface PlacementOptions {
  /**
   * The leader is new and may not have heard everybody: placement stays as the nodes report it. Who
   * has a service keeps it, even above `count`, and nobody gets one that it has not.
   */
  readonly settling?: boolean;
}

/** True when nothing but liveness and `count` can keep the node of a site from running a service. Empty lists mean everywhere. */
export function isEligible(placement: Placement, site: string, node: Omit<PlacementNode, 'liveness'>): boolean {
  const admits = (list: readonly string[], value: string) => list.length === 0 || list.includes(value);
  return (
    admits(placement.sites, site) &&
    admits(placement.roles, node.role) &&
    admits(placement.nodes, node.node_id) &&
    placement.capabilities.every((capability) => node.capabilities.includes(capability))
  );
}

/**
 * The nodes of one site that each service of the plan runs on. With `count`, at most that many:
 * nodes that have it first, then rendezvous order, so that losing one node moves only that node's
 * share and a new node takes nothing from others. A `late` node keeps what it has and gets nothing
 * new; a `lost` one or one that left has nothing.
 */
export function placeServices(
  plan: Pick<ClusterPlan, 'services'>,
  site: string,
  nodes: readonly PlacementNode[],
  incumbents: Incumbents,
  options: PlacementOptions = {},
): Record<string, string[]> {
  const live = nodes.filter(({ liveness }) => liveness === 'online' || liveness === 'late');
  return Object.fromEntries(plan.services.map((service) => [service.name, placeOne(service, site, live, incumbents, options)]));
}

function placeOne(
  { name, placement }: PlannedService,
  site: string,
  live: readonly PlacementNode[],
  incumbents: Incumbents,
  { settling = false }: PlacementOptions,
): string[] {
  const running = new Set(nodesOf(incumbents.running, name));
  const placed = new Set(nodesOf(incumbents.placed ?? {}, name));
  const has = (node_id: string) => running.has(node_id) || placed.has(node_id);
  const eligible = live.filter((node) => isEligible(placement, site, node));
  const takers = eligible.filter(({ node_id, liveness }) => liveness === 'online' || has(node_id)).map(({ node_id }) => node_id);
  const ranked = rankByRendezvous(name, takers);
  if (placement.count === undefined) return ranked;
  const kept = ranked.filter((id) => running.has(id));
  const starting = ranked.filter((id) => placed.has(id) && !running.has(id));
  const others = ranked.filter((id) => !has(id));
  if (settling) return [...kept, ...starting.slice(0, Math.max(0, placement.count - kept.length))];
  return [...kept, ...starting, ...others].slice(0, placement.count);
}

/**
 * The services that one node runs, in plan order. Only services with a `count` depend on the other
 * nodes; for them `placed` decides.
 */
export function servicesOn(
  plan: Pick<ClusterPlan, 'services'>,
  site: string,
  node: Omit<PlacementNode, 'liveness'>,
  placed: Placed,
): PlannedService[] {
  return plan.services.filter(({ name, placement }) => {
    if (!isEligible(placement, site, node)) return false;
    return placement.count === undefined || nodesOf(placed, name).includes(node.node_id);
  });
}

/** True when the plan cannot be placed without knowing the other nodes. */
export function needsMembership(plan: Pick<ClusterPlan, 'services'>): boolean {
  return plan.services.some(({ placement }) => placement.count !== undefined);
}

/** The nodes of one service; a service may be called `constructor`. */
export function nodesOf(placed: Placed, name: string): readonly string[] {
  return Object.hasOwn(placed, name) ? (placed[name] ?? []) : [];
}
