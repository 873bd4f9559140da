import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type DocumentKind, documentSchemas, findForgery, fromWire } from '../../shared/contract/document.ts';
import type { DocumentVerifier } from '../../shared/contract/fleet-keys.ts';
import { ClusterPlan } from '../../shared/contract/plan.ts';
import { toPointer } from '../../shared/contract/pointer.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { createProgress, type Progress } from './artifact-upload.ts';
import { artifactEntry, BundleDocument, BundleManifest, MANIFEST_NAME, MAX_DOCUMENT_BYTES, MAX_MANIFEST_BYTES } from './bundle-format.ts';
import { type Measure, measured, measureText } from './bundle-measure.ts';
import { CommandError } from './errors.ts';
import type { Io } from './io.ts';

/** A bundle of which every byte was looked at. */
export interface VerifiedBundle {
  readonly path: string;
  readonly manifest: BundleManifest;
  readonly documents: ReadonlyMap<DocumentKind, BundleDocument>;
}

/** What tells whether documents of a fleet are genuine. */
export type VerifierOf = (fleet: string) => Promise<DocumentVerifier>;

/** One entry of a bundle's tar, to be read to its end before the next. */
export interface BundleEntry extends AsyncIterable<Uint8Array> {
  readonly header: { readonly name: string; readonly size: number; readonly type: string };
  resume(): unknown;
}

/** The entries of a bundle in their order. What is no whole tar ends with a `CommandError`. */
export async function* readEntries(path: string): AsyncGenerator<BundleEntry> {
  const { extract } = await import('tar-stream');
  const archive = extract();
  const file = createReadStream(path);
  file.on('error', (error) => archive.destroy(error));
  file.pipe(archive as unknown as NodeJS.WritableStream);
  try {
    for await (const entry of archive as AsyncIterable<unknown> as AsyncIterable<BundleEntry>) {
      yield told(entry);
      entry.resume();
    }
  } catch (error) {
    throw damaged(messageOf(error));
  } finally {
    file.destroy();
  }
}

/** Whoever reads an entry meets the same words as whoever waits for the next one. */
function told(entry: BundleEntry): BundleEntry {
  const { header } = entry;
  const chunks = async function* () {
    try {
      yield* entry;
    } catch (error) {
      throw damaged(messageOf(error));
    }
  };
  return { header, resume: () => entry.resume(), [Symbol.asyncIterator]: chunks };
}

/**
 * Reads a whole bundle and compares it with its manifest, with the signatures of its documents,
 * and with the artifacts that the signed plan names. Rejects with what does not fit; nothing is changed anywhere.
 */
export async function verifyBundle(io: Io, file: string, verifierOf: VerifierOf): Promise<VerifiedBundle> {
  const path = resolve(io.cwd, file);
  const info = await stat(path).catch((error: unknown) => {
    throw new CommandError('file', `${file} ${codeOf(error) === 'ENOENT' ? 'does not exist' : `can't be read: ${messageOf(error)}`}`);
  });
  if (!info.isFile()) throw new CommandError('file', `${file} is no file`);
  const progress = createProgress(io, 'verifying', info.size);
  try {
    const { manifest, documents } = await readAll(path, progress);
    const keys = await verifierOf(manifest.fleet);
    for (const [kind, document] of documents) await verifyDocument(kind, document, manifest.fleet, keys);
    refuseMissing(manifest, documents.get('plan'));
    return { path, manifest, documents };
  } finally {
    progress.end();
  }
}

async function readAll(path: string, progress: Progress): Promise<Omit<VerifiedBundle, 'path'>> {
  let manifest: BundleManifest | undefined;
  const documents = new Map<DocumentKind, BundleDocument>();
  const seen = new Set<string>();
  for await (const entry of readEntries(path)) {
    const { name } = entry.header;
    if (manifest === undefined) {
      if (name !== MANIFEST_NAME) throw damaged(`it begins with ${JSON.stringify(name)}, not with ${MANIFEST_NAME}`);
      manifest = readManifest(await textOf(entry, MAX_MANIFEST_BYTES, progress));
      continue;
    }
    const document = manifest.documents.find((one) => one.name === name);
    const listed = document ?? manifest.artifacts.find((one) => one.name === name && name === artifactEntry(one.sha256));
    if (listed === undefined || seen.has(name))
      throw damaged(`it holds ${JSON.stringify(name)}, which its manifest does not list, or twice`);
    seen.add(name);
    const text = document === undefined ? undefined : await textOf(entry, MAX_DOCUMENT_BYTES, progress);
    const read = text === undefined ? await measureEntry(entry, progress) : measureText(text);
    if (read.size !== listed.size || read.sha256 !== listed.sha256) throw damaged(`${name} is not what the manifest says`);
    if (document !== undefined && text !== undefined) documents.set(document.kind, readDocument(name, text));
  }
  if (manifest === undefined) throw damaged('it is empty');
  const missing = [...manifest.documents, ...manifest.artifacts].find(({ name }) => !seen.has(name));
  if (missing !== undefined) throw damaged(`${missing.name} is missing: it is not all of it`);
  return { manifest, documents };
}

async function verifyDocument(
  kind: DocumentKind,
  { versions, current }: BundleDocument,
  fleet: string,
  keys: DocumentVerifier,
): Promise<void> {
  const found = versions.map((wire) => {
    try {
      return fromWire(kind, fleet, wire);
    } catch (error) {
      throw damaged(`a version of the ${kind} has not the right fields: ${messageOf(error)}`);
    }
  });
  for (const document of found) {
    const wrong = await findForgery(keys, document);
    if (wrong === undefined) continue;
    const detail = `generation ${document.meta.generation} of the ${kind} in the bundle is not signed by this fleet (${wrong})`;
    throw new CommandError('refused', `${detail}; nothing was changed`, 'The bundle is of another fleet key, or somebody changed it.');
  }
  const head = found.at(-1);
  if (head?.meta.generation !== current.generation || head.meta.hash !== current.hash)
    throw damaged(`the last version of the ${kind} is not the current one`);
  const parsed = documentSchemas[kind].safeParse(head.body);
  if (parsed.success) return;
  const issue = parsed.error.issues[0];
  const detail = `generation ${current.generation} of the ${kind} in the bundle is not valid for this version of bootplane`;
  throw new CommandError('refused', `${detail}: ${toPointer(issue?.path ?? [])} ${issue?.message}; nothing was changed`);
}

function refuseMissing({ artifacts }: BundleManifest, plan: BundleDocument | undefined): void {
  const wire = plan?.versions.at(-1);
  const services = wire === undefined ? [] : (ClusterPlan.safeParse(fromWire('plan', '', wire).body).data?.services ?? []);
  for (const { name, artifact } of services) {
    if (artifact === undefined || artifacts.some(({ sha256 }) => sha256 === artifact.sha256)) continue;
    throw damaged(`the artifact ${artifact.sha256} of service ${name} is not in it`);
  }
}

function readManifest(text: string): BundleManifest {
  const parsed = BundleManifest.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw damaged(`its manifest is not one of this version of bootplane: ${issue?.path.join('.')} ${issue?.message}`);
}

function readDocument(name: string, text: string): BundleDocument {
  const parsed = BundleDocument.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  throw damaged(`${name} has not the right fields: ${parsed.error.issues[0]?.message}`);
}

async function measureEntry(entry: BundleEntry, progress: Progress): Promise<Measure> {
  const chunks = measured(entry, progress);
  for (;;) {
    const { done, value } = await chunks.next();
    if (done === true) return value;
  }
}

async function textOf(entry: BundleEntry, limit: number, progress: Progress): Promise<string> {
  if (entry.header.size > limit) throw damaged(`${entry.header.name} is larger than any`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of entry) {
    chunks.push(chunk);
    progress.add(chunk.length);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function damaged(why: string): CommandError {
  if (why.startsWith('the bundle')) return new CommandError('file', why);
  return new CommandError('file', `the bundle can't be used: ${why}; nothing was changed`, 'Copy it again, or export it anew.');
}
