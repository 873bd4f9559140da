import type { EnvironmentComponentName } from '../../contract/backlog.ts';
import type { EnvironmentProfile } from '../../contract/profile.ts';
import type { EventBus } from '../../ports/event-bus.ts';
import type { ObjectStorage } from '../../ports/object-storage.ts';
import type { VectorIndex } from '../../ports/vector-index.ts';
import type { FallForward, Forwards } from '../fall-forward/types.ts';
import { findInBroker } from './broker.ts';
import { findInStorage } from './storage.ts';
import type { Findings, Known, PrunePlace } from './types.ts';
import { findInVector } from './vector.ts';

export interface PruneBackends {
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
  /** Of the components with an external: both sides are looked at, and the ports of the same names are not. */
  readonly forwards?: Forwards;
}

interface Backed {
  readonly backend: { readonly kind: string; readonly identity: string };
  readonly capabilities: { readonly shared: boolean };
}

type Find<Port> = (port: Port, profile: EnvironmentProfile, known: Known) => Promise<Findings>;

/** Every backend of a node that things may be removed from, in the order in which that is done. */
export function placesOf({ storage, bus, vector, forwards = {} }: PruneBackends): PrunePlace[] {
  return [
    ...sides('broker', bus, forwards.broker, (port, profile, known) => findInBroker(port, profile.broker, known)),
    ...sides('storage', storage, forwards.storage, (port, profile, known) => findInStorage(port, profile.storage, known)),
    ...sides('vector', vector, forwards.vector, (port, profile, known) => findInVector(port, profile.vector, known)),
  ];
}

/** An external, and the embedded default beside it; else the one there is. */
function sides<Port extends Backed>(
  component: EnvironmentComponentName,
  port: Port,
  forward: FallForward<Port> | undefined,
  find: Find<Port>,
): PrunePlace[] {
  if (forward === undefined) return [toPlace(component, port, find)];
  const backlog = () => forward.status();
  return [forward.external, forward.fallback].map((side) => ({ ...toPlace(component, side, find), backlog }));
}

function toPlace<Port extends Backed>(component: EnvironmentComponentName, port: Port, find: Find<Port>): PrunePlace {
  const { kind, identity } = port.backend;
  return {
    name: { component, identity },
    backend: kind,
    is_shared: port.capabilities.shared,
    find: (profile, known) => find(port, profile, known),
  };
}
