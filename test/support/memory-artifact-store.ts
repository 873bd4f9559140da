import { ARTIFACT_BYTES, type ArtifactInfo } from '../../shared/contract/artifact.ts';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { ArtifactError, type ArtifactStore } from '../../shared/ports/artifact-store.ts';

/** The artifact store port in memory. Web standards only, so that it runs in workerd too. */
export function memoryArtifactStore(max_bytes = ARTIFACT_BYTES): ArtifactStore {
  const kept = new Map<string, Uint8Array<ArrayBuffer>>();
  const infoOf = (sha256: string, { length: size }: Uint8Array): ArtifactInfo => ({ sha256, size, stored_at: '2026-01-01T00:00:00.000Z' });
  return {
    async head(sha256) {
      const bytes = kept.get(sha256);
      return bytes && infoOf(sha256, bytes);
    },
    async get(sha256, range) {
      const bytes = kept.get(sha256);
      if (bytes === undefined) return undefined;
      const part = range === undefined ? bytes : bytes.subarray(range.start, range.end + 1);
      return { info: infoOf(sha256, bytes), body: new Blob([part]).stream() };
    },
    async put(sha256, body) {
      const present = kept.get(sha256);
      if (present === undefined) return infoOf(sha256, await keep(kept, sha256, body, max_bytes));
      await body.cancel();
      return infoOf(sha256, present);
    },
    async list({ after = '', limit = 100 } = {}) {
      const all = [...kept].filter(([sha256]) => sha256 > after).sort(([a], [b]) => (a < b ? -1 : 1));
      const artifacts = all.slice(0, limit).map((one) => infoOf(...one));
      const last = artifacts.at(-1)?.sha256;
      return { artifacts, ...(all.length > limit && last !== undefined ? { next: last } : {}) };
    },
    async delete(sha256) {
      kept.delete(sha256);
    },
  };
}

async function keep(kept: Map<string, Uint8Array<ArrayBuffer>>, sha256: string, body: ReadableStream<Uint8Array>, max_bytes: number) {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = body.getReader();
  for (let part = await read(reader); !part.done; part = await read(reader)) {
    size += part.value.byteLength;
    if (size > max_bytes) {
      await reader.cancel();
      throw new ArtifactError('too_large', `more than ${max_bytes} bytes`);
    }
    chunks.push(part.value.slice());
  }
  const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
  if ((await sha256Hex(bytes)) !== sha256) throw new ArtifactError('mismatch', 'the body has another hash');
  kept.set(sha256, bytes);
  return bytes;
}

function read(reader: ReadableStreamDefaultReader<Uint8Array>) {
  return reader.read().catch((cause: unknown) => {
    throw new ArtifactError('failed', 'the body broke off', { cause });
  });
}
