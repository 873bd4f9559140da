import type { Liveness } from '../contract/node.ts';
import type { ClusterPlan } from '../contract/plan.ts';
import { holdingPlaces, isEligible, nodesOf, type Placed, type PlacementNode, placeServices } from '../decide/placement.ts';
import { rankByRendezvous } from '../decide/rendezvous.ts';
import { PROXY_CAPABILITY, roleOf } from '../decide/roles.ts';
import { livenessOf } from '../decide/ttl.ts';
import type { Reachable } from './store/desired-schema.ts';
import type { AskingNode, LiveLease, MemberRow, NewPlacement, PlacementRow } from './store/placement.ts';
import { LEADS } from './store/schema.ts';

export type Services = Pick<ClusterPlan, 'services'>;

/** What a placement is for. */
export interface PlacementTask {
  readonly fleet: string;
  readonly node: AskingNode;
  readonly lease: LiveLease;
  readonly plan: Services;
  /** Empty while no plan is published. */
  readonly plan_hash: string;
  readonly ttl_seconds: number;
}

/** More successors than this are not told: they claim one after the other, and the first that lives wins. */
const MAX_SUCCESSORS = 8;
/** Nodes spread over at most this many proxies. */
const MAX_PROXIES = 64;

/**
 * True while a stored placement answers for the node that asks: made from the same plan under the
 * same lease, not older than a TTL, and without a place that this node could keep (or, unless a new
 * leader settles, take). So a full site that boots at once does not place once per node.
 */
export function isFresh(row: PlacementRow, { node, lease, plan, plan_hash, ttl_seconds }: PlacementTask): boolean {
  if (row.plan_hash !== plan_hash || row.epoch !== lease.epoch || row.leader_node_id !== lease.node_id) return false;
  if (row.age_ms < 0 || row.age_ms > ttl_seconds * 1000) return false;
  if (!isRanked(row, node, lease)) return false;
  const able = { ...node, role: roleOf(node, lease.node_id) };
  const settling = isSettling(row.takeover === 1, lease);
  return !plan.services.some(({ name, placement }) => {
    const has = nodesOf(row.placed, name);
    if (placement.count === undefined || has.includes(node.node_id) || !isEligible(placement, node.site, able)) return false;
    // Whoever runs it comes before those who were only told to.
    return holdingPlaces(node.services_running).includes(name) || (!settling && has.length < placement.count);
  });
}

/** False for a node that the line of succession has room for, or names at another address than it has now. */
function isRanked({ successors }: PlacementRow, { node_id, url, lead }: AskingNode, lease: LiveLease): boolean {
  const place = successors.find((one) => one.node_id === node_id);
  if (url === null || lead === LEADS.never || node_id === lease.node_id) return place === undefined;
  return place === undefined ? successors.length >= MAX_SUCCESSORS : place.url === url;
}

/** Places a site's services on its nodes. The one that asks is alive, whenever its last heartbeat was. */
export function placeSite(task: PlacementTask, members: readonly MemberRow[], before: PlacementRow | undefined): NewPlacement {
  const { fleet, node, lease, plan, plan_hash } = task;
  const seen = members.map((member) => look(member, task));
  const counted = plan.services.filter(({ placement }) => placement.count !== undefined);
  const takeover = isTakeover(lease, before);
  const incumbents = { running: reportedBy(members), placed: isOfThisReign(lease, before) ? before.placed : {} };
  const placed = placeServices({ services: counted }, node.site, seen, incumbents, { settling: isSettling(takeover, lease) });
  const reachable = members.flatMap((member) => {
    const { node_id, url, capabilities, lead } = member;
    return url !== null && livenessNow(member, task) === 'online' ? [{ node_id, url, capabilities, lead }] : [];
  });
  const others = reachable.filter(({ node_id }) => node_id !== lease.node_id);
  const proxies = others.filter(({ capabilities }) => capabilities.includes(PROXY_CAPABILITY));
  return {
    fleet,
    site: node.site,
    plan_hash,
    epoch: lease.epoch,
    leader_node_id: lease.node_id,
    takeover: takeover ? 1 : 0,
    placed,
    proxies: pick(`proxies of ${node.site}`, proxies, MAX_PROXIES),
    successors: successorsOf(node.site, others),
  };
}

/** Who can sign comes first. */
function successorsOf(site: string, others: readonly (Reachable & Pick<MemberRow, 'lead'>)[]): Reachable[] {
  const ranked = [LEADS.may, LEADS.last].flatMap((rank) =>
    pick(
      `successors of ${site}`,
      others.filter(({ lead }) => lead === rank),
      MAX_SUCCESSORS,
    ),
  );
  return ranked.slice(0, MAX_SUCCESSORS);
}

function look(member: MemberRow, task: PlacementTask): PlacementNode {
  const { node_id, capabilities } = member;
  return { node_id, capabilities, liveness: livenessNow(member, task), role: roleOf({ node_id, capabilities }, task.lease.node_id) };
}

function livenessNow({ node_id, age_ms, ttl_ms, left_at }: MemberRow, { node }: PlacementTask): Liveness {
  return node_id === node.node_id ? 'online' : livenessOf(age_ms, ttl_ms / 1000, left_at !== null);
}

/** True when another led since the last placement: a leader that led all the time knows its nodes already. */
function isTakeover({ epoch, since_epoch }: LiveLease, before: PlacementRow | undefined): boolean {
  if (before === undefined) return epoch > 1;
  return before.epoch === epoch ? before.takeover === 1 : !isOfThisReign({ since_epoch }, before);
}

/** Where others have led since, what they placed is not known here, and what was placed before them holds no more. */
function isOfThisReign({ since_epoch }: Pick<LiveLease, 'since_epoch'>, before: PlacementRow | undefined): before is PlacementRow {
  return before !== undefined && before.epoch >= since_epoch;
}

/** A holder renews three times in a TTL; by then every node has spoken. */
const SETTLED_RENEWALS = 3;

function isSettling(takeover: boolean, { renewals }: LiveLease): boolean {
  return takeover && renewals < SETTLED_RENEWALS;
}

function reportedBy(members: readonly MemberRow[]): Placed {
  const reported = new Map<string, string[]>();
  for (const { node_id, services_running } of members) {
    for (const name of holdingPlaces(services_running)) {
      const on = reported.get(name) ?? [];
      on.push(node_id);
      reported.set(name, on);
    }
  }
  return Object.fromEntries(reported);
}

function pick(key: string, nodes: readonly Reachable[], most: number): Reachable[] {
  const urls = new Map(nodes.map(({ node_id, url }) => [node_id, url]));
  return rankByRendezvous(key, [...urls.keys()])
    .slice(0, most)
    .flatMap((node_id) => {
      const url = urls.get(node_id);
      return url === undefined ? [] : [{ node_id, url }];
    });
}
