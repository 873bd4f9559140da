import { toTimestamp } from '../contract/ids.ts';
import type { ClusterFile } from '../contract/status.ts';
import type { Clock } from '../ports/clock.ts';
import type { ServiceManager } from '../reconcile/types.ts';
import { type FileDeps, writeJsonFile } from './json-file.ts';
import type { DiscoveryState } from './types.ts';

export const CLUSTER_FILE = 'cluster.json';

export interface ClusterFileDeps extends FileDeps {
  readonly clock: Clock;
  readonly services: ServiceManager;
}

/** Writes `cluster.json` when something in it has changed. Calls that overlap end in one more write of the newest state. */
export function createClusterFile(deps: ClusterFileDeps, state: () => DiscoveryState): { update(): Promise<void> } {
  let written: string | undefined;
  let writing: Promise<void> | undefined;
  const write = async () => {
    for (let next = contentOf(deps, state()); next !== undefined && JSON.stringify(next) !== written; next = contentOf(deps, state())) {
      const isWritten = await writeJsonFile(deps, CLUSTER_FILE, { ...next, updated_at: toTimestamp(deps.clock.now()) });
      if (!isWritten) return;
      written = JSON.stringify(next);
    }
  };
  return {
    update() {
      writing ??= write().finally(() => {
        writing = undefined;
      });
      return writing;
    },
  };
}

/** Undefined while nothing is known that others could use. */
function contentOf({ services }: ClusterFileDeps, state: DiscoveryState): Omit<ClusterFile, 'updated_at'> | undefined {
  const { node_id, fleet, site, role, leader_url, leader_node_id, control_plane_url, gateway_url, epoch, provisional, ttl_seconds } = state;
  if (state.source === undefined) return undefined;
  const optional = {
    leader_url,
    leader_node_id,
    control_plane_url,
    gateway_url,
    plan_generation: state.generations.plan,
    profile_generation: state.generations.profile,
  };
  return {
    node_id,
    fleet,
    site,
    role,
    epoch,
    provisional,
    ttl_seconds,
    ...definedOf(optional),
    services: services.reports().map(({ name, version, state }) => ({ name, version, state })),
    source: state.source,
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Absent means absent: no field of the wire is ever `undefined`. */
function definedOf<T extends Record<string, unknown>>(fields: T): Defined<T> {
  // Object.fromEntries forgets which field is which.
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}
