import type { DiscoveryState } from '../shared/discovery/types.ts';

/**
 * URL of the other Supervisor that a node follows; undefined when it follows its own. Without a control plane at
 * the moment, what is known is the answer of an earlier one, and that may name an address that this node
 * had itself then: it counts only where it names the configured cloud.
 */
export function followedUrl(
  { source, control_plane_url }: Pick<DiscoveryState, 'source' | 'control_plane_url'>,
  cloud_url: string | undefined,
): string | undefined {
  if (control_plane_url === undefined || source === 'self') return undefined;
  if (source !== undefined && source !== 'cache') return control_plane_url;
  return cloud_url !== undefined && new URL(cloud_url).origin === new URL(control_plane_url).origin ? control_plane_url : undefined;
}
