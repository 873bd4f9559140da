import type { Fetch } from '../shared/client.ts';
import { PROOF_HEADER, proveCredential } from '../shared/contract/credential-proof.ts';
import type { FleetKeys } from '../shared/contract/fleet-keys.ts';

/**
 * Sends beside the derived credential of this node what proves it: a leader of its site may have joined without the fleet key, and
 * can't tell it otherwise while the cloud is away. For a node that holds the key, which makes the proof itself, once.
 */
export function createProofFetch(fetch: Fetch, keys: Pick<FleetKeys, 'fleet' | 'documents'>, node_id: string): Fetch {
  const own = `Bearer bpn~${keys.fleet}~${node_id}~`;
  let proving: Promise<string | undefined> | undefined;
  return async (request) => {
    const shown = request.headers.get('authorization');
    if (shown?.startsWith(own) !== true) return fetch(request);
    proving ??= proveCredential(keys, shown.slice('Bearer '.length));
    const proof = await proving;
    if (proof !== undefined) request.headers.set(PROOF_HEADER, proof);
    return fetch(request);
  };
}
