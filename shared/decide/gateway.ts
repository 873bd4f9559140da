import type { Liveness } from '../contract/node.ts';
import { rankByRendezvous } from './rendezvous.ts';

export interface ProxyCandidate {
  readonly node_id: string;
  readonly liveness: Liveness;
  /** Unknown for a node that never said where it listens. */
  readonly url?: string | undefined;
}

/**
 * Where a node sends what goes through a gateway: one online proxy of its site, chosen by rendezvous
 * hashing so that nodes spread over the proxies; the control plane when there is none. A proxy goes
 * straight to the control plane, else two proxies could send each other in a circle.
 */
export function gatewayUrl(node_id: string, proxies: readonly ProxyCandidate[], control_plane_url: string): string {
  if (proxies.some((proxy) => proxy.node_id === node_id)) return control_plane_url;
  const urls = new Map<string, string>();
  for (const { node_id: id, liveness, url } of proxies) if (liveness === 'online' && url !== undefined) urls.set(id, url);
  const [chosen] = rankByRendezvous(node_id, [...urls.keys()]);
  return (chosen === undefined ? undefined : urls.get(chosen)) ?? control_plane_url;
}
