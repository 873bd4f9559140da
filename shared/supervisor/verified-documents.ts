import { type DocumentBody, type DocumentKind, documentSchemas, findForgery, type SignedDocument } from '../contract/document.ts';
import type { FleetKeys } from '../contract/fleet-keys.ts';
import { ProblemError } from './problem.ts';
import { type DocumentRow, type DocumentStore, toDocument } from './store/documents.ts';

/** Names one version. */
export interface VersionKey {
  readonly generation: number;
  readonly hash: string;
}
import { nameOf } from '../decide/emergency.ts';
import { storedVerifier } from './identity/stored-verifier.ts';

export interface Verified<K extends DocumentKind> {
  readonly document: SignedDocument;
  /** The body with its defaults. */
  readonly parsed: DocumentBody<K>;
}

/** Verified versions that are remembered: of each fleet in use its plan and its profile. Each is 1 MiB at most. */
const REMEMBERED = 32;

const WRONG: Record<'hash' | 'key' | 'signature', string> = {
  hash: 'its body is not what was published: the hash differs',
  key: 'it was signed with the key of another fleet, or the fleet key was replaced',
  signature: 'its signature is wrong',
};

export type VerifiedDocuments = ReturnType<typeof createVerifiedDocuments>;

/**
 * Reads versions out of the database and gives none away whose hash or signature does not hold. What
 * was verified is served from memory from then on, so a poll verifies nothing and a row that was
 * tampered with afterwards is not served either.
 */
export function createVerifiedDocuments(store: DocumentStore) {
  const remembered = new Map<string, Verified<DocumentKind>>();
  const remember = (name: string, verified: Verified<DocumentKind>) => {
    const oldest = remembered.size >= REMEMBERED ? remembered.keys().next().value : undefined;
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(name, verified);
  };
  return {
    /** The version that `desired` names. Throws the problem `storage_corrupt` for one that is missing or does not verify. */
    async get<K extends DocumentKind>(keys: FleetKeys, kind: K, { generation, hash }: VersionKey): Promise<Verified<K>> {
      const name = [keys.fleet, kind, generation, hash].join('/');
      const known = remembered.get(name);
      // The name holds the kind, so what is kept under it has the kind's shape.
      if (known !== undefined) return known as Verified<K>;
      const row = await store.version(keys.fleet, kind, generation, hash);
      if (row === undefined) throw corrupt(kind, generation, 'it is the current one and is not there');
      const document = await verify(keys, row);
      const parsed = documentSchemas[kind].safeParse(document.body);
      if (!parsed.success)
        throw corrupt(kind, generation, `it is not valid for this version of bootplane: ${parsed.error.issues[0]?.message}`);
      const verified = { document, parsed: parsed.data };
      remember(name, verified);
      // As above: `documentSchemas[kind]` made it.
      return verified as Verified<K>;
    },
  };
}

/** The document of a row. Throws the problem `storage_corrupt` when its hash or signature does not hold. */
export async function verify(keys: FleetKeys, row: DocumentRow): Promise<SignedDocument> {
  const { kind, generation } = row;
  let document: SignedDocument;
  try {
    document = toDocument(row);
  } catch {
    throw corrupt(kind, generation, 'its body is not JSON');
  }
  const forged = await findForgery(await storedVerifier(keys, row.key_id), document);
  if (forged !== undefined) throw corrupt(kind, generation, WRONG[forged]);
  return document;
}

/**
 * Reads what names a version and then, with `use`, the version. A seed goes when another one replaces it:
 * where the version can't be read and another is current by now, both are read once more.
 */
export async function readFollowing<H, T>(
  readHead: () => Promise<H>,
  hashOf: (head: H) => string | undefined,
  use: (head: H) => Promise<T>,
): Promise<T> {
  const head = await readHead();
  try {
    return await use(head);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.problem.code !== 'storage_corrupt') throw error;
    const later = await readHead();
    if (hashOf(later) === hashOf(head)) throw error;
    return use(later);
  }
}

function corrupt(kind: DocumentKind, generation: number, why: string): ProblemError {
  return new ProblemError(
    'storage_corrupt',
    `generation ${generation} of the ${kind} is not served: ${why}. Publish the ${kind} again from its file, with If-Match "${generation}"`,
  );
}
