import { ARTIFACT_BYTES, type ArtifactInfo } from '../../shared/contract/artifact.ts';
import { toTimestamp } from '../../shared/contract/ids.ts';
import { ArtifactError, type ArtifactStore } from '../../shared/ports/artifact-store.ts';
import { type Piece, readPieces } from './r2-pieces.ts';

export interface R2ArtifactOptions {
  readonly bucket: R2Bucket;
  /** Artifacts of different fleets share the bucket and nothing else: who may read one is told nothing of another's. */
  readonly fleet: string;
  /** The largest artifact, bytes. Default `ARTIFACT_BYTES`. */
  readonly max_bytes?: number;
  /** Bytes that are held in memory at a time; R2 takes no smaller part than 5 MiB. Default 8 MiB. */
  readonly part_bytes?: number;
}

/** All but the last part of an upload have the same size, 5 MiB to 5 GiB (developers.cloudflare.com/r2/objects/upload-objects). */
const PART_BYTES = 8 * 1024 ** 2;
/** Set on what came in parts: R2 keeps no SHA-256 of that, and the Worker has verified it before the parts were joined. */
const VERIFIED = { verified: 'sha256' };

/**
 * Artifacts in R2 under `<fleet>/<sha256>`. Nothing is there under its name before its hash was verified: what fits in
 * one part is put with its SHA-256, which R2 checks again and keeps; a larger one is uploaded in parts, hashed on the
 * way, and joined only when the hash is right. What somebody put into the bucket past the Worker is not given out.
 */
export function createR2Artifacts({
  bucket,
  fleet,
  max_bytes = ARTIFACT_BYTES,
  part_bytes = PART_BYTES,
}: R2ArtifactOptions): ArtifactStore {
  const keyOf = (sha256: string) => `${fleet}/${sha256}`;
  const head = async (sha256: string) => toInfo(await bucket.head(keyOf(sha256)));
  return {
    head: (sha256) => inWords(() => head(sha256)),
    get: (sha256, range) =>
      inWords(async () => {
        const wanted = range === undefined ? {} : { range: { offset: range.start, length: range.end - range.start + 1 } };
        const found = await bucket.get(keyOf(sha256), wanted);
        const info = toInfo(found);
        if (found !== null && info !== undefined) return { info, body: found.body as ReadableStream<Uint8Array> };
        await found?.body.cancel();
        return undefined;
      }),
    put: (sha256, body) =>
      inWords(async () => {
        const present = await head(sha256);
        if (present === undefined) return store({ bucket, key: keyOf(sha256), sha256, max_bytes, part_bytes }, body);
        await body.cancel().catch(() => undefined);
        return present;
      }),
    list: ({ after, limit = 100 } = {}) =>
      inWords(async () => {
        const startAfter = after === undefined ? {} : { startAfter: keyOf(after) };
        const { objects, truncated } = await bucket.list({ prefix: `${fleet}/`, limit, include: ['customMetadata'], ...startAfter });
        const last = objects.at(-1)?.key.slice(fleet.length + 1);
        return { artifacts: objects.flatMap((found) => toInfo(found) ?? []), ...(truncated && last !== undefined ? { next: last } : {}) };
      }),
    delete: (sha256) => inWords(() => bucket.delete(keyOf(sha256))),
  };
}

interface Upload {
  readonly bucket: R2Bucket;
  readonly key: string;
  readonly sha256: string;
  readonly max_bytes: number;
  readonly part_bytes: number;
}

async function store(upload: Upload, body: ReadableStream<Uint8Array>): Promise<ArtifactInfo> {
  const pieces = readPieces(body, upload);
  try {
    const first = await pieces.next();
    if (first.done) throw new TypeError('a body has one piece at least');
    return await (first.value.isLast ? storeWhole(upload, first.value.bytes) : storeInParts(upload, first.value, pieces));
  } finally {
    // Of a body that was refused in the middle nothing more is read.
    await pieces.return(undefined);
  }
}

async function storeWhole({ bucket, key, sha256 }: Upload, bytes: Uint8Array<ArrayBuffer>): Promise<ArtifactInfo> {
  refuseMismatch(sha256, await crypto.subtle.digest('SHA-256', bytes));
  return told(await bucket.put(key, bytes, { sha256 }), sha256);
}

async function storeInParts({ bucket, key, sha256 }: Upload, first: Piece, rest: AsyncGenerator<Piece>): Promise<ArtifactInfo> {
  const upload = await bucket.createMultipartUpload(key, { customMetadata: VERIFIED });
  try {
    const hash = new crypto.DigestStream('SHA-256');
    const writer = hash.getWriter();
    const parts: R2UploadedPart[] = [];
    const take = async ({ bytes }: Piece) => {
      await writer.write(bytes);
      parts.push(await upload.uploadPart(parts.length + 1, bytes));
    };
    await take(first);
    for await (const piece of rest) await take(piece);
    await writer.close();
    refuseMismatch(sha256, await hash.digest);
    return told(await upload.complete(parts), sha256);
  } catch (error) {
    // What is left of an upload that can't even be ended now, R2 drops by itself after a week.
    await upload.abort().catch(() => undefined);
    throw error;
  }
}

function refuseMismatch(wanted: string, digest: ArrayBuffer): void {
  const found = toHex(digest);
  if (found !== wanted) throw new ArtifactError('mismatch', `the body has the SHA-256 ${found}, not ${wanted}; nothing was kept`);
}

/** Undefined for what is not there, and for what was put there without its hash being verified. */
function toInfo(found: R2Object | null): ArtifactInfo | undefined {
  if (found === null) return undefined;
  const { key, size, uploaded, checksums, customMetadata } = found;
  const sha256 = key.slice(-SHA256_LENGTH);
  const isVerified = checksums.sha256 === undefined ? customMetadata?.verified === VERIFIED.verified : toHex(checksums.sha256) === sha256;
  return isVerified ? { sha256, size, stored_at: toTimestamp(uploaded.getTime()) } : undefined;
}

const SHA256_LENGTH = 64;

function told(stored: R2Object, sha256: string): ArtifactInfo {
  return { sha256, size: stored.size, stored_at: toTimestamp(stored.uploaded.getTime()) };
}

function toHex(bytes: ArrayBuffer): string {
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function inWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ArtifactError) throw error;
    throw new ArtifactError('failed', `R2 did not do it: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
