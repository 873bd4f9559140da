import { Readable } from 'node:stream';
import type { ArtifactClient } from '../../shared/artifact-client.ts';
import type { Client } from '../../shared/client.ts';
import { type DocumentKind, MAX_OFFERED_VERSIONS, type OfferAnswer } from '../../shared/contract/document.ts';
import { counted, createProgress } from './artifact-upload.ts';
import type { BundleDocument } from './bundle-format.ts';
import { readEntries, type VerifiedBundle } from './bundle-read.ts';
import { CommandError } from './errors.ts';
import type { Io } from './io.ts';

/** Room for one document of the largest size beside others in one offer. */
const OFFER_BYTES = 2 * 1024 * 1024;

export interface Imported {
  readonly artifacts: { readonly stored: number; readonly present: number };
  readonly documents: { readonly [K in DocumentKind]?: OfferAnswer };
}

/**
 * Hands a verified bundle to a node: its artifacts first, so that no service waits for one, then the documents. Run again
 * after it was broken off it goes on: what is there is passed over, and the same offer changes nothing.
 */
export async function importBundle(io: Io, client: Client, artifacts: ArtifactClient, bundle: VerifiedBundle): Promise<Imported> {
  const { manifest, documents } = bundle;
  const { fleet } = (await client.state()).body;
  if (fleet !== manifest.fleet) {
    throw new CommandError(
      'refused',
      `the bundle is of fleet ${manifest.fleet}, and ${client.url} is of fleet ${fleet}; nothing was changed`,
    );
  }
  const missing = new Map<string, { sha256: string; size: number }>();
  for (const artifact of manifest.artifacts)
    if ((await artifacts.size(artifact.sha256)) === undefined) missing.set(artifact.name, artifact);
  await store(io, artifacts, bundle, missing);
  const outcomes: { [K in DocumentKind]?: OfferAnswer } = {};
  // The profile first: services of the plan may need what it describes.
  for (const kind of ['profile', 'plan'] as const) {
    const document = documents.get(kind);
    if (document !== undefined) outcomes[kind] = await offer(client, kind, document);
  }
  return { artifacts: { stored: missing.size, present: manifest.artifacts.length - missing.size }, documents: outcomes };
}

async function store(
  io: Io,
  client: ArtifactClient,
  { path }: VerifiedBundle,
  missing: Map<string, { sha256: string; size: number }>,
): Promise<void> {
  if (missing.size === 0) return;
  const progress = createProgress(
    io,
    'storing',
    [...missing.values()].reduce((sum, { size }) => sum + size, 0),
  );
  try {
    for await (const entry of readEntries(path)) {
      const wanted = missing.get(entry.header.name);
      if (wanted === undefined) continue;
      const body = Readable.toWeb(Readable.from(entry)) as ReadableStream<Uint8Array>;
      await client.put(wanted.sha256, counted(body, progress));
    }
  } finally {
    progress.end();
  }
}

/** In parts, oldest first; only the last one says what is current, so that a break in between decides nothing. */
async function offer(client: Client, kind: DocumentKind, { versions, current }: BundleDocument): Promise<OfferAnswer> {
  const parts = inParts(versions);
  for (const part of parts.slice(0, -1)) await client.offerVersions(kind, { versions: part });
  return (await client.offerVersions(kind, { versions: parts.at(-1) ?? [], current })).body;
}

function inParts(versions: BundleDocument['versions']): BundleDocument['versions'][] {
  const parts: BundleDocument['versions'][] = [[]];
  let bytes = 0;
  for (const version of versions) {
    const size = JSON.stringify(version).length;
    const last = parts.at(-1);
    if (last !== undefined && (last.length === 0 || (last.length < MAX_OFFERED_VERSIONS && bytes + size <= OFFER_BYTES))) {
      last.push(version);
      bytes += size;
    } else {
      parts.push([version]);
      bytes = size;
    }
  }
  return parts;
}
