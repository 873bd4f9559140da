import type { Answer, Client } from '../client.ts';
import type { NodeContext } from './context.ts';

/** At most this many services fit into one heartbeat or registration (`HeartbeatRequest`, `RegisterRequest`). */
export const MAX_SERVICES = 256;

/** Says that the node lives and what runs on it. The answer's headers say what is current. */
export function sendHeartbeat({ deps, standing }: NodeContext, client: Client): Promise<Answer<unknown>> {
  const { config, identity, services, metrics } = deps;
  return client.heartbeat({
    node_id: identity.node_id,
    instance_id: identity.instance_id,
    role: standing.role(),
    services_running: services.reports().slice(0, MAX_SERVICES),
    versions: { ...config.versions },
    ...(metrics === undefined ? {} : { metrics: { ...metrics() } }),
  });
}
