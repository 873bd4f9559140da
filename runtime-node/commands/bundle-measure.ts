import { createHash } from 'node:crypto';
import type { Progress } from './artifact-upload.ts';

/** What a manifest says of an entry: bytes, and SHA-256 in hex. */
export interface Measure {
  readonly size: number;
  readonly sha256: string;
}

export function measureText(text: string): Measure {
  return { size: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') };
}

/** Passes chunks on as they come, up to the one that makes them more than `limit` bytes, and returns what they measured. */
export async function* measured(
  chunks: AsyncIterable<Uint8Array>,
  progress: Progress,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array, Measure> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    size += chunk.length;
    progress.add(chunk.length);
    if (size > limit) break;
    yield chunk;
  }
  return { size, sha256: hash.digest('hex') };
}
