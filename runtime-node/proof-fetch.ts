import type { Fetch } from '../shared/client.ts';
import { PROOF_HEADER, proveCredential } from '../shared/contract/credential-proof.ts';
import type { FleetKeys } from '../shared/contract/fleet-keys.ts';

/**
 * Sends beside the derived credential of this node what proves it: a leader of its site may have joined without the fleet key, and
 * can't tell it otherwise while the cloud is away. For a node that holds the key, and so makes the proof itself.
 */
export async function createProofFetch(
  fetch: Fetch,
  keys: Pick<FleetKeys, 'nodeCredential' | 'documents'>,
  node_id: string,
): Promise<Fetch> {
  const credential = await keys.nodeCredential(node_id);
  const own = `Bearer ${credential}`;
  const proof = await proveCredential(keys, credential);
  return (request) => {
    if (proof !== undefined && request.headers.get('authorization') === own) request.headers.set(PROOF_HEADER, proof);
    return fetch(request);
  };
}
