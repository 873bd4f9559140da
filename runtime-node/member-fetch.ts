import type { Fetch } from '../shared/client.ts';
import { PROOF_HEADER } from '../shared/contract/credential-proof.ts';
import type { Membership } from '../shared/discovery/membership.ts';

/**
 * Sends what others gave this node in place of the credential that stands for it inside its own process. What is passed on for
 * others keeps theirs. Rejects where this node has nothing that it may send over such a wire.
 */
export function createMemberFetch(
  fetch: Fetch,
  { keys, credentialFor, proofOf }: Pick<Membership, 'keys' | 'credentialFor' | 'proofOf'>,
): Fetch {
  const own = `Bearer ${keys.local_credential}`;
  return async (request) => {
    // The request itself, since a copy of it would not hear of an abort once the first one is garbage.
    if (request.headers.get('authorization') === own) {
      const shown = await credentialFor(request.url);
      const proof = proofOf(shown);
      request.headers.set('authorization', `Bearer ${shown}`);
      if (proof !== undefined) request.headers.set(PROOF_HEADER, proof);
    }
    return fetch(request);
  };
}
