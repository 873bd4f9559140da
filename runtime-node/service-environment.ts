import type { NodeKeys } from '../shared/contract/fleet-keys.ts';
import type { PlannedService } from '../shared/contract/plan.ts';

export interface ServicePlace {
  readonly node_id: string;
  readonly site: string;
  /** Where the node answers on this machine. */
  url(): string;
  readonly keys: Pick<NodeKeys, 'serviceToken'>;
}

/**
 * What a node adds to the environment that the plan gives a service. The token opens the data API of this node and
 * nothing else; it is the same after a restart of the node, so that a service which runs on need not be started anew.
 */
export function createServiceEnvironment({
  node_id,
  site,
  url,
  keys,
}: ServicePlace): (service: PlannedService) => Promise<Readonly<Record<string, string>>> {
  // Each health check is given the environment, too.
  const tokens = new Map<string, Promise<string>>();
  const tokenOf = (name: string) => {
    const token = tokens.get(name) ?? keys.serviceToken(node_id, name);
    tokens.set(name, token);
    return token;
  };
  return async ({ name, version }) => ({
    BOOTPLANE_NODE_ID: node_id,
    BOOTPLANE_SITE: site,
    BOOTPLANE_URL: url(),
    BOOTPLANE_TOKEN: await tokenOf(name),
    BOOTPLANE_SERVICE: name,
    BOOTPLANE_SERVICE_VERSION: version,
  });
}
