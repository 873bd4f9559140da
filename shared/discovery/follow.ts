import type { FoundLeader } from './candidate.ts';
import type { Located } from './located.ts';
import type { DiscoveryDeps } from './types.ts';

/** A leader on the LAN that has proved itself. */
export function follow({ deps }: { readonly deps: Pick<DiscoveryDeps, 'fetch'> }, { url, leads, via }: FoundLeader): Located {
  const { node_id, epoch, provisional } = leads;
  const source = via === 'mdns' ? 'mdns' : 'peer';
  return { source, url, fetch: deps.fetch, leader: { node_id, leader_url: url, epoch }, provisional };
}
