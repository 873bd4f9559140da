import type { Fetch } from '../shared/client.ts';
import type { Membership } from '../shared/discovery/membership.ts';

/**
 * Sends what others gave this node in place of the credential that stands for it inside its own process. What is passed on for
 * others keeps theirs. Rejects where this node has nothing that it may send over such a wire.
 */
export function createMemberFetch(fetch: Fetch, { keys, credentialFor }: Pick<Membership, 'keys' | 'credentialFor'>): Fetch {
  const own = `Bearer ${keys.local_credential}`;
  return async (request) => {
    // The request itself, since a copy of it would not hear of an abort once the first one is garbage.
    if (request.headers.get('authorization') === own) {
      request.headers.set('authorization', `Bearer ${await credentialFor(request.url)}`);
    }
    return fetch(request);
  };
}
