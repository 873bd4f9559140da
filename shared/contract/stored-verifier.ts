import { type DocumentVerifier, documentVerifier, type NodeKeys } from './fleet-keys.ts';

/**
 * Verifies what this Supervisor or node took in itself, under whichever key of the fleet it was signed then. What comes
 * from elsewhere is believed by `keys.documents` alone.
 */
export async function storedVerifier(keys: NodeKeys, key_id: string): Promise<DocumentVerifier> {
  const { documents, retired_document_keys = [] } = keys;
  if (documents.key_id === key_id) return documents;
  const retired = retired_document_keys.filter((public_key) => public_key.startsWith(key_id));
  return { ...documents, others: [...(documents.others ?? []), ...(await Promise.all(retired.map(documentVerifier)))] };
}
