import * as z from 'zod';
import { DocumentKind, VersionName } from '../../shared/contract/document.ts';
import { Count, Id, Sha256, Timestamp } from '../../shared/contract/ids.ts';

/** Of this format; another one is refused. */
export const BUNDLE_FORMAT = 'bootplane-bundle/1';
/** The first entry of the tar: what else there is. */
export const MANIFEST_NAME = 'bundle.json';
export const MAX_MANIFEST_BYTES = 16 * 1024 ** 2;
export const MAX_DOCUMENT_BYTES = 256 * 1024 ** 2;

const Entry = z.object({ name: z.string().max(256), sha256: Sha256, size: Count });

/**
 * What a bundle holds: a tar with this manifest, `plan.json` and `profile.json` as far as they are published, and
 * `artifacts/<sha256>`, in this order. The hashes find what was damaged on the way; what may be believed is
 * decided by the signatures of the documents, and by the artifacts that the signed plan names.
 */
export const BundleManifest = z.strictObject({
  format: z.literal(BUNDLE_FORMAT),
  fleet: Id,
  created_at: Timestamp,
  /** Of bootplane. */
  version: z.string().max(128),
  documents: z.array(Entry.extend({ kind: DocumentKind })).max(2),
  artifacts: z.array(Entry).max(10_000),
});
export type BundleManifest = z.infer<typeof BundleManifest>;

/** One document of a bundle: its current version and those that it was made from, oldest first, signed as they were published. */
export const BundleDocument = z.strictObject({
  versions: z.array(z.record(z.string(), z.unknown())).min(1).max(1000),
  current: VersionName,
});
export type BundleDocument = z.infer<typeof BundleDocument>;

export function artifactEntry(sha256: string): string {
  return `artifacts/${sha256}`;
}
