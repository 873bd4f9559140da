import type { Role } from '../contract/ids.ts';
import type { Liveness, ServiceReport, ServiceState } from '../contract/node.ts';
import type { ClusterPlan, Placement, PlannedService } from '../contract/plan.ts';
import { type Hashed, hashed, rankHashed } from './rendezvous.ts';

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

/** A service that is between two tries to start still has its place. */
const HOLDS_PLACE: readonly ServiceState[] = ['starting', 'running', 'unhealthy', 'backoff'];

/** The services of one node that count as running there: who has a service keeps it before others get it. */
export function holdingPlaces(reports: readonly Pick<ServiceReport, 'name' | 'state'>[]): string[] {
  return reports.flatMap(({ name, state }) => (HOLDS_PLACE.includes(state) ? [name] : []));
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
 * share and a new node takes nothing from others. A `late` node keeps what it has, unless enough
 * that are `online` have it too, and gets nothing new; a `lost` one or one that left has nothing.
 */
export function placeServices(
  plan: Pick<ClusterPlan, 'services'>,
  site: string,
  nodes: readonly PlacementNode[],
  incumbents: Incumbents,
  options: PlacementOptions = {},
): Record<string, string[]> {
  const live = nodes
    .filter(({ liveness }) => liveness === 'online' || liveness === 'late')
    .map((node) => ({ ...node, ...hashed(node.node_id) }));
  return Object.fromEntries(plan.services.map((service) => [service.name, placeOne(service, site, live, incumbents, options)]));
}

type Live = PlacementNode & Hashed;

function placeOne(
  { name, placement }: PlannedService,
  site: string,
  live: readonly Live[],
  incumbents: Incumbents,
  { settling = false }: PlacementOptions,
): string[] {
  const running = new Set(nodesOf(incumbents.running, name));
  const placed = new Set(nodesOf(incumbents.placed ?? {}, name));
  const able = live.filter((node) => isEligible(placement, site, node));
  const kept = able.filter(({ node_id }) => running.has(node_id));
  const starting = able.filter(({ node_id }) => placed.has(node_id) && !running.has(node_id));
  const others = able.filter(({ node_id, liveness }) => liveness === 'online' && !running.has(node_id) && !placed.has(node_id));
  const { count = Number.POSITIVE_INFINITY } = placement;
  const incumbent = [...onlineFirst(kept), ...onlineFirst(starting)];
  if (!settling || placement.count === undefined) return fill(name, [...incumbent, others], count);
  return fill(name, incumbent, Math.max(count, kept.length));
}

/** Of too many copies the one on a node that may be gone goes first: no healthy copy stops in its favour. */
function onlineFirst(nodes: readonly Live[]): Live[][] {
  return [nodes.filter(({ liveness }) => liveness === 'online'), nodes.filter(({ liveness }) => liveness !== 'online')];
}

/** The first `count` of the tiers, ranked within each. What is not needed is not ranked: most services stay where they are. */
function fill(name: string, tiers: readonly Live[][], count: number): string[] {
  const chosen: string[] = [];
  for (const tier of tiers) {
    if (chosen.length >= count) break;
    for (const { id } of rankHashed(name, tier)) if (chosen.length < count) chosen.push(id);
  }
  return chosen;
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

/** The nodes of one service; a service may be called `constructor`. */
export function nodesOf(placed: Placed, name: string): readonly string[] {
  return Object.hasOwn(placed, name) ? (placed[name] ?? []) : [];
}
