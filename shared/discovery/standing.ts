import type { DesiredGenerations } from '../contract/document.ts';
import type { FencingToken } from '../contract/headers.ts';
import type { NodePlan } from '../contract/plan.ts';
import { holds } from './lease.ts';
import type { KnownLeader, Located } from './located.ts';
import type { DiscoveryDeps, DiscoveryState, Phase } from './types.ts';

export interface Twin {
  readonly url: string;
  readonly instance_id: string;
  /** In words for a person; absent when it did not answer the last time. */
  readonly trouble?: string;
}

/** How the node stands, written by the loops and read through `snapshot`. */
export interface Standing {
  phase: Phase;
  /** The control plane that is followed now. */
  located: Located | undefined;
  /** No control plane was found, and what runs comes from the cache. */
  isFromCache: boolean;
  /** What is desired here has been handed on once since the start: all that a look brought, what was cached, or that there is nothing. */
  isHandedOn: boolean;
  /** The last plan answer, of this boot or of the one before. */
  answer: NodePlan | undefined;
  /** What this session's plan said; sent with every write. */
  token: FencingToken | undefined;
  /** The services that the control plane was told to have their place here, by the last report that it took. */
  told: readonly string[];
  /** Generations that were published elsewhere through this node; told to whom it follows until it holds them. */
  heard: DesiredGenerations;
  /** Set while another machine runs as this node: until then, by the monotonic clock, nothing is sent as it. */
  silent_until: number | undefined;
  /** Another machine that runs as this node, as it was met last. */
  twin: Twin | undefined;
  /** What is waited for, by topic. */
  readonly waits: Map<string, string>;
  ttl_seconds(): number;
  role(): DiscoveryState['role'];
  snapshot(): Omit<DiscoveryState, 'generations' | 'trace'>;
}

export function createStanding(deps: Pick<DiscoveryDeps, 'config' | 'identity' | 'clock'>): Standing {
  const { config, identity } = deps;
  const standing: Standing = {
    phase: 'starting',
    located: undefined,
    isFromCache: false,
    isHandedOn: false,
    answer: undefined,
    token: undefined,
    told: [],
    heard: {},
    silent_until: undefined,
    twin: undefined,
    waits: new Map(),
    ttl_seconds: () => standing.answer?.ttl_seconds ?? config.ttl_seconds,
    role: () => roleNow(deps, standing),
    snapshot: () => {
      const leads = holds(standing.located?.lease, deps.clock);
      const source = standing.located?.source ?? (standing.isFromCache ? 'cache' : undefined);
      return {
        phase: standing.phase,
        node_id: identity.node_id,
        instance_id: identity.instance_id,
        fleet: config.fleet,
        site: config.site,
        role: roleNow(deps, standing),
        leads,
        ...leadership(deps, standing, leads),
        ...urls(deps, standing),
        provisional: isProvisional(deps, standing, leads),
        confirmed: leads && holds(standing.located?.cloud_lease, deps.clock),
        ttl_seconds: standing.ttl_seconds(),
        ...(source === undefined ? {} : { source }),
        waiting_for: [...standing.waits.values(), ...(standing.twin?.trouble === undefined ? [] : [standing.twin.trouble])],
      };
    },
  };
  return standing;
}

/** The cloud confirmed it once, but by the own clock that has lapsed: it leads on without. */
function isProvisional({ clock }: Pick<DiscoveryDeps, 'clock'>, { located }: Standing, leads: boolean): boolean {
  if (located === undefined) return false;
  return located.provisional || (leads && located.cloud_lease !== undefined && !holds(located.cloud_lease, clock));
}

/** A node that was told to lead but holds no lease any more is a worker until it is told anew. */
function roleNow({ clock }: Pick<DiscoveryDeps, 'clock'>, { located, answer }: Standing): DiscoveryState['role'] {
  const leads = holds(located?.lease, clock);
  if (leads) return 'leader';
  return answer === undefined || answer.role === 'leader' ? 'worker' : answer.role;
}

function leadership(
  { config, identity }: Pick<DiscoveryDeps, 'config' | 'identity'>,
  { located, answer, token }: Standing,
  leads: boolean,
) {
  if (leads) return { epoch: located?.lease?.epoch ?? 0, leader_node_id: identity.node_id, leader_url: config.advertise_url() };
  const leader_node_id = token?.node_id ?? located?.leader?.node_id ?? answer?.leader_node_id;
  const leader_url = urlOf(leader_node_id, located?.leader, answer);
  return {
    epoch: token?.epoch ?? located?.leader?.epoch ?? answer?.epoch ?? 0,
    ...(leader_node_id === undefined ? {} : { leader_node_id }),
    ...(leader_url === undefined ? {} : { leader_url }),
  };
}

function urlOf(node_id: string | undefined, leader: KnownLeader | undefined, answer: NodePlan | undefined): string | undefined {
  if (leader !== undefined && leader.node_id === node_id) return leader.leader_url;
  return answer?.successors.find((one) => one.node_id === node_id)?.url;
}

/** The in-process address of the node's own Supervisor is of no use to anyone else. */
function urls({ config }: Pick<DiscoveryDeps, 'config'>, { located, answer, token }: Standing) {
  const followed_url = located?.source === 'self' ? undefined : located?.url;
  const told = token === undefined && located !== undefined ? undefined : answer;
  const control_plane_url = told?.control_plane_url ?? (located?.source === 'self' ? config.advertise_url() : located?.url);
  return {
    ...(control_plane_url === undefined ? {} : { control_plane_url }),
    ...(followed_url === undefined ? {} : { followed_url }),
    ...(answer === undefined ? {} : { gateway_url: answer.gateway_url }),
    // Of a leader that is not followed now nobody knows whether it still does so.
    ...(located === undefined || token === undefined || answer?.leader_backends === undefined
      ? {}
      : { leader_backends: answer.leader_backends }),
  };
}
