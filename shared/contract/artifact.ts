import * as z from 'zod';
import { Count, Sha256, Timestamp } from './ids.ts';

/** The largest artifact, bytes: 4 GiB. */
export const ARTIFACT_BYTES = 4 * 1024 ** 3;

/** The path of one artifact. */
export const artifactPath = (sha256: string): string => `/v1/artifacts/${sha256}`;

export const ArtifactInfo = z
  .object({
    sha256: Sha256,
    /** Bytes. */
    size: Count,
    stored_at: Timestamp,
  })
  .meta({ id: 'ArtifactInfo' });
export type ArtifactInfo = z.infer<typeof ArtifactInfo>;

/** By SHA-256, upwards. `next` present: there are more, after this one. */
export const ArtifactList = z.object({ artifacts: z.array(ArtifactInfo), next: Sha256.optional() }).meta({ id: 'ArtifactList' });
export type ArtifactList = z.infer<typeof ArtifactList>;
