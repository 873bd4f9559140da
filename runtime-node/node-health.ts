import type { FileSetAside, Health } from '../shared/contract/status.ts';
import type { DiscoveryState } from '../shared/discovery/types.ts';
import type { EventBus } from '../shared/ports/event-bus.ts';
import type { ObjectStorage } from '../shared/ports/object-storage.ts';
import type { VectorIndex } from '../shared/ports/vector-index.ts';
import type { Forwards } from '../shared/reconcile/fall-forward/types.ts';
import type { EnvironmentReconciler, ServiceManager } from '../shared/reconcile/types.ts';
import { backlogHealth } from './backlog-health.ts';

export interface HealthParts {
  readonly state: DiscoveryState;
  readonly environment: EnvironmentReconciler;
  readonly services: ServiceManager;
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
  readonly set_aside: readonly FileSetAside[];
  /** Of the components with an external. */
  readonly forwards?: Forwards;
  /** What waits for externals that are configured no more, in words. */
  readonly stranded?: readonly string[];
  /** What is wrong with this node's own JWT, in words. */
  readonly credential?: string | undefined;
  /** What a full disk keeps this node from writing, in words. */
  readonly unwritten?: readonly string[];
}

/** `GET /healthz` of a node: `degraded` names everything that is not as it should be. */
export function nodeHealth({
  state,
  environment,
  services,
  storage,
  bus,
  vector,
  set_aside,
  forwards,
  stranded = [],
  credential,
  unwritten = [],
}: HealthParts): Health {
  const own = services.status();
  const components = { ...environment.status(), ...(own === undefined ? {} : { services: own }) };
  const reports = services.reports();
  const externals = forwards === undefined ? undefined : backlogHealth(forwards);
  const waiting_for = [
    ...state.waiting_for,
    ...unwritten,
    ...(credential === undefined ? [] : [credential]),
    ...(externals?.waiting_for ?? []),
    ...stranded,
    ...Object.entries(components).flatMap(([name, { status, message }]) =>
      status === 'failed' ? [`${name}: ${message ?? 'failed'}`] : [],
    ),
    ...reports.flatMap(({ name, state: now, health }) =>
      now === 'unhealthy' || now === 'backoff' || now === 'failed'
        ? [`service ${name} is ${now}${health === undefined ? '' : `: ${health}`}`]
        : [],
    ),
  ];
  const { node_id, fleet, site, role, epoch, leader_url, leader_node_id, control_plane_url, provisional, confirmed, source } = state;
  return {
    status: state.phase === 'starting' ? 'starting' : waiting_for.length > 0 ? 'degraded' : 'ok',
    ...{ node_id, fleet, site, role, epoch, provisional, confirmed },
    ...(leader_url === undefined ? {} : { leader_url }),
    ...(leader_node_id === undefined ? {} : { leader_node_id }),
    ...(control_plane_url === undefined ? {} : { control_plane_url }),
    ...(source === undefined ? {} : { source }),
    adapters: { storage: storage.backend.kind, broker: bus.backend.kind, vector: vector.backend.kind },
    components,
    ...(externals === undefined ? {} : { backlog: externals.backlog }),
    services: reports,
    ...(waiting_for.length === 0 ? {} : { waiting_for }),
    ...(state.emergencies === undefined ? {} : { emergencies: [...state.emergencies] }),
    ...(set_aside.length === 0 ? {} : { set_aside: [...set_aside] }),
  };
}
