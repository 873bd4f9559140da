import type { ArtifactInfo, ArtifactList } from '../contract/artifact.ts';

/**
 * Files named by their SHA-256 (lower-case hex), so that one that is there is right and never changes.
 * Each method may reject with `ArtifactError`.
 */
export interface ArtifactStore {
  head(sha256: string): Promise<ArtifactInfo | undefined>;
  /**
   * Undefined when it is not there, or when what is stored no longer has that hash: then it is dropped, so
   * that it can be stored again. A stream that finds this out on its way ends with an error.
   */
  get(sha256: string, range?: ByteRange): Promise<StoredArtifact | undefined>;
  /**
   * Stores the whole body durably, or nothing. A body with another hash is refused (`mismatch`). One that is
   * there already is left as it is, and the body is not read.
   */
  put(sha256: string, body: ReadableStream<Uint8Array>): Promise<ArtifactInfo>;
  /** By hash, upwards. */
  list(options?: { readonly after?: string; readonly limit?: number }): Promise<ArtifactList>;
  /** One that is not there is no error. */
  delete(sha256: string): Promise<void>;
}

/** Bytes `start` to `end`, both included, as in HTTP. Both must be inside the artifact. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface StoredArtifact {
  readonly info: ArtifactInfo;
  readonly body: ReadableStream<Uint8Array>;
}

export type ArtifactErrorKind = 'mismatch' | 'too_large' | 'full' | 'failed';

export class ArtifactError extends Error {
  readonly kind: ArtifactErrorKind;
  constructor(kind: ArtifactErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ArtifactError';
    this.kind = kind;
  }
}
