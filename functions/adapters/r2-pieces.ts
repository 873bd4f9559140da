import { ArtifactError } from '../../shared/ports/artifact-store.ts';

export interface Piece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isLast: boolean;
}

export interface PieceLimits {
  readonly part_bytes: number;
  readonly max_bytes: number;
}

/**
 * A body in pieces of `part_bytes`, the last one as long as what is left; an empty body is one empty piece. Rejects with
 * `too_large` as soon as more than `max_bytes` came. The body is released when whoever reads the pieces stops.
 */
export async function* readPieces(body: ReadableStream<Uint8Array>, { part_bytes, max_bytes }: PieceLimits): AsyncGenerator<Piece> {
  const reader = body.getReader();
  let piece = new Uint8Array(part_bytes);
  let filled = 0;
  let total = 0;
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      total += read.value.byteLength;
      if (total > max_bytes) throw new ArtifactError('too_large', `an artifact may have ${max_bytes} bytes and no more; nothing was kept`);
      let rest = read.value;
      while (rest.byteLength > 0) {
        // A full piece waits for the byte behind it, so that the last one can be told.
        if (filled === part_bytes) {
          yield { bytes: piece, isLast: false };
          piece = new Uint8Array(part_bytes);
          filled = 0;
        }
        const taken = rest.subarray(0, part_bytes - filled);
        piece.set(taken, filled);
        filled += taken.byteLength;
        rest = rest.subarray(taken.byteLength);
      }
    }
    yield { bytes: piece.slice(0, filled), isLast: true };
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
