import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import type { Pack } from 'tar-stream';
import type { ArtifactClient } from '../../shared/artifact-client.ts';
import { ApiError, type Client } from '../../shared/client.ts';
import { type DocumentKind, fromWire } from '../../shared/contract/document.ts';
import { toTimestamp } from '../../shared/contract/ids.ts';
import { ClusterPlan } from '../../shared/contract/plan.ts';
import { lineOf } from '../../shared/decide/merge.ts';
import { createProgress, type Progress } from './artifact-upload.ts';
import { artifactEntry, BUNDLE_FORMAT, type BundleDocument, type BundleManifest, MANIFEST_NAME } from './bundle-format.ts';
import { measured, measureText } from './bundle-measure.ts';
import { CommandError } from './errors.ts';
import type { Io } from './io.ts';

/** So many versions of a document travel along: enough for the other side to see what came from what. */
const VERSIONS = 64;

export interface Exported {
  readonly file: string;
  readonly bytes: number;
  readonly manifest: BundleManifest;
}

interface Document {
  readonly kind: DocumentKind;
  readonly text: string;
  readonly current: Record<string, unknown>;
}

/** Writes what is published, with all artifacts that the plan names, into one file. The file is there whole or not at all. */
export async function exportBundle(io: Io, client: Client, artifacts: ArtifactClient, file: string): Promise<Exported> {
  const path = resolve(io.cwd, file);
  if ((await stat(path).catch(() => undefined)) !== undefined) {
    throw new CommandError('file', `${file} exists already`, 'Remove it, or give another name.');
  }
  const { body: state } = await client.state();
  const documents = (await Promise.all((['plan', 'profile'] as const).map((kind) => readDocument(client, kind)))).filter(
    (one) => one !== undefined,
  );
  if (documents.length === 0) throw new CommandError('refused', 'there is nothing to export: neither a plan nor a profile is published');
  const manifest: BundleManifest = {
    format: BUNDLE_FORMAT,
    fleet: state.fleet,
    created_at: toTimestamp(io.now()),
    version: io.version(),
    documents: documents.map(({ kind, text }) => ({ kind, name: `${kind}.json`, ...measureText(text) })),
    artifacts: await namedArtifacts(
      artifacts,
      documents.find(({ kind }) => kind === 'plan'),
    ),
  };
  const partial = `${path}.partial`;
  try {
    await write(io, { path: partial, shown: file }, manifest, documents, artifacts);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  return { file: basename(path), bytes: (await stat(path)).size, manifest };
}

async function readDocument(client: Client, kind: DocumentKind): Promise<Document | undefined> {
  const { versions } = (await client.history(kind)).body;
  const head = versions.find(({ current }) => current);
  if (head === undefined) return undefined;
  const line = lineOf(versions, head).slice(0, VERSIONS).reverse();
  const wires: Record<string, unknown>[] = [];
  for (const { generation, hash } of line) wires.push((await client.version(kind, generation, hash)).body);
  const current = wires.at(-1);
  if (current === undefined)
    throw new ApiError({ type: '', title: '', status: 404, code: 'no_such_generation', detail: `the current ${kind} is gone` });
  const document: BundleDocument = { versions: wires, current: { generation: head.generation, hash: head.hash } };
  return { kind, text: JSON.stringify(document), current };
}

async function namedArtifacts(client: ArtifactClient, plan: Document | undefined): Promise<BundleManifest['artifacts']> {
  if (plan === undefined) return [];
  const { services } = ClusterPlan.parse(fromWire('plan', '', plan.current).body);
  const named = new Map(services.flatMap(({ name, artifact }) => (artifact === undefined ? [] : [[artifact.sha256, name] as const])));
  const found: BundleManifest['artifacts'] = [];
  for (const [hash, service] of named) {
    const size = await client.size(hash);
    if (size === undefined) {
      const hint = `Push it with \`bootplane artifact push\`, or export at a node that has it (--url).`;
      throw new CommandError('refused', `the artifact ${hash} of service ${service} is not stored where this command asked`, hint);
    }
    found.push({ name: artifactEntry(hash), sha256: hash, size });
  }
  return found;
}

async function write(
  io: Io,
  { path, shown }: { readonly path: string; readonly shown: string },
  manifest: BundleManifest,
  documents: readonly Document[],
  client: ArtifactClient,
): Promise<void> {
  const { pack } = await import('tar-stream');
  const archive = pack();
  const progress = createProgress(
    io,
    'exporting',
    manifest.artifacts.reduce((sum, { size }) => sum + size, 0),
  );
  const fill = async () => {
    archive.entry({ name: MANIFEST_NAME }, `${JSON.stringify(manifest, undefined, 2)}\n`);
    for (const { kind, text } of documents) archive.entry({ name: `${kind}.json` }, text);
    for (const artifact of manifest.artifacts) await addArtifact(archive, client, artifact, progress);
    archive.finalize();
  };
  const filling = fill().catch((error: unknown) => {
    archive.destroy();
    throw error;
  });
  const [filled, written] = await Promise.allSettled([
    filling,
    // A plan may hold passwords.
    pipeline(Readable.from(archive as AsyncIterable<Uint8Array>), createWriteStream(path, { mode: 0o600 })),
  ]);
  progress.end();
  // Without room on the disk the file says what is wrong; else it is what could not be read.
  if (written.status === 'rejected' && written.reason instanceof Error && 'syscall' in written.reason) {
    throw new CommandError('file', `${shown} can't be written: ${written.reason.message}`);
  }
  if (filled.status === 'rejected') throw filled.reason;
  if (written.status === 'rejected') throw written.reason;
}

async function addArtifact(
  archive: Pack,
  client: ArtifactClient,
  { name, sha256: wanted, size }: BundleManifest['artifacts'][number],
  progress: Progress,
): Promise<void> {
  const body = Readable.fromWeb((await client.get(wanted)) as NodeStream<Uint8Array>);
  const verified = async function* (chunks: AsyncIterable<Uint8Array>) {
    const came = yield* measured(chunks, progress, size);
    if (came.size !== size || came.sha256 !== wanted)
      throw new CommandError('failed', `the artifact ${wanted} did not come as it should: try again`);
  };
  await pipeline(body, verified, archive.entry({ name, size }) as unknown as NodeJS.WritableStream);
}
