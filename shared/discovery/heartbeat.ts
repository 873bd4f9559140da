import type { Answer, Client } from '../client.ts';
import type { ServiceReport } from '../contract/node.ts';
import { holdingPlaces } from '../decide/placement.ts';
import type { ServiceManager } from '../reconcile/types.ts';
import type { NodeContext } from './context.ts';

/** At most this many services fit into one heartbeat or registration (`HeartbeatRequest`, `RegisterRequest`). */
const MAX_SERVICES = 256;
/** Of the 64 KiB of a message, what the services may take, bytes. */
const MAX_REPORT_BYTES = 48 * 1024;

/** How the services stand, as far as one message can say it: what the health checks said is left out first. */
export function reportsOf(services: ServiceManager): ServiceReport[] {
  const reports = services.reports().slice(0, MAX_SERVICES);
  const bytes = new TextEncoder().encode(JSON.stringify(reports)).length;
  return bytes <= MAX_REPORT_BYTES ? reports : reports.map(({ health: _, ...report }) => report);
}

/** Says that the node lives and what runs on it. The answer's headers say what is current. */
export async function sendHeartbeat({ deps, standing }: NodeContext, client: Client): Promise<Answer<unknown>> {
  const { config, identity, services, metrics } = deps;
  const services_running = reportsOf(services);
  const answer = await client.heartbeat({
    node_id: identity.node_id,
    instance_id: identity.instance_id,
    role: standing.role(),
    services_running,
    versions: { ...config.versions },
    ttl_seconds: standing.ttl_seconds(),
    ...(metrics === undefined ? {} : { metrics: { ...metrics() } }),
  });
  standing.told = holdingPlaces(services_running);
  return answer;
}
