import type { FleetKeys } from './fleet-keys.ts';

/**
 * The keys of a fleet while its fleet key is replaced: what is made is made with the new one, what is presented may come
 * from either. `until` is in milliseconds since the Unix epoch; who holds these keys drops them then.
 */
export function overlappingKeys(current: FleetKeys, previous: FleetKeys, until: number): FleetKeys {
  const both = [current, previous];
  const anyHolds = async (check: (keys: FleetKeys) => Promise<boolean>) => (await Promise.all(both.map(check))).includes(true);
  return {
    ...current,
    verifyHint: (value, signature) => anyHolds((keys) => keys.verifyHint(value, signature)),
    verifyForward: (value, signature) => anyHolds((keys) => keys.verifyForward(value, signature)),
    verifyNodeCredential: async (credential) =>
      (await current.verifyNodeCredential(credential)) ?? (await previous.verifyNodeCredential(credential)),
    verifyServiceToken: async (token) => (await current.verifyServiceToken(token)) ?? (await previous.verifyServiceToken(token)),
    isFleetKey: (presented) => anyHolds((keys) => keys.isFleetKey(presented)),
    documents: { ...current.documents, others: [previous.documents] },
    replaces_until: until,
  };
}
