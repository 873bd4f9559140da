import { toTimestamp } from '../contract/ids.ts';
import type { ClusterFile } from '../contract/status.ts';
import type { Clock } from '../ports/clock.ts';
import type { ServiceManager } from '../reconcile/types.ts';
import { type FileDeps, readText, setAside, textOf, writeJsonFile } from './json-file.ts';
import { CLUSTER_FILE } from './recall.ts';
import type { DiscoveryState } from './types.ts';

export interface ClusterFileDeps extends FileDeps {
  readonly clock: Clock;
  readonly services: ServiceManager;
}

/**
 * Writes `cluster.json` when something in it has changed, also by somebody else: what others left there is set aside.
 * Calls that overlap end in one more write of the newest state.
 */
export function createClusterFile(deps: ClusterFileDeps, state: () => DiscoveryState): { update(): Promise<void> } {
  let written: string | undefined;
  let onDisk = '';
  let writing: Promise<void> | undefined;
  const write = async () => {
    if (written !== undefined && !(await isIntact(deps, onDisk))) written = undefined;
    for (let next = contentOf(deps, state()); next !== undefined && JSON.stringify(next) !== written; next = contentOf(deps, state())) {
      const file = { ...next, updated_at: toTimestamp(deps.clock.now()) };
      const isWritten = await writeJsonFile(deps, CLUSTER_FILE, file);
      // After a refusal nobody knows what is there: it may be written late, and is then not somebody else's.
      written = isWritten ? JSON.stringify(next) : undefined;
      if (!isWritten) return;
      onDisk = textOf(file);
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

/** False when the file is gone or holds something else; that is set aside. */
async function isIntact(deps: FileDeps, expected: string): Promise<boolean> {
  const text = await readText(deps, CLUSTER_FILE);
  if (text === expected) return true;
  if (text !== undefined) await setAside(deps, CLUSTER_FILE, 'something else has written to it');
  return false;
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
