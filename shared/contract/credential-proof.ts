import { sha256Hex } from './canonical.ts';
import { type DocumentVerifier, type FleetKeys, nodeOfCredential } from './fleet-keys.ts';

/** Goes beside the derived credential of a node, for a leader that has not the fleet key. */
export const PROOF_HEADER = 'Bootplane-Credential-Proof';

/** An Ed25519 signature as base64url has 86 characters. */
const LONGEST = 128;

/**
 * Says by the document key of the fleet that a derived credential is that of its node, so that who has only the public half can tell
 * it. It covers the hash of the credential and is of no use without it. Undefined for what is no derived credential.
 */
export async function proveCredential({ documents }: Pick<FleetKeys, 'documents'>, credential: string): Promise<string | undefined> {
  const claims = await claimsOf(credential);
  return claims === undefined ? undefined : documents.sign(claims);
}

export interface ProvedNode {
  readonly node_id: string;
  /** By a document key that is being replaced: the proof ends with that one. */
  readonly isByOldKey: boolean;
}

/** The node that a derived credential of `fleet` is proved to be of, by one of these document keys. */
export async function nodeProved(
  { fleet, documents }: { readonly fleet: string; readonly documents: DocumentVerifier },
  credential: string,
  proof: string,
): Promise<ProvedNode | undefined> {
  const claims = proof.length > LONGEST ? undefined : await claimsOf(credential);
  if (claims?.fleet !== fleet) return undefined;
  const { node_id } = claims;
  if (await documents.verify(claims, proof)) return { node_id, isByOldKey: false };
  for (const key of documents.others ?? []) if (await key.verify(claims, proof)) return { node_id, isByOldKey: true };
  return undefined;
}

async function claimsOf(credential: string) {
  const named = nodeOfCredential(credential);
  if (named === undefined) return undefined;
  return { purpose: 'node-credential', ...named, sha256: await sha256Hex(credential) };
}
