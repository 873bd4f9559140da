import type * as z from 'zod';
import { DESIRED_HEADER, formatToken, parseDesired } from '../../contract/headers.ts';
import { type ClusterPlan, NodePlan, PlanRequest } from '../../contract/plan.ts';
import { gatewayUrl } from '../../decide/gateway.ts';
import { servicesOn } from '../../decide/placement.ts';
import { roleOf } from '../../decide/roles.ts';
import type { Caller } from '../auth.ts';
import { requireSelf } from '../auth.ts';
import type { Context } from '../context.ts';
import { currentHeaders } from '../current.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import { isFresh, type PlacementTask, placeSite } from '../site-placement.ts';
import {
  createPlacementStore,
  type DesiredRow,
  type LiveLease,
  type NewPlacement,
  type PlacementStore,
  type PlanState,
} from '../store/placement.ts';
import { readFollowing, type VersionKey } from '../verified-documents.ts';

export function planRoutes(context: Context): Route[] {
  return [plan(context)];
}

function plan(context: Context): Route {
  const store = createPlacementStore(context.options.database, context.options);
  return route('node', {
    method: 'post',
    path: '/v1/nodes/plan',
    tag: 'nodes',
    summary: 'What one node is told to do: its role, and the names of its services in the current Cluster Plan',
    body: PlanRequest,
    answers: { 200: { description: 'The role and the services of the node.', schema: NodePlan } },
    problems: ['unknown_node', 'no_leader', 'storage_corrupt'],
    async handle({ caller, body, request }) {
      requireSelf(caller, body.node_id);
      heedDesired(context, request);
      const { state, task } = await readFollowing(
        () => store.state(caller.fleet, body.node_id),
        (read) => headOf(read, 'plan')?.hash,
        async (read) => ({ state: read, task: await taskOf(context, caller, body.node_id, read) }),
      );
      const placement = await placementFor(context, store, task, state);
      const head = headOf(state, 'plan');
      const answer = answerOf(task, placement, head, controlPlaneUrl(context, task.lease, request));
      return json({ ...answer, ...leaderBackends(context, task.lease) }, headersOf(state, task.lease));
    },
  });
}

/** What a node has heard elsewhere is a hint for the node that this Supervisor runs inside. */
function heedDesired({ options: { self } }: Context, { headers }: Request): void {
  const told = headers.get(DESIRED_HEADER);
  if (told !== null) self?.onDesired?.(parseDesired(told));
}

async function taskOf(context: Context, caller: Caller, node_id: string, state: PlanState): Promise<PlacementTask> {
  const { node, lease } = state;
  if (node === undefined) throw new ProblemError('unknown_node', `node ${node_id} is not registered here; register it first`);
  if (lease === undefined) throw new ProblemError('no_leader', `nobody leads the site ${node.site} now; claim it or ask again later`);
  const head = headOf(state, 'plan');
  const published = head === undefined ? undefined : await context.documents.verified.get(caller.keys, 'plan', versionOf(head, node.site));
  const { ttl_seconds } = node;
  return { fleet: caller.fleet, node, lease, plan: published?.parsed ?? NO_SERVICES, plan_hash: head?.hash ?? '', ttl_seconds };
}

const NO_SERVICES: Pick<ClusterPlan, 'services'> = { services: [] };

async function placementFor(
  { news }: Context,
  store: PlacementStore,
  task: PlacementTask,
  { placement }: PlanState,
): Promise<NewPlacement> {
  if (placement !== undefined && isFresh(placement, task)) return placement;
  const computed = placeSite(task, await store.members(task.fleet, task.node.site), placement);
  await store.save(computed);
  if (isNews(computed, placement)) news.wake(task.fleet);
  return computed;
}

function isNews(computed: NewPlacement, before: NewPlacement | undefined): boolean {
  const told = (placement: NewPlacement | undefined) => JSON.stringify([placement?.successors, placement?.placed]);
  return told(computed) !== told(before);
}

function answerOf(
  task: PlacementTask,
  placement: NewPlacement,
  head: DesiredRow | undefined,
  control_plane_url: string,
): z.infer<typeof NodePlan> {
  const { node, lease, plan, ttl_seconds } = task;
  const role = roleOf(node, lease.node_id);
  const services = servicesOn(plan, node.site, { ...node, role }, placement.placed);
  const proxies = placement.proxies.map((proxy) => ({ ...proxy, liveness: 'online' as const }));
  return {
    role,
    services: services.map(({ name, version }) => ({ name, version })),
    control_plane_url,
    gateway_url: gatewayUrl(node.node_id, proxies, control_plane_url),
    epoch: lease.epoch,
    leader_node_id: lease.node_id,
    successors: placement.successors,
    ttl_seconds,
    ...(node.instance_id === null ? {} : { instance_id: node.instance_id }),
    ...(head === undefined ? {} : { generation: head.generation, hash: head.hash }),
    ...(head === undefined || head.emergency === null ? {} : { emergency: head.emergency }),
  };
}

/** Only the leader knows what it works on. */
function leaderBackends({ options: { self } }: Context, lease: LiveLease): Pick<NodePlan, 'leader_backends'> {
  if (self?.backends === undefined || self.node_id !== lease.node_id) return {};
  return { leader_backends: self.backends() };
}

/** A Supervisor inside a node answers for its site's leader. One that is no node is itself what its callers have reached. */
function controlPlaneUrl({ options }: Context, lease: LiveLease, request: Request): string {
  return options.self === undefined ? new URL(request.url).origin : lease.url;
}

/** What the node's site follows: its emergency version while one holds. */
function headOf(state: PlanState, kind: DesiredRow['kind']): DesiredRow | undefined {
  return state.heads.find((head) => head.kind === kind && head.emergency !== null) ?? publishedOf(state, kind);
}

/** What the fleet has. */
function publishedOf({ heads }: PlanState, kind: DesiredRow['kind']): DesiredRow | undefined {
  return heads.find((head) => head.kind === kind && head.emergency === null);
}

function versionOf({ generation, hash, emergency }: DesiredRow, site: string): VersionKey {
  return { generation, hash, ...(emergency === null ? {} : { emergency: { site, n: emergency } }) };
}

function headersOf(state: PlanState, lease: LiveLease): Record<string, string> {
  return currentHeaders({
    leader: formatToken(lease),
    plan: headOf(state, 'plan')?.generation ?? null,
    profile: headOf(state, 'profile')?.generation ?? null,
  });
}
