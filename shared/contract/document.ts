import * as z from 'zod';
import { documentHash } from './canonical.ts';
import type { DocumentSigner, DocumentVerifier } from './fleet-keys.ts';
import { Count, Id, Sha256, Timestamp } from './ids.ts';
import { ClusterPlan } from './plan.ts';
import { EnvironmentProfile } from './profile.ts';

export const DocumentKind = z.enum(['plan', 'profile']).meta({ id: 'DocumentKind' });
export type DocumentKind = z.infer<typeof DocumentKind>;

/**
 * What makes a version an emergency version: a site published it without the cloud that decides. It holds for that site
 * alone, while generation `base_generation` is the newest of the cloud that is known there. `n` counts from 1.
 */
export const Emergency = z.object({ site: Id, base_generation: Count, n: Count.min(1) }).meta({ id: 'Emergency' });
export type Emergency = z.infer<typeof Emergency>;

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
    /** Only of an emergency version. Its `generation` and `parent` are those of the version that it was published on. */
    emergency: Emergency.optional(),
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
  const signer = [verifier, ...(verifier.others ?? [])].find(({ key_id }) => key_id === meta.key_id);
  if (signer === undefined) return 'key';
  return (await signer.verify(signedFields(document.kind, document.fleet, meta), signature)) ? undefined : 'signature';
}

function signedFields(kind: DocumentKind, fleet: string, meta: Omit<DocumentMeta, 'signature'>) {
  return { purpose: 'document', kind, fleet, ...meta };
}

/**
 * One line of a document's history. `conflict`: it lost to another after a partition and waits for a
 * person. `resolved`: it lost, and somebody has published since.
 */
export const HistoryEntry = DocumentMeta.extend({
  current: z.boolean(),
  conflict: z.boolean(),
  resolved: z.boolean().default(false),
}).meta({ id: 'HistoryEntry' });
export type HistoryEntry = z.infer<typeof HistoryEntry>;

/** One emergency version. `holds`: its site follows it now, as far as the Supervisor that answers knows. */
export const EmergencyEntry = DocumentMeta.extend({ emergency: Emergency, holds: z.boolean() }).meta({ id: 'EmergencyEntry' });
export type EmergencyEntry = z.infer<typeof EmergencyEntry>;

export const History = z
  .object({
    versions: z.array(HistoryEntry),
    /** Outside the sequence of `versions`, newest first. Absent where there is none. */
    emergencies: z.array(EmergencyEntry).optional(),
  })
  .meta({ id: 'History' });
export type History = z.infer<typeof History>;

/** One difference between two documents, at a JSON Pointer. `before` absent: added; `after` absent: removed. */
export const Change = z
  .object({ pointer: z.string(), before: z.unknown().optional(), after: z.unknown().optional() })
  .meta({ id: 'Change' });
export type Change = z.infer<typeof Change>;

export const PublishAnswer = z
  .object({
    generation: Count,
    hash: Sha256,
    changed: z.boolean(),
    dry_run: z.boolean(),
    changes: z.array(Change),
    /** Of an emergency version: which one it is. */
    emergency: Emergency.optional(),
  })
  .meta({ id: 'PublishAnswer' });
export type PublishAnswer = z.infer<typeof PublishAnswer>;

export const DesiredGenerations = z.object({ plan: Count.optional(), profile: Count.optional() });
export type DesiredGenerations = z.infer<typeof DesiredGenerations>;

/** Names one version: neither alone does, for a rollback has the hash of an older one. */
export const VersionName = z.object({ generation: Count, hash: Sha256 });
export type VersionName = z.infer<typeof VersionName>;

/** How many versions one offer holds at most. */
export const MAX_OFFERED_VERSIONS = 16;
export const MAX_OFFERED_CONFLICTS = 1000;
/** How many emergency versions of a site travel, the newest. */
export const MAX_OFFERED_EMERGENCIES = 8;

/** Versions of one document that one Supervisor has and another may lack. Their signatures say what may be believed. */
export const VersionsOffer = z
  .strictObject({
    /** In the wire's form, oldest first. */
    versions: z.array(z.record(z.string(), z.unknown())).max(MAX_OFFERED_VERSIONS).default([]),
    /** The current version of who offers; offered here, or known already. Without it the versions are kept and nothing is decided. */
    current: VersionName.optional(),
    /** Versions that lost where they come from. What is not known here is passed over. */
    conflicts: z
      .array(VersionName.extend({ resolved: z.boolean() }))
      .max(MAX_OFFERED_CONFLICTS)
      .default([]),
    /** Emergency versions of the site that the offer is about, in the wire's form. They are kept beside the others and decide nothing here. */
    emergencies: z.array(z.record(z.string(), z.unknown())).max(MAX_OFFERED_EMERGENCIES).default([]),
  })
  .meta({ id: 'VersionsOffer' });
export type VersionsOffer = z.input<typeof VersionsOffer>;

/**
 * What came of an offer. `kept`: what was current here is. `conflict`: it is, and what was offered is kept as a conflict.
 * `adopted`: the offered version is current now. `republished`: the own one is, once more and above the offered one.
 * `waits`: the offered one stands but is not above the own one, so that the other side has to publish it again.
 */
export const OfferOutcome = z.enum(['kept', 'conflict', 'adopted', 'republished', 'waits']);
export type OfferOutcome = z.infer<typeof OfferOutcome>;

export const OfferAnswer = z
  .object({
    outcome: OfferOutcome,
    /** What is current here now; absent while nothing is. */
    current: VersionName.optional(),
    /** Conflicts that wait for a person. */
    open_conflicts: Count,
    /** How many of the offered emergency versions were not known here. Absent where none was offered. */
    new_emergencies: Count.optional(),
  })
  .meta({ id: 'OfferAnswer' });
export type OfferAnswer = z.infer<typeof OfferAnswer>;

/** `published_by` of a version that a Supervisor published again because two had diverged. */
export const MERGED_BY = 'merge';
