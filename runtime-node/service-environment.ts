import type { PlannedService } from '../shared/contract/plan.ts';

export interface ServicePlace {
  readonly node_id: string;
  readonly site: string;
  /** Where the node answers on this machine. */
  url(): string;
}

/** What a node adds to the environment that the plan gives a service. */
export function createServiceEnvironment({
  node_id,
  site,
  url,
}: ServicePlace): (service: PlannedService) => Readonly<Record<string, string>> {
  return ({ name, version }) => ({
    BOOTPLANE_NODE_ID: node_id,
    BOOTPLANE_SITE: site,
    BOOTPLANE_URL: url(),
    BOOTPLANE_SERVICE: name,
    BOOTPLANE_SERVICE_VERSION: version,
  });
}
