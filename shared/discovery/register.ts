import type { Client } from '../client.ts';
import { isKeyHolder } from '../contract/fleet-keys.ts';
import { holdingPlaces } from '../decide/placement.ts';
import type { NodeContext } from './context.ts';
import { reportsOf } from './heartbeat.ts';

/** Registers this boot of the node, with what it holds, so that a Supervisor that knows less can learn of it. */
export async function register({ deps, documents, standing }: NodeContext, client: Client): Promise<void> {
  const { config, identity, services, clock, log, fleetKeys } = deps;
  const began = clock.monotonic();
  const plan = documents.plan?.held.document.meta.generation;
  const profile = documents.profile?.document.meta.generation;
  const services_running = reportsOf(services);
  await client.register({
    ...identity,
    site: config.site,
    url: config.advertise_url(),
    capabilities: [...config.capabilities],
    ...deps.host(),
    versions: { ...config.versions },
    lead: config.lead,
    ...(config.lead && !isKeyHolder(fleetKeys) ? { leads_last: true } : {}),
    services_running,
    desired: { ...(plan === undefined ? {} : { plan }), ...(profile === undefined ? {} : { profile }) },
  });
  standing.told = holdingPlaces(services_running);
  // The client of the own Supervisor has the address that this node had when it began to lead.
  const url = standing.located?.source === 'self' ? config.advertise_url() : client.url;
  log.info('register', { step: true, result: `registered with ${url}`, duration_ms: clock.monotonic() - began });
}
