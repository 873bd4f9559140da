import { type DocumentBody, type DocumentKind, documentSchemas, findForgery, fromWire, type SignedDocument } from '../contract/document.ts';
import type { DocumentVerifier } from '../contract/fleet-keys.ts';
import { toPointer } from '../contract/pointer.ts';
import { NEW_KEY_ADVICE } from './key-advice.ts';

/** A document whose hash and signature are right, with its body read and defaults filled in. */
export interface Verified<K extends DocumentKind> {
  readonly document: SignedDocument;
  readonly body: DocumentBody<K>;
}

export type Verdict<K extends DocumentKind> = { readonly verified: Verified<K> } | Refused;

export interface Refused {
  /** In words that follow its name. */
  readonly refused: string;
  /** It is whole, but nobody can say who signed it: the key is not one of this fleet, or not any more. */
  readonly isOfOtherKey?: true;
}

const FORGERY = {
  hash: 'its hash does not match its content',
  key: `it is signed with another fleet key than the one of this node (${NEW_KEY_ADVICE})`,
  signature: 'its signature does not verify',
} as const;

/** Decides whether a document in the wire's form may be believed; says why not in words that follow its name. */
export async function verifyWire<K extends DocumentKind>(
  kind: K,
  fleet: string,
  verifier: DocumentVerifier,
  wire: Readonly<Record<string, unknown>>,
): Promise<Verdict<K>> {
  const document = takeApart(kind, fleet, wire);
  if (document === undefined) return { refused: 'it is not signed, or lacks a field of a published document' };
  const forgery = await findForgery(verifier, document);
  if (forgery !== undefined) return { refused: FORGERY[forgery], ...(forgery === 'key' ? { isOfOtherKey: true } : {}) };
  const parsed = documentSchemas[kind].safeParse(document.body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { refused: `it is not valid at ${toPointer(issue?.path ?? []) || 'its top'}: ${issue?.message}` };
  }
  // The schema was chosen by `kind`, which the compiler can't follow through the lookup.
  return { verified: { document, body: parsed.data as DocumentBody<K> } };
}

function takeApart(kind: DocumentKind, fleet: string, wire: Readonly<Record<string, unknown>>): SignedDocument | undefined {
  try {
    return fromWire(kind, fleet, wire);
  } catch {
    return undefined;
  }
}
