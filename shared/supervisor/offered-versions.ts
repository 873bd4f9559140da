import type * as z from 'zod';
import {
  type DocumentKind,
  documentSchemas,
  findForgery,
  fromWire,
  type SignedDocument,
  type VersionName,
  type VersionsOffer,
} from '../contract/document.ts';
import type { NodeKeys } from '../contract/fleet-keys.ts';
import { toPointer } from '../contract/pointer.ts';
import type { ProblemCode } from '../contract/problem.ts';
import { DOCUMENT_BYTES } from './body.ts';
import { ProblemError } from './problem.ts';

const FORGERIES = {
  hash: 'its hash does not match its content',
  key: 'it is signed with a key that this fleet does not know',
  signature: 'its signature does not verify',
} as const;

/**
 * The documents of an offer, each with a hash and a signature of the fleet. Throws `invalid_body` and
 * `too_large` with a pointer to the first that is not: then none of them is taken.
 */
export function believe(keys: NodeKeys, kind: DocumentKind, offer: z.output<typeof VersionsOffer>): Promise<SignedDocument[]> {
  return Promise.all(offer.versions.map((wire, index) => believeOne(keys, kind, wire, { pointer: `/versions/${index}`, offer })));
}

async function believeOne(
  keys: NodeKeys,
  kind: DocumentKind,
  wire: Record<string, unknown>,
  { pointer, offer }: { pointer: string; offer: z.output<typeof VersionsOffer> },
): Promise<SignedDocument> {
  const document = await believeWire(keys, kind, wire, pointer);
  // Its generation is that of another version: among the versions of the sequence it would pass for that one.
  if (document.meta.emergency !== undefined) throw refuseOffer(pointer, 'it is an emergency version: offer it as one of `emergencies`');
  if (isCurrent(offer.current, document.meta)) checkBody(kind, document, pointer);
  return document;
}

/** One document with a hash and a signature of the fleet. Throws as `believe` does. */
export async function believeWire(
  keys: NodeKeys,
  kind: DocumentKind,
  wire: Record<string, unknown>,
  pointer: string,
): Promise<SignedDocument> {
  const document = takeApart(kind, keys.fleet, wire);
  if (document === undefined) throw refuseOffer(pointer, 'it is not signed, or lacks a field of a published document');
  const bytes = new TextEncoder().encode(JSON.stringify(document.body)).length;
  if (bytes > DOCUMENT_BYTES) throw refuseOffer(pointer, `it has more than ${DOCUMENT_BYTES} bytes`, 'too_large');
  const forgery = await findForgery(keys.documents, document);
  if (forgery !== undefined) throw refuseOffer(pointer, FORGERIES[forgery]);
  return document;
}

function takeApart(kind: DocumentKind, fleet: string, wire: Record<string, unknown>): SignedDocument | undefined {
  try {
    return fromWire(kind, fleet, wire);
  } catch {
    return undefined;
  }
}

/** Only what may become current has to be usable here; what others could use is kept for the history. */
export function checkBody(kind: DocumentKind, { body }: SignedDocument, pointer: string): void {
  const parsed = documentSchemas[kind].safeParse(body);
  if (parsed.success) return;
  const [issue] = parsed.error.issues;
  throw refuseOffer(`${pointer}${toPointer(issue?.path ?? [])}`, issue?.message ?? 'is not valid');
}

function isCurrent(current: VersionName | undefined, { generation, hash }: VersionName): boolean {
  return current?.generation === generation && current.hash === hash;
}

/** The problem for an offer of which nothing is taken. */
export function refuseOffer(pointer: string, detail: string, code: ProblemCode = 'invalid_body'): ProblemError {
  return new ProblemError(code, `${pointer}: ${detail}`, { errors: [{ pointer, detail }] });
}
