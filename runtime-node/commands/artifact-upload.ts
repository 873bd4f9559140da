import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { Readable } from 'node:stream';
import type { ArtifactClient } from '../../shared/artifact-client.ts';
import { ARTIFACT_BYTES } from '../../shared/contract/artifact.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { CommandError } from './errors.ts';
import type { Io } from './io.ts';

/** A file with its hash. */
export interface HashedFile {
  readonly path: string;
  readonly name: string;
  readonly sha256: string;
  readonly size: number;
}

/** Reads a file once for its hash. Rejects for what is no artifact. */
export async function hashFile(io: Io, file: string): Promise<HashedFile> {
  const path = resolve(io.cwd, file);
  const info = await stat(path).catch((error: unknown) => {
    const why = codeOf(error) === 'ENOENT' ? 'does not exist' : `can't be read: ${messageOf(error)}`;
    throw new CommandError('file', `${file} ${why}`, 'Give the path of a .tar.gz, .tar or .zip archive, or of a single program.');
  });
  if (info.isDirectory()) {
    const hint = `Pack it first: tar -czf ${basename(path)}.tar.gz -C ${file} .`;
    throw new CommandError('file', `${file} is a folder, and an artifact is one file`, hint);
  }
  if (!info.isFile()) throw new CommandError('file', `${file} is no file, and an artifact is one`);
  if (info.size > ARTIFACT_BYTES) throw new CommandError('file', `${file} has ${info.size} bytes; an artifact may have ${ARTIFACT_BYTES}`);
  const hash = createHash('sha256');
  const progress = createProgress(io, 'reading', info.size);
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk);
    progress.add(chunk.length);
  }
  progress.end();
  return { path, name: basename(path), sha256: hash.digest('hex'), size: info.size };
}

/** Stores a file unless it is there already: false then. */
export async function uploadFile(io: Io, client: ArtifactClient, { path, sha256, size }: HashedFile): Promise<boolean> {
  if ((await client.size(sha256)) !== undefined) return false;
  const progress = createProgress(io, 'pushing', size);
  try {
    await client.put(sha256, counted(Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>, progress));
  } finally {
    progress.end();
  }
  return true;
}

export interface Progress {
  add(bytes: number): void;
  end(): void;
}

/** How far something is, for a person who looks on. */
export function createProgress({ stderr }: Pick<Io, 'stderr'>, doing: string, total: number): Progress {
  let done = 0;
  let shown = '';
  return {
    add(bytes) {
      done += bytes;
      const text = `${doing} ${megabytes(done)} of ${megabytes(total)} MB`;
      if (stderr.isTTY !== true || text === shown) return;
      stderr.write(`\r${text}`);
      shown = text;
    },
    end() {
      if (shown !== '') stderr.write(`\r${' '.repeat(shown.length)}\r`);
      shown = '';
    },
  };
}

export function counted(body: ReadableStream<Uint8Array>, progress: Progress): ReadableStream<Uint8Array> {
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        progress.add(chunk.byteLength);
        controller.enqueue(chunk);
      },
    }),
  );
}

export function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}
