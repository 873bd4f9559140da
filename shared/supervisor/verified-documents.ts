import {
  type DocumentBody,
  type DocumentKind,
  documentSchemas,
  type Emergency,
  findForgery,
  fromWire,
  type SignedDocument,
} from '../contract/document.ts';
import type { NodeKeys } from '../contract/fleet-keys.ts';
import { storedVerifier } from '../contract/stored-verifier.ts';
import { nameOf } from '../decide/emergency.ts';
import { ProblemError } from './problem.ts';
import { type DocumentRow, type DocumentStore, toDocument } from './store/documents.ts';
import type { EmergencyRow, EmergencyStore } from './store/emergencies.ts';

/** Names one version. */
export interface VersionKey {
  readonly generation: number;
  readonly hash: string;
  /** Of an emergency version: its number, and the site that follows it. */
  readonly emergency?: { readonly site: string; readonly n: number };
}

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
export function createVerifiedDocuments(store: DocumentStore, emergencies: EmergencyStore) {
  const remembered = new Map<string, Verified<DocumentKind>>();
  const remember = (name: string, verified: Verified<DocumentKind>) => {
    const oldest = remembered.size >= REMEMBERED ? remembered.keys().next().value : undefined;
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(name, verified);
  };
  const read = async (keys: NodeKeys, kind: DocumentKind, { generation, hash, emergency }: VersionKey): Promise<SignedDocument> => {
    if (emergency !== undefined) {
      const row = await emergencies.version(keys.fleet, kind, emergency.site, { generation, hash, n: emergency.n });
      if (row !== undefined) return verifyEmergency(keys, row);
    } else {
      const row = await store.version(keys.fleet, kind, generation, hash);
      if (row !== undefined) return verify(keys, row);
    }
    throw corrupt(kind, generation, 'it is the current one and is not there');
  };
  return {
    /** The version that is named. Throws the problem `storage_corrupt` for one that is missing or does not verify. */
    async get<K extends DocumentKind>(keys: NodeKeys, kind: K, version: VersionKey): Promise<Verified<K>> {
      const { generation, hash, emergency } = version;
      const name = [keys.fleet, kind, generation, hash, ...(emergency === undefined ? [] : [emergency.site, emergency.n])].join('/');
      const known = remembered.get(name);
      // The name holds the kind, so what is kept under it has the kind's shape.
      if (known !== undefined) return known as Verified<K>;
      const document = await read(keys, kind, version);
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
export async function verify(keys: NodeKeys, row: DocumentRow): Promise<SignedDocument> {
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

export function emergencyOf({ site, generation, n }: Pick<EmergencyRow, 'site' | 'generation' | 'n'>): Emergency {
  return { site, base_generation: generation, n };
}

/** The row as the document that was signed. Throws the problem `storage_corrupt` when its hash or signature does not hold. */
export async function verifyEmergency(keys: NodeKeys, row: EmergencyRow): Promise<SignedDocument> {
  const document = toSigned(row);
  if (document !== undefined && (await findForgery(await storedVerifier(keys, row.key_id), document)) === undefined) return document;
  throw new ProblemError(
    'storage_corrupt',
    `${nameOf({ generation: row.generation, emergency: emergencyOf(row) })} of the ${row.kind} is not served: it does not verify. Publish it again from its file, with --break-glass`,
  );
}

/** Undefined for a row that somebody has spoilt. */
function toSigned({ fleet, kind, site, n, parent, body, ...meta }: EmergencyRow): SignedDocument | undefined {
  try {
    const own = { ...meta, ...(parent === null ? {} : { parent }), emergency: { site, base_generation: meta.generation, n } };
    return fromWire(kind, fleet, { ...JSON.parse(body), ...own });
  } catch {
    return undefined;
  }
}
