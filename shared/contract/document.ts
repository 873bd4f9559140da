import * as z from 'zod';
import { documentHash } from './canonical.ts';
import type { DocumentSigner, DocumentVerifier } from './fleet-keys.ts';
import { Count, Sha256, Timestamp } from './ids.ts';
import { ClusterPlan } from './plan.ts';
import { EnvironmentProfile } from './profile.ts';

export const DocumentKind = z.enum(['plan', 'profile']).meta({ id: 'DocumentKind' });
export type DocumentKind = z.infer<typeof DocumentKind>;

/** The fields that publishing adds to a document; on the wire they stand beside the document's own. */
export const DocumentMeta = z
  .object({
    generation: Count,
    hash: Sha256,
    /** Hash of the version that this one was published on; absent for the first. */
    parent: Sha256.optional(),
    published_by: z.string().max(256),
    published_at: Timestamp,
    epoch: Count,
    key_id: z.string().max(64),
    signature: z.string().max(256),
  })
  .meta({ id: 'DocumentMeta' });
export type DocumentMeta = z.infer<typeof DocumentMeta>;

export const PublishedPlan = ClusterPlan.and(DocumentMeta).meta({ id: 'PublishedPlan' });
export const PublishedProfile = EnvironmentProfile.and(DocumentMeta).meta({ id: 'PublishedProfile' });

const META_FIELDS = Object.keys(DocumentMeta.shape);

/** A document as it was published: `body` as the operator wrote it, since the hash covers just that. */
export interface SignedDocument {
  readonly kind: DocumentKind;
  readonly fleet: string;
  readonly meta: DocumentMeta;
  readonly body: Record<string, unknown>;
}

/** The schemas that give a document's defaults and its errors. */
export const documentSchemas = { plan: ClusterPlan, profile: EnvironmentProfile } as const;
export type DocumentBody<K extends DocumentKind> = z.infer<(typeof documentSchemas)[K]>;

/** The wire's form: the document's own fields with the published ones beside them. */
export function toWire(document: SignedDocument): Record<string, unknown> {
  return { ...document.body, ...document.meta };
}

/** Takes the wire's form apart. Throws `ZodError` when a published field is missing or wrong. */
export function fromWire(kind: DocumentKind, fleet: string, wire: Record<string, unknown>): SignedDocument {
  const meta = DocumentMeta.parse(wire);
  const body = Object.fromEntries(Object.entries(wire).filter(([name]) => !META_FIELDS.includes(name)));
  return { kind, fleet, meta, body };
}

/** Hashes and signs a document's body. */
export async function signDocument(
  signer: DocumentSigner,
  draft: Omit<SignedDocument, 'meta'> & { meta: Omit<DocumentMeta, 'hash' | 'key_id' | 'signature'> },
): Promise<SignedDocument> {
  const meta = { ...draft.meta, hash: await documentHash(draft.body), key_id: signer.key_id };
  const signature = await signer.sign(signedFields(draft.kind, draft.fleet, meta));
  return { ...draft, meta: { ...meta, signature } };
}

/** Why a document must not be used, or undefined when hash and signature are right. */
export async function findForgery(verifier: DocumentVerifier, document: SignedDocument): Promise<'hash' | 'key' | 'signature' | undefined> {
  const { signature, ...meta } = document.meta;
  if ((await documentHash(document.body).catch(() => undefined)) !== meta.hash) return 'hash';
  if (meta.key_id !== verifier.key_id) return 'key';
  return (await verifier.verify(signedFields(document.kind, document.fleet, meta), signature)) ? undefined : 'signature';
}

function signedFields(kind: DocumentKind, fleet: string, meta: Omit<DocumentMeta, 'signature'>) {
  return { purpose: 'document', kind, fleet, ...meta };
}

/** One line of a document's history. `conflict`: it lost to another after a partition and waits for a person. */
export const HistoryEntry = DocumentMeta.extend({ current: z.boolean(), conflict: z.boolean() }).meta({ id: 'HistoryEntry' });
export const History = z.object({ versions: z.array(HistoryEntry) }).meta({ id: 'History' });
export type History = z.infer<typeof History>;

/** One difference between two documents, at a JSON Pointer. `before` absent: added; `after` absent: removed. */
export const Change = z
  .object({ pointer: z.string(), before: z.unknown().optional(), after: z.unknown().optional() })
  .meta({ id: 'Change' });
export type Change = z.infer<typeof Change>;

export const PublishAnswer = z
  .object({ generation: Count, hash: Sha256, changed: z.boolean(), dry_run: z.boolean(), changes: z.array(Change) })
  .meta({ id: 'PublishAnswer' });
export type PublishAnswer = z.infer<typeof PublishAnswer>;

export const DesiredGenerations = z.object({ plan: Count.optional(), profile: Count.optional() });
export type DesiredGenerations = z.infer<typeof DesiredGenerations>;
