import { sha256Hex } from '../../contract/canonical.ts';
import type { NodeKeys } from '../../contract/fleet-keys.ts';
import { toTimestamp } from '../../contract/ids.ts';
import type { IssuedKeyName } from '../../contract/key.ts';
import type { Caller, EndedKey, IssuedBy, KeyVerifier } from '../auth.ts';
import type { KeyRow, KeyStore, UsedKey } from '../store/keys.ts';

export interface IssuedKeys extends KeyVerifier {
  /** As `verify`, by the SHA-256 of the key, hex. It is no credential by itself: it is believed to a node of the fleet. */
  verifyHash(hash: string, name: IssuedKeyName, keys: NodeKeys): Promise<Caller | EndedKey | undefined>;
}

/** Takes the keys that operators issued: one read each, which the memory of callers spares for the next minute. */
export function createKeyVerifier(store: Pick<KeyStore, 'use'>): IssuedKeys {
  const verifyHash: IssuedKeys['verifyHash'] = async (hash, name, keys) => {
    const row = await store.use(name, hash);
    if (row === undefined) return undefined;
    return endOf(row) ?? callerOf(row, keys);
  };
  return { verify: async (key, name, keys) => verifyHash(await sha256Hex(key), name, keys), verifyHash };
}

/** Told to who holds the key itself, whose hash the row has: nobody else learns that there was one. */
function endOf({ key_id, revoked_at, expires_at, expired }: UsedKey): EndedKey | undefined {
  if (revoked_at !== null) return { ended: `this key (${key_id}) was revoked at ${toTimestamp(revoked_at)}` };
  if (expired === 0 || expires_at === null) return undefined;
  return { ended: `this key (${key_id}) expired at ${toTimestamp(expires_at)}` };
}

function callerOf(row: KeyRow, keys: NodeKeys): Caller | undefined {
  const { fleet, scope, node_id } = row;
  const issued = issuedBy(row);
  if (scope === 'join') return { fleet, keys, scope, issued };
  if (scope !== 'node') return { fleet, keys, scope, issued };
  return node_id === null ? undefined : { fleet, keys, scope, node_id, issued };
}

function issuedBy({ key_id, label, expires_at, site }: KeyRow): IssuedBy {
  return {
    key_id,
    ...(label === null ? {} : { label }),
    ...(expires_at === null ? {} : { expires_at }),
    ...(site === null ? {} : { site }),
  };
}
