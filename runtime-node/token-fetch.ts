import type { Fetch } from '../shared/client.ts';
import { isPrivateWire } from '../shared/contract/loopback.ts';
import type { OwnToken } from '../shared/discovery/own-token.ts';

export interface TokenFetchParts {
  readonly fleet: string;
  readonly node_id: string;
  readonly token: Pick<OwnToken, 'current'>;
  /** Also over plain http on the network, where others can read and use it. */
  readonly insecure_http: boolean;
}

/**
 * Sends this node's JWT in place of the credential that it has from the fleet key, to whom it may be shown: over https, or
 * on this machine. On a LAN that speaks plain http the other one goes along as before. What this node passes on for others
 * keeps the credential of the caller.
 */
export function createTokenFetch(fetch: Fetch, { fleet, node_id, token, insecure_http }: TokenFetchParts): Fetch {
  const own = `Bearer bpn~${fleet}~${node_id}~`;
  return async (request) => {
    const isOwn = request.headers.get('authorization')?.startsWith(own) === true;
    // The request itself, since a copy of it would not hear of an abort once the first one is garbage.
    if (isOwn && (insecure_http || isPrivateWire(request.url))) request.headers.set('authorization', `Bearer ${await token.current()}`);
    return fetch(request);
  };
}
