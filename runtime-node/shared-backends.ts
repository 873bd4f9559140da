import { isLoopback } from '../shared/contract/loopback.ts';
import type { SharedBackends } from '../shared/contract/plan.ts';
import type { Discovery } from '../shared/discovery/types.ts';
import type { ReconcilerDeps } from '../shared/reconcile/reconciler.ts';
import type { Ports } from './compose.ts';

/** What several nodes share is reconciled by the site's leader alone; an external that it does not use, by whoever does. */
export function reconciledBy(
  discovery: () => Pick<Discovery, 'state'> | undefined,
  ip: () => string,
): NonNullable<ReconcilerDeps['reconciledBy']> {
  return (component, identity) => {
    const state = discovery()?.state();
    if (state === undefined || state.leads || component === 'services' || state.leader_node_id === state.node_id) return undefined;
    return state.leader_backends?.[component] === identityFrom(identity, ip()) ? state.leader_node_id : undefined;
  };
}

/** Those of the backends that other nodes may share. */
export function sharedBackends({ storage, bus, vector }: Pick<Ports, 'storage' | 'bus' | 'vector'>, ip: string): SharedBackends {
  const shared = { storage, broker: bus, vector };
  return Object.fromEntries(
    Object.entries(shared).flatMap(([name, { backend, capabilities }]) =>
      capabilities.shared ? [[name, identityFrom(backend.identity, ip)]] : [],
    ),
  );
}

/** A server on loopback is another one on each machine, though its address reads the same. */
function identityFrom(identity: string, ip: string): string {
  return URL.canParse(identity) && isLoopback(identity) ? `${identity} on ${ip}` : identity;
}
