import type { FleetKeys } from '../shared/contract/fleet-keys.ts';
import type { Identity } from '../shared/discovery/identify.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Decider } from './followed.ts';
import type { Call } from './forward-call.ts';
import type { Forwarding } from './forwarding.ts';
import { createGatewayCache, type GatewayCache } from './gateway-cache.ts';
import { createGatewayHeartbeats } from './gateway-heartbeats.ts';

export interface GatewayParts {
  readonly forwarding: Forwarding;
  readonly clock: Clock;
  readonly keys: FleetKeys;
  readonly identity: Pick<Identity, 'node_id'>;
  readonly site: string;
  decider(): Decider;
}

/** What a proxy does beside passing calls on, as every node does. */
export interface Gateway {
  readonly cache: GatewayCache;
  /** Answers a node's heartbeat through a batch; undefined for a call that goes to the leader by itself. */
  heartbeat(call: Call): Promise<Response> | undefined;
}

export function createGateway({ forwarding, clock, keys, identity, site, decider }: GatewayParts): Gateway {
  const { node_id } = identity;
  const heartbeats = createGatewayHeartbeats({
    forwarding,
    decider,
    clock,
    site,
    gateway: { fleet: keys.fleet, keys, scope: 'node', node_id },
    credential: () => keys.nodeCredential(node_id),
  });
  return {
    cache: createGatewayCache(),
    heartbeat: (call) => (isHeartbeat(call) ? heartbeats.take(call) : undefined),
  };
}

function isHeartbeat({ method, pathname, caller }: Call): boolean {
  return method === 'POST' && pathname === '/v1/nodes/heartbeat' && caller.scope === 'node';
}
